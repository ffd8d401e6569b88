"""Which picture formats are read, told from a file's first bytes; and what a file is called that is none of them."""

from __future__ import annotations

from typing import Literal, get_args

Kind = Literal["jpeg", "png", "webp", "bmp", "tiff", "pnm", "heic", "avif"]
SUFFIXES: dict[str, Kind] = {
    **dict.fromkeys((".jpg", ".jpeg", ".jpe", ".jfif"), "jpeg"),
    **dict.fromkeys((".tif", ".tiff"), "tiff"),
    **dict.fromkeys((".pbm", ".pgm", ".ppm"), "pnm"),
    **dict.fromkeys((".heic", ".heif"), "heic"),
    **{".png": "png", ".bmp": "bmp", ".webp": "webp", ".avif": "avif"},
}
EXPECTED = "expected JPEG, PNG, WebP, BMP, TIFF or PNM, or HEIC or AVIF with fer-edge[heif]"
PNG, JPEG = b"\x89PNG\r\n\x1a\n", b"\xff\xd8\xff"
_HEIC = (b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx", b"mif1", b"msf1")
_OTHERS = (  # (offset, signature, name): what people have beside photos
    (0, b"GIF8", "a GIF"),
    (0, b"\0\0\0\x0cjP  ", "a JPEG 2000 picture"),
    (0, b"\xff\x0a", "a JPEG XL picture"),
    (0, b"\0\0\0\x0cJXL ", "a JPEG XL picture"),
    (0, b"8BPS", "a Photoshop file"),
    (0, b"FUJIFILMCCD-RAW", "a raw photo"),
    (0, b"IIRO", "a raw photo"),
    (0, b"IIU\0", "a raw photo"),
    (0, b"II+\0", "a BigTIFF picture"),
    (0, b"MM\0+", "a BigTIFF picture"),
    (0, b"%PDF", "a PDF"),
    (0, b"P7\n", "a PAM picture"),
    (0, b"\x1aE\xdf\xa3", "a video"),
    (4, b"ftypcrx", "a raw photo"),
    (4, b"ftyp", "a video"),
    (8, b"AVI ", "a video"),
    (0, b"\0\0\1\0", "an icon"),
    (0, b"\0\x05\x16\x07", "an AppleDouble file, what macOS keeps beside a photo,"),
    (0, b"<?xml", "text"),
    (0, b"<svg", "an SVG drawing"),
    (0, b"<!doc", "a web page"),
    (0, b"<html", "a web page"),
)


def picture_kind(content: bytes) -> Kind | None:
    """By the file's signature, whatever its name says; None for what is not read."""
    if content.startswith(JPEG):
        return "jpeg"
    if content.startswith(PNG):
        return "png"
    if content[:4] == b"RIFF" and content[8:12] == b"WEBP":
        return "webp"
    if content.startswith(b"BM"):
        return "bmp"
    if content[:4] in (b"II*\0", b"MM\0*"):
        return "tiff"
    if content[:1] == b"P" and content[1:2] in (b"1", b"2", b"3", b"4", b"5", b"6") and content[2:3].isspace():
        return "pnm"
    if content[4:8] == b"ftyp":
        brands = [content[8:12], *(content[at : at + 4] for at in range(16, min(_box_end(content), 256), 4))]
        if any(brand in (b"avif", b"avis") for brand in brands):
            return "avif"
        if any(brand in _HEIC for brand in brands):
            return "heic"
    return None


def other_kind(content: bytes) -> str | None:
    """What a file is that is no picture read here, with its article; None for what nobody knows."""
    if not content:
        return "an empty file"
    lower = content[:64].lstrip().lower()
    for at, signature, name in _OTHERS:
        if content.startswith(signature, at) or (at == 0 and lower.startswith(signature.lower())):
            return name
    return None


def _box_end(content: bytes) -> int:
    return min(len(content), int.from_bytes(content[:4], "big"))


assert set(SUFFIXES.values()) == set(get_args(Kind))

"""Damaged pictures: what is left is read and marked; sound ones never are; the libraries' own lines stay away."""

from __future__ import annotations

import os
import struct
import zlib
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import pytest
from picture_files import encode, exif_tiff, jpeg, jpeg_with_exif, picture_data, png_chunk, with_hole

from fer_edge.errors import ImageError
from fer_edge.pictures import bmp, png
from fer_edge.pictures.photo import Photo, decode_photo
from fer_edge.types import RgbImage

CUTS = (0.03, 0.1, 0.25, 0.4, 0.55, 0.7, 0.85, 0.95, 0.99, 0.999)
MAKERS: dict[str, Callable[[RgbImage], bytes]] = {
    "jpeg": lambda bgr: jpeg(bgr),
    "jpeg with a thumbnail": lambda bgr: jpeg_with_exif(jpeg(bgr), exif_tiff(1) + jpeg(bgr[::16, ::16])),
    "progressive": lambda bgr: jpeg(bgr, cv2.IMWRITE_JPEG_PROGRESSIVE, 1),
    "optimized": lambda bgr: jpeg(bgr, cv2.IMWRITE_JPEG_OPTIMIZE, 1),
    "restarts": lambda bgr: jpeg(bgr, cv2.IMWRITE_JPEG_RST_INTERVAL, 16),
    "png": lambda bgr: encode(".png", bgr),
    "gray png": lambda bgr: encode(".png", bgr[:, :, 1]),
    "png of 16 bits": lambda bgr: encode(".png", bgr.astype(np.uint16) * 257),  # type: ignore[arg-type]
    "webp": lambda bgr: encode(".webp", bgr, cv2.IMWRITE_WEBP_QUALITY, 80),
    "bmp": lambda bgr: encode(".bmp", bgr),
}


@pytest.fixture(scope="module")
def bgr(astronaut: RgbImage) -> RgbImage:
    return np.ascontiguousarray(astronaut[:400, :300, ::-1])


def read(content: bytes, capfd: pytest.CaptureFixture[str]) -> Photo | None:
    """What is read of it; nothing may be said beside our own words."""
    photo, refusal = None, ""
    try:
        photo = decode_photo(content, "photo", take_damaged=True)
    except ImageError as error:
        refusal = str(error)
    assert photo is not None or ("damaged" in refusal and "\n" not in refusal)
    assert capfd.readouterr().err == ""
    return photo


@pytest.mark.parametrize("name", MAKERS)
def test_sound_files_are_not_marked(name: str, bgr: RgbImage, capfd: pytest.CaptureFixture[str]) -> None:
    for image in (bgr, bgr[:37, :53], np.zeros((300, 400, 3), np.uint8), np.full((64, 2000, 3), 255, np.uint8)):
        photo = read(MAKERS[name](image), capfd)
        assert photo is not None
        assert photo.flaw == ""


@pytest.mark.parametrize("name", MAKERS)
def test_cut_anywhere_it_is_read_and_marked(name: str, bgr: RgbImage, capfd: pytest.CaptureFixture[str]) -> None:
    """The upper part is as it was; where nothing of the picture is there it is refused; a strict reader refuses all."""
    content = MAKERS[name](bgr)
    start, end = picture_data(content) if name != "bmp" else (54, len(content))
    whole = decode_photo(content, "photo").image.astype(int)
    seen = 0
    for share in CUTS:
        cut = content[: start + int((end - start) * share)]
        with pytest.raises(ImageError, match="damaged"):
            decode_photo(cut, "photo")
        photo = read(cut, capfd)
        if photo is None:
            continue
        seen += 1
        assert photo.flaw, share
        assert photo.image.shape == whole.shape
        known = int(whole.shape[0] * share * 0.5)
        part = slice(whole.shape[0] - known, None) if name == "bmp" else slice(None, known)  # BMP begins below
        if share >= 0.25 and name != "progressive":
            assert np.abs(photo.image[part].astype(int) - whole[part]).mean() < 12, share
    assert seen >= len(CUTS) - 2


@pytest.mark.parametrize("name", MAKERS)
def test_cut_before_its_pixels_it_is_refused(name: str, bgr: RgbImage, capfd: pytest.CaptureFixture[str]) -> None:
    content = MAKERS[name](bgr)
    start, _ = picture_data(content) if name != "bmp" else (54, 0)
    for at in sorted({12, 20, 33, start // 2, start - 12, start - 2}):
        assert read(content[:at], capfd) is None, at


@pytest.mark.parametrize("value", [0, 255])
@pytest.mark.parametrize("name", ["jpeg", "progressive", "restarts", "optimized", "png", "gray png", "png of 16 bits"])
def test_a_hole_is_marked(name: str, value: int, bgr: RgbImage, capfd: pytest.CaptureFixture[str]) -> None:
    """A lost block of 4096 bytes anywhere in the picture data."""
    content = MAKERS[name](bgr)
    start, end = picture_data(content)
    for at in np.linspace(start + 40, end - 4200, 25).astype(int):
        photo = read(with_hole(content, int(at), 4096, value), capfd)
        assert photo is None or photo.flaw, at


@pytest.mark.parametrize("name", ["jpeg", "jpeg with a thumbnail"])
@pytest.mark.parametrize("n", [64, 512])
def test_small_holes_of_zeros_in_common_jpegs_are_marked(
    n: int, name: str, bgr: RgbImage, capfd: pytest.CaptureFixture[str]
) -> None:
    """libjpeg itself says nothing of every sixth of them; nearly every camera writes a thumbnail."""
    content = MAKERS[name](bgr)
    start, end = content.rindex(b"\xff\xda") + 14, len(content) - 2
    for at in np.linspace(start + 40, end - n - 40, 40).astype(int):
        photo = read(with_hole(content, int(at), n), capfd)
        assert photo is None or photo.flaw, at


def test_a_bmp_with_impossible_pixels_takes_no_memory(bgr: RgbImage, capfd: pytest.CaptureFixture[str]) -> None:
    """60,000 bits a pixel would be 75 GB of missing rows."""
    content = bytearray(encode(".bmp", bgr)[:60])
    struct.pack_into("<ii", content, 18, 3000, 3000)
    struct.pack_into("<H", content, 28, 60_000)
    assert bmp.missing_bytes(bytes(content)) == 0
    assert read(bytes(content), capfd) is None


def test_a_hole_in_a_webp_is_marked(bgr: RgbImage, capfd: pytest.CaptureFixture[str]) -> None:
    content = encode(".webp", bgr, cv2.IMWRITE_WEBP_QUALITY, 95)
    start, end = picture_data(content)
    for at in np.linspace(start + 40, end - 4200, 10).astype(int):
        photo = read(with_hole(content, int(at), 4096), capfd)
        assert photo is None or photo.flaw, at


def test_even_pictures_have_zeros_of_their_own(capfd: pytest.CaptureFixture[str]) -> None:
    """Optimized tables give an even area codes of zeros; an arithmetic code of one color has some too."""
    even = np.full((3000, 4000, 3), 200, np.uint8)
    even[1000:1010, 2000:2010] = 10
    for content in (
        jpeg(even, cv2.IMWRITE_JPEG_OPTIMIZE, 1),
        jpeg(even, cv2.IMWRITE_JPEG_PROGRESSIVE, 1),
        jpeg(even),
        encode(".webp", even, cv2.IMWRITE_WEBP_QUALITY, 80),
        encode(".webp", even, cv2.IMWRITE_WEBP_QUALITY, 101),
        encode(".png", even),
    ):
        photo = read(content, capfd)
        assert photo is not None
        assert photo.flaw == ""


def test_what_cameras_append_and_fill_in_is_sound(bgr: RgbImage, capfd: pytest.CaptureFixture[str]) -> None:
    content = jpeg(bgr)
    second = jpeg(bgr[::4, ::4])
    mpf = b"MPF\0II*\0" + struct.pack("<I", 8) + bytes(80)
    tail = [
        content + b"trailing bytes of a motion photo" + bytes(3000),
        content + second,  # multi-picture format: a preview behind the end
        content[:2] + b"\xff\xe2" + struct.pack(">H", len(mpf) + 2) + mpf + content[2:] + second,
        content + b"\0\0\xd1\x0aMotionPhoto_Data" + bytes(5000) + b"SEFT",  # Samsung's trailer
        content[:-2] + bytes(7) + content[-2:],  # filled up to a whole number of words
        content[:-2] + b"\xff" * 5 + content[-2:],
        content[:2] + b"\xff\xff\xff" + content[3:],  # fill bytes before a marker
        encode(".png", bgr) + b"appended",
        encode(".webp", bgr) + b"appended",
    ]
    for i, file in enumerate(tail):
        photo = read(file, capfd)
        assert photo is not None, i
        assert photo.flaw == "", i


def test_a_png_s_broken_remark_is_no_damage(bgr: RgbImage, capfd: pytest.CaptureFixture[str]) -> None:
    content = encode(".png", bgr)
    remark = png_chunk(b"tEXt", b"Comment\0made by a scanner")
    broken = remark[:-1] + bytes([remark[-1] ^ 1])
    photo = read(content[:33] + broken + content[33:], capfd)
    assert photo is not None
    assert photo.flaw == ""


def test_one_changed_byte_of_a_png_is_marked(bgr: RgbImage, capfd: pytest.CaptureFixture[str]) -> None:
    content = encode(".png", bgr)
    start, end = picture_data(content)
    for at in np.linspace(start + 2, end - 8, 30).astype(int):
        changed = bytearray(content)
        changed[at] ^= 0x10
        photo = read(bytes(changed), capfd)
        assert photo is None or photo.flaw == "a wrong checksum in its IDAT"


def test_an_interlaced_png_is_saved_too(bgr: RgbImage, capfd: pytest.CaptureFixture[str]) -> None:
    content = interlaced(bgr)
    photo = read(content, capfd)
    assert photo is not None
    np.testing.assert_array_equal(photo.image, bgr[:, :, ::-1])
    cut = read(content[: len(content) * 3 // 4], capfd)
    assert cut is not None
    assert cut.flaw
    np.testing.assert_array_equal(cut.image[::8, ::8], bgr[::8, ::8, ::-1])


def interlaced(bgr: RgbImage) -> bytes:
    """Adam7, filter 0, as the standard lays it out."""
    rgb, rows = bgr[:, :, ::-1], bytearray()
    for x, y, dx, dy in png._ADAM7:
        for row in rgb[y::dy, x::dx]:
            rows += b"\0" + row.tobytes()
    header = struct.pack(">IIBBBBB", bgr.shape[1], bgr.shape[0], 8, 2, 0, 0, 1)
    parts = [(b"IHDR", header), (b"IDAT", zlib.compress(bytes(rows))), (b"IEND", b"")]
    return b"\x89PNG\r\n\x1a\n" + b"".join(png_chunk(*part) for part in parts)


def data_folder() -> Path:
    return Path(os.environ.get("FER_DATA") or Path(__file__).parents[4] / "shared" / "data")


@pytest.mark.parametrize("folder", ["faces_london", "scenes", "faces_synthetic"])
def test_real_photos_are_not_marked(folder: str, capfd: pytest.CaptureFixture[str]) -> None:
    paths = [path for path in sorted((data_folder() / folder).rglob("*")) if path.suffix in (".jpg", ".png")]
    if not paths:
        pytest.skip(f"no {data_folder() / folder}: set FER_DATA")
    for path in paths[:150]:
        photo = read(path.read_bytes(), capfd)
        assert photo is not None, path
        assert photo.flaw == "", path


def test_packaged_photos_are_not_marked(photo_path: Callable[[str], Path], capfd: pytest.CaptureFixture[str]) -> None:
    for name in ("astronaut.png", "grace_hopper.jpg"):
        photo = read(photo_path(name).read_bytes(), capfd)
        assert photo is not None
        assert photo.flaw == ""

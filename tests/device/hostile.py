"""Two hundred files that somebody might send instead of a photo: bombs, wrong types, cut off, damaged, huge EXIF."""

from __future__ import annotations

import io
import struct
import zipfile
import zlib

import cv2
import numpy as np

from fer_edge.types import RgbImage


def png_chunk(name: bytes, content: bytes) -> bytes:
    return struct.pack(">I", len(content)) + name + content + struct.pack(">I", zlib.crc32(name + content))


def png(width: int, height: int, idat: bytes, *chunks: bytes) -> bytes:
    """A gray PNG with this picture data, and chunks before it."""
    head = struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0)
    return (
        b"\x89PNG\r\n\x1a\n"
        + png_chunk(b"IHDR", head)
        + b"".join(chunks)
        + png_chunk(b"IDAT", idat)
        + png_chunk(b"IEND", b"")
    )


def zeros(n: int) -> bytes:
    """A zlib stream of n zero bytes, a thousandth of that in size."""
    packer = zlib.compressobj(9)
    parts = [packer.compress(bytes(1_000_000)) for _ in range(n // 1_000_000)]
    return b"".join([*parts, packer.compress(bytes(n % 1_000_000)), packer.flush()])


def jpeg_claiming(content: bytes, width: int, height: int) -> bytes:
    """A JPEG whose start of frame claims another size."""
    at = next(i for i in range(2, len(content)) if content[i] == 0xFF and content[i + 1] in (0xC0, 0xC2))
    return content[: at + 5] + struct.pack(">HH", height, width) + content[at + 9 :]


def bmp_rle(width: int, height: int) -> bytes:
    """A run-length coded BMP that claims a size and ends at once."""
    info = struct.pack("<IiiHHIIiiII", 40, width, height, 1, 8, 1, 4, 0, 0, 256, 0)
    return b"BM" + struct.pack("<IHHI", 1082, 0, 0, 1078) + info + bytes(1024) + b"\x00\x01\x00\x01"


def webp_claiming(width: int, height: int) -> bytes:
    canvas = (width - 1).to_bytes(3, "little") + (height - 1).to_bytes(3, "little")
    chunk = b"VP8X" + struct.pack("<I", 10) + bytes(4) + canvas
    return b"RIFF" + struct.pack("<I", len(chunk) + 4) + b"WEBP" + chunk


def webp_lossless_claiming(width: int, height: int) -> bytes:
    bits = struct.pack("<BI", 0x2F, (width - 1) | (height - 1) << 14)
    chunk = b"VP8L" + struct.pack("<I", len(bits)) + bits + b"\0"
    return b"RIFF" + struct.pack("<I", len(chunk) + 4) + b"WEBP" + chunk


def many_scans(content: bytes, n: int) -> bytes:
    """A progressive JPEG whose last scan comes n times more: each time the decoder walks the whole picture."""
    at = content.rfind(b"\xff\xda")
    end = content.rfind(b"\xff\xd9")
    return content[:end] + content[at:end] * n + content[end:]


def exif_with(entries: int, orientation: int = 6, offset: int = 8) -> bytes:
    """EXIF that claims so many entries, at an offset."""
    tiff = b"MM\0*" + struct.pack(">IHHHIHH", offset, entries, 0x0112, 3, 1, orientation, 0)
    return b"Exif\0\0" + tiff + bytes(60_000)


def segment(marker: int, payload: bytes) -> bytes:
    return bytes([0xFF, marker]) + struct.pack(">H", len(payload) + 2) + payload


def encoded(image: RgbImage) -> dict[str, bytes]:
    """The same picture in every type that is taken."""
    bgr = image[:, :, ::-1]
    kinds = {"jpg": [], "png": [], "webp": [cv2.IMWRITE_WEBP_QUALITY, 80], "bmp": []}
    made = {kind: cv2.imencode(f".{kind}", bgr, options)[1].tobytes() for kind, options in kinds.items()}
    made["progressive"] = cv2.imencode(".jpg", bgr, [cv2.IMWRITE_JPEG_PROGRESSIVE, 1])[1].tobytes()
    return made


def hostile_files(image: RgbImage, n: int = 200, seed: int = 5) -> dict[str, bytes]:
    """Files by name; the same arguments give the same files.

    Args:
        image: (h, w, 3) RGB, of at least 64 px.
        n: how many.
        seed: of the damage.
    """
    good = encoded(image)
    jpg = good["jpg"]
    archive = io.BytesIO()
    with zipfile.ZipFile(archive, "w") as file:
        file.writestr("../../etc/passwd", "x")
    files = {
        # bombs
        "png 60000 x 60000": png(60_000, 60_000, zlib.compress(b"x")),
        "png of 90 megapixels that is real": png(10_000, 9_000, zeros(90_009_000)),
        "png 2^31 wide": png(2**31 - 1, 16, zlib.compress(b"x")),
        "png 0 wide": png(0, 16, zlib.compress(b"x")),
        "png of one row": png(200_000, 1, zeros(200_001)),
        "png with a text of 200 MB": png(64, 64, zeros(64 * 65), png_chunk(b"zTXt", b"a\0\0" + zeros(200_000_000))),
        "png with more data than rows": png(64, 64, zeros(50_000_000)),
        "png, a chunk of 4 GB": png(64, 64, b"")[:33] + struct.pack(">I", 2**32 - 16) + b"IDAT" + bytes(5000),
        "jpeg 65500 x 65500": jpeg_claiming(jpg, 65_500, 65_500),
        "jpeg 7000 x 7000, data of 64": jpeg_claiming(jpg, 7000, 7000),
        "jpeg 0 x 0": jpeg_claiming(jpg, 0, 0),
        "jpeg of 1500 scans": many_scans(good["progressive"], 1500),
        "jpeg, a false size before the true": jpg[:2]
        + segment(0xC0, struct.pack(">BHHB", 8, 64, 64, 3) + bytes(9))
        + jpg[2:],
        "jpeg, a size hidden behind a bare marker": jpg[:2] + b"\xff\x01" + jpeg_claiming(jpg, 65_500, 65_500)[2:],
        "bmp 30000 x 30000": bmp_rle(30_000, 30_000),
        "bmp of negative size": bmp_rle(-30_000, -30_000),
        "bmp 2^31": bmp_rle(2**31 - 1, 2**31 - 1),
        "webp 16384 x 16384": webp_claiming(16_384, 16_384),
        "webp 2^24": webp_claiming(2**24, 2**24),
        "webp lossless 16384 x 16384": webp_lossless_claiming(16_384, 16_384),
        "webp lossless 7000 x 7000, empty": webp_lossless_claiming(7000, 7000),
        # wrong types
        "empty": b"",
        "one byte": b"\xff",
        "zip": archive.getvalue(),
        "zip that begins as a jpeg": b"\xff\xd8\xff\xe0" + archive.getvalue(),
        "html": b"<!doctype html><script>alert(1)</script>",
        "svg": b'<svg xmlns="http://www.w3.org/2000/svg" width="99999" height="99999"><script>alert(1)</script></svg>',
        "gif": b"GIF89a" + struct.pack("<HH", 65535, 65535) + bytes(100),
        "tiff": b"II*\0" + bytes(5000),
        "pdf": b"%PDF-1.7\n" + bytes(5000),
        "elf": b"\x7fELF" + bytes(5000),
        "pickle": b"cos\nsystem\n(S'touch /tmp/owned'\ntR.",
        "avif": b"\0\0\0\x20ftypavif" + bytes(5000),
        "jpeg 2000": b"\0\0\0\x0cjP  \r\n\x87\n" + bytes(500),
        "openexr": b"\x76\x2f\x31\x01" + bytes(500),
        "radiance": b"#?RADIANCE\nFORMAT=32-bit_rle_rgbe\n\n-Y 60000 +X 60000\n",
        "pnm": b"P6\n60000 60000\n255\n",
        "pam": b"P7\nWIDTH 60000\nHEIGHT 60000\nDEPTH 3\nMAXVAL 255\nENDHDR\n",
        "sun raster": struct.pack(">IIIIIIII", 0x59A66A95, 60_000, 60_000, 8, 0, 1, 0, 0),
        "json": b'{"a": ' * 5000,
        "zeros": bytes(100_000),
        "utf-16": "no photo".encode("utf-16"),
        "photo behind a byte": b" " + jpg,
        "form": b'--x\r\nContent-Disposition: form-data; name="f"; filename="../../x.jpg"\r\n\r\n' + jpg + b"\r\n--x--",
        # EXIF
        "exif of 65535 entries": jpg[:2] + segment(0xE1, exif_with(65_535)) + jpg[2:],
        "exif at an offset outside": jpg[:2] + segment(0xE1, exif_with(1, offset=2**32 - 1)) + jpg[2:],
        "exif orientation 999": jpg[:2] + segment(0xE1, exif_with(1, orientation=999)) + jpg[2:],
        "300 exif segments": jpg[:2] + segment(0xE1, exif_with(1)) * 300 + jpg[2:],
        "exif cut": jpg[:2] + segment(0xE1, b"Exif\0\0MM\0*") + jpg[2:],
        "100,000 empty segments": jpg[:2] + segment(0xEF, b"") * 100_000 + jpg[2:],
        "a million fill bytes": jpg[:2] + b"\xff" * 1_000_000 + jpg[3:],
        "segment of length 0": jpg[:2] + b"\xff\xe1\0\0" + jpg[2:],
    }  # fmt: skip
    rng = np.random.default_rng(seed)
    kinds = list(good)
    while len(files) < n:
        kind = kinds[len(files) % len(kinds)]
        content = bytearray(good[kind])
        if len(files) % 2:
            at = int(rng.integers(1, len(content)))
            files[f"{kind} cut at {at}"] = bytes(content[:at])
        else:
            for at in rng.integers(0, min(len(content), 2000), 12):  # headers and tables, mostly
                content[at] = rng.integers(0, 256)
            files[f"{kind} damaged {len(files)}"] = bytes(content)
    return dict(list(files.items())[:n])

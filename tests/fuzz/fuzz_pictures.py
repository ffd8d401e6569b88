"""Damaged picture files of every format: read, read and marked, or refused in a line; also as the web page takes them.

PNG's checksums are mended in half of the cases, so that the damage reaches what lies behind them.
"""

from __future__ import annotations

import io
import struct
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import cv2
import numpy as np
from damage import damage_bytes
from harness import Case, Fault, one_line
from hostile import hostile_files
from picture_files import Pixels, encode, exif_tiff, jpeg_with_exif, png_with_exif, tiff_file, webp_with_exif

from fer_edge.errors import ImageError
from fer_edge.pictures.photo import decode_photo
from fer_edge.sinks.web.upload import check_photo
from fer_edge.sources.open import parse_uri
from fer_edge.sources.synthetic import SyntheticSource

SILENT = True
HEAD = 500
MAX_BYTES, MAX_PIXELS = 20_000_000, 50_000_000  # of an upload, by default
GIF = (
    b"GIF89a\x01\0\x01\0\x80\0\0\0\0\0\xff\xff\xff!\xf9\x04\x01\0\0\0\0,\0\0\0\0\x01\0\x01\0\0\x02\x02D\x01\0;"  # 1 px
)


def a_picture() -> Pixels:
    """A drawn face, 72 x 96 px BGR."""
    drawn = SyntheticSource(parse_uri("synthetic://?seed=1")).draw(0)
    return np.ascontiguousarray(cv2.resize(drawn, (96, 72), interpolation=cv2.INTER_AREA)[:, :, ::-1])


def good_files(bgr: Pixels) -> dict[str, bytes]:
    """The picture in every format and many of their kinds; HEIC and AVIF where their extra is installed."""
    hw = (bgr.shape[0], bgr.shape[1])
    made = {
        "jpeg": encode(".jpg", bgr),
        "jpeg progressive": encode(".jpg", bgr, cv2.IMWRITE_JPEG_PROGRESSIVE, 1),
        "jpeg optimized": encode(".jpg", bgr, cv2.IMWRITE_JPEG_OPTIMIZE, 1),
        "jpeg restarts": encode(".jpg", bgr, cv2.IMWRITE_JPEG_RST_INTERVAL, 4),
        "jpeg gray": encode(".jpg", bgr[:, :, 1]),
        "jpeg exif": jpeg_with_exif(encode(".jpg", bgr), exif_tiff(6, other_tags=9)),
        "png": encode(".png", bgr),
        "png gray": encode(".png", bgr[:, :, 1]),
        "png 16": encode(".png", bgr.astype(np.uint16) * 257),  # type: ignore[arg-type]  # other depths likewise
        "png alpha": encode(".png", np.dstack([bgr, bgr[:, :, 0]])),
        "png exif": png_with_exif(encode(".png", bgr), exif_tiff(8, ">")),
        "webp": encode(".webp", bgr, cv2.IMWRITE_WEBP_QUALITY, 75),
        "webp lossless": encode(".webp", bgr, cv2.IMWRITE_WEBP_QUALITY, 101),
        "webp exif": webp_with_exif(encode(".webp", bgr, cv2.IMWRITE_WEBP_QUALITY, 75), exif_tiff(3), hw),
        "tiff": tiff_file(bgr, 6),
        "tiff 16": tiff_file(bgr, 1, ">", 16),
        **{f"tiff {n}": encode(".tiff", bgr, cv2.IMWRITE_TIFF_COMPRESSION, n) for n in (5, 8, 32773)},
        "bmp": encode(".bmp", bgr),
        "bmp gray": encode(".bmp", bgr[:, :, 1]),
        "ppm": encode(".ppm", bgr),
        "pgm": encode(".pgm", bgr[:, :, 1]),
        "gif": GIF,
    }
    try:
        import pillow_heif
        from PIL import Image
    except ModuleNotFoundError:
        return made
    pillow_heif.register_heif_opener()
    for kind in ("HEIF", "AVIF"):
        file = io.BytesIO()
        Image.fromarray(np.ascontiguousarray(bgr[:, :, ::-1])).save(file, kind)
        made[kind.lower()] = file.getvalue()
    return made


def with_right_checksums(content: bytes) -> bytes:
    """A PNG's, so that the damage reaches what lies behind them."""
    out, at = bytearray(content), 8
    while at + 12 <= len(out):
        end = at + 8 + int.from_bytes(out[at : at + 4], "big")
        if end + 4 > len(out):
            break
        out[end : end + 4] = struct.pack(">I", zlib.crc32(out[at + 4 : end]))
        at = end + 4
    return bytes(out)


@contextmanager
def cases(folder: Path) -> Iterator[Case]:
    good = good_files(a_picture())
    hostile = hostile_files(np.ascontiguousarray(a_picture()[:, :, ::-1]), 60)
    names, others = list(good), list(hostile)

    def case(rng: np.random.Generator, index: int) -> str:
        if index % 500 == 0:  # bombs and what is no picture, as they are
            name = others[index // 500 % len(others)]
            kind, content = "hostile", hostile[name]
        else:
            name = names[index % len(names)]
            kind, content = name.split()[0], damage_bytes(rng, good[name], HEAD)
            if kind == "png" and rng.integers(0, 2):
                content = with_right_checksums(content)
        if kind == "hostile" or index % 3 == 0:
            try:
                check_photo(content, MAX_BYTES, MAX_PIXELS)
            except ImageError as error:
                one_line(str(error), 300)
                return f"{kind} not taken by the page"
        try:
            photo = decode_photo(content, "photo", take_damaged=True)
        except ImageError as error:
            one_line(str(error), 300)
            return f"{kind} refused"
        if photo.image.dtype != np.uint8 or photo.image.ndim != 3 or photo.image.shape[2] != 3:
            raise Fault(f"{photo.image.dtype} {photo.image.shape}")
        return f"{kind} read, damaged" if photo.flaw else f"{kind} read"

    yield case

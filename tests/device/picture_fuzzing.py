"""Damaged picture files of every format: each is read, read and marked, or refused in one line; nothing else is said.

``benchmarks/fuzz.py --pictures`` runs 10,000, a test fewer; the same seed gives the same files.
"""

from __future__ import annotations

import io
import os
import struct
import tempfile
import time
import zlib
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from fuzzing import Outcome
from picture_files import Pixels, encode, exif_tiff, jpeg_with_exif, png_with_exif, tiff_file, webp_with_exif

from fer_edge.errors import ImageError
from fer_edge.pictures.photo import decode_photo

LONGEST_S, MOST_KIB = 10.0, 2_000_000
GIF = (
    b"GIF89a\x01\0\x01\0\x80\0\0\0\0\0\xff\xff\xff!\xf9\x04\x01\0\0\0\0,\0\0\0\0\x01\0\x01\0\0\x02\x02D\x01\0;"  # 1 px
)


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


def damage(rng: np.random.Generator, content: bytes) -> bytes:
    """Headers and tables more often than pixels; cuts, holes, doubled and missing parts; PNG's checksums mended."""
    data = bytearray(content)
    reach = len(data) if rng.integers(0, 3) == 0 else min(len(data), 400)
    for _ in range(int(rng.integers(0, 8))):
        at, n = int(rng.integers(0, max(1, reach))), int(rng.integers(1, 60))
        kind = int(rng.integers(0, 7))
        if kind <= 2 and at < len(data):
            data[at] = int(rng.choice([0, 1, 127, 128, 255, int(rng.integers(0, 256))]))
        elif kind == 3:
            data[at : at + 4] = rng.choice([b"\0\0\0\0", b"\xff\xff\xff\xff", b"\x7f\xff\xff\xff", b"\0\0\1\0"])
        elif kind == 4:
            data[at : at + n * 20] = bytes([int(rng.choice([0, 255]))]) * (n * 20)
        elif kind == 5:
            del data[at : at + n]
        else:
            data[at:at] = data[max(0, at - n) : at]
    if rng.integers(0, 4) == 0 and len(data) > 1:
        del data[int(rng.integers(1, len(data))) :]
    if content.startswith(b"\x89PNG") and rng.integers(0, 2):
        return with_right_checksums(bytes(data))
    return bytes(data)


def with_right_checksums(content: bytes) -> bytes:
    """So that the damage reaches what lies behind the checksums."""
    out, at = bytearray(content), 8
    while at + 12 <= len(out):
        end = at + 8 + int.from_bytes(out[at : at + 4], "big")
        if end + 4 > len(out):
            break
        out[end : end + 4] = struct.pack(">I", zlib.crc32(out[at + 4 : end]))
        at = end + 4
    return bytes(out)


def fuzz_pictures(n: int, seed: int, image: Any) -> Outcome:
    """Reads ``n`` damaged files.

    Args:
        n: how many.
        seed: of the damage.
        image: (h, w, 3) RGB uint8, small.
    """
    good = good_files(np.ascontiguousarray(image[:, :, ::-1]))
    names, rng, outcome = list(good), np.random.default_rng(seed), Outcome()
    with tempfile.TemporaryFile() as stderr:
        saved = os.dup(2)
        os.dup2(stderr.fileno(), 2)
        try:
            for index in range(n):
                name = names[index % len(names)]
                content = damage(rng, good[name])
                started = time.monotonic()
                problem = _read(content, name.split()[0], outcome)
                took_s = time.monotonic() - started
                outcome.cases += 1
                outcome.slowest_s = max(outcome.slowest_s, took_s)
                if took_s > LONGEST_S:
                    problem = f"took {took_s:.1f} s"
                if said := os.pread(stderr.fileno(), 300, 0):
                    problem = f"{problem} said beside our lines: {said[:200]!r}"
                    os.ftruncate(stderr.fileno(), 0)
                    os.lseek(stderr.fileno(), 0, os.SEEK_SET)
                if problem:
                    outcome.failures.append(f"case {index} ({name}): {problem}")
        finally:
            os.dup2(saved, 2)
            os.close(saved)
    peak_kib = peak()
    if peak_kib > MOST_KIB:
        outcome.failures.append(f"{peak_kib} KiB of memory, expected at most {MOST_KIB}")
    return outcome


def _read(content: bytes, kind: str, outcome: Outcome) -> str:
    try:
        photo = decode_photo(content, "photo", take_damaged=True)
    except ImageError as error:
        outcome.refused[kind] += 1
        text = str(error)
        return "" if text and "\n" not in text and len(text) < 300 else f"not one short line: {text[:200]!r}"
    except Exception as error:
        return f"{type(error).__name__}: {str(error)[:200]}"
    outcome.read[f"{kind} damaged" if photo.flaw else kind] += 1
    if photo.image.dtype != np.uint8 or photo.image.ndim != 3 or photo.image.shape[2] != 3:
        return f"{photo.image.dtype} {photo.image.shape}"
    return ""


def peak() -> int:
    """Most memory that this process held, KiB."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return int(next(line for line in lines if line.startswith("VmHWM")).split()[1])

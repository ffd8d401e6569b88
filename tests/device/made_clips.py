"""Clips for tests, made with ffmpeg: every frame carries its number, and knows which way is up."""

from __future__ import annotations

import json
import shutil
import struct
import subprocess
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from fer_edge.types import RgbImage

FFMPEG = shutil.which("ffmpeg") and shutil.which("ffprobe")
needs_ffmpeg = pytest.mark.skipif(not FFMPEG, reason="no ffmpeg; apt install ffmpeg (tests/apt.txt)")
H264 = ("-c:v", "libx264", "-preset", "ultrafast", "-g", "30", "-bf", "2", "-crf", "12", "-pix_fmt", "yuv420p")
CODECS: dict[str, Sequence[str]] = {
    "h264": H264,
    "hevc": ("-c:v", "libx265", "-preset", "ultrafast", "-x265-params", "log-level=none:keyint=30", "-crf", "12"),
    "mjpeg": ("-c:v", "mjpeg", "-q:v", "2", "-pix_fmt", "yuvj420p"),
    "mpeg4": ("-c:v", "mpeg4", "-q:v", "2", "-g", "30"),
    "mpeg2": ("-c:v", "mpeg2video", "-q:v", "2", "-g", "12"),
    "vp8": (
        "-c:v",
        "libvpx",
        "-deadline",
        "realtime",
        "-cpu-used",
        "8",
        "-b:v",
        "1M",
        "-g",
        "30",
        "-auto-alt-ref",
        "0",
    ),
    "vp9": (
        "-c:v",
        "libvpx-vp9",
        "-deadline",
        "realtime",
        "-cpu-used",
        "8",
        "-b:v",
        "1M",
        "-g",
        "30",
        "-pix_fmt",
        "yuv420p",
    ),
}
MATRICES = {1: (1, 0, 0, 1), 2: (-1, 0, 0, 1), 3: (-1, 0, 0, -1), 4: (1, 0, 0, -1)} | {
    5: (0, 1, 1, 0), 6: (0, 1, -1, 0), 7: (0, -1, -1, 0), 8: (0, -1, 1, 0)
}  # fmt: skip
BITS, CELL = 8, 8  # of the number: black or white squares along the upper edge


def numbered(number: int, height: int = 96, width: int = 128, image: RgbImage | None = None) -> RgbImage:
    """A picture with its number along the upper edge, white bit for one, the highest bit left."""
    if image is None:
        image = np.zeros((height, width, 3), np.uint8)
        image[:, :, 0] = np.linspace(60, 200, width).astype(np.uint8)  # red grows to the right
        image[:, :, 2] = np.linspace(60, 200, height).astype(np.uint8)[:, None]  # blue grows downwards
    image = image.copy()
    for bit in range(BITS):
        value = 255 if number >> (BITS - 1 - bit) & 1 else 0
        image[:CELL, bit * CELL : (bit + 1) * CELL] = value
    return image


def number_of(image: RgbImage) -> int | None:
    """The number of an upright picture, whatever its size; None where it shows none."""
    cells = image[:CELL, : BITS * CELL].reshape(CELL, BITS, CELL, 3)[2:-2, :, 2:-2].mean(axis=(0, 2, 3))
    if np.any((cells > 60) & (cells < 195)):
        return None
    return int(sum(int(cell > 127) << (BITS - 1 - bit) for bit, cell in enumerate(cells)))


def is_upright(image: RgbImage) -> bool:
    """Whether red grows to the right and blue downwards, as ``numbered`` draws them."""
    inner = image[CELL:].astype(float)
    half_h, half_w = inner.shape[0] // 2, inner.shape[1] // 2
    return bool(
        inner[:, half_w:, 0].mean() > inner[:, :half_w, 0].mean() + 30
        and inner[half_h:, :, 2].mean() > inner[:half_h, :, 2].mean() + 30
    )


def encode(path: Path, images: Iterable[RgbImage], *options: str, rate: float = 25, codec: str = "h264") -> Path:
    """Encodes RGB pictures of one size; skips the test where this ffmpeg cannot."""
    pictures = list(images)
    height, width = pictures[0].shape[:2]
    front = ("-movflags", "+faststart") if path.suffix in (".mp4", ".mov") else ()
    done = subprocess.run(
        [
            *("ffmpeg", "-v", "error", "-y", "-f", "rawvideo", "-pix_fmt", "rgb24", "-s", f"{width}x{height}"),
            *("-r", str(rate), "-i", "-", *CODECS[codec], *front, *options, str(path)),
        ],
        input=b"".join(np.ascontiguousarray(picture).tobytes() for picture in pictures),
        capture_output=True,
        check=False,
    )
    if b"Unknown encoder" in done.stderr:
        pytest.skip(f"this ffmpeg has no encoder for {codec}")
    assert done.returncode == 0, done.stderr.decode(errors="replace")
    return path


def ffmpeg(*arguments: object) -> None:
    subprocess.run(["ffmpeg", "-v", "error", "-y", *map(str, arguments)], check=True, capture_output=True)


def probe(path: Path, entries: str) -> list[dict[str, Any]]:
    """What ffprobe tells of each packet or frame of the first video stream, e.g. ``packet=pos,size``."""
    line = ["ffprobe", "-v", "quiet", "-select_streams", "v:0", "-show_entries", entries, "-of", "json", str(path)]
    found = json.loads(subprocess.run(line, capture_output=True, check=True).stdout)
    return list(next(iter(value for key, value in found.items() if key in ("packets", "frames"))))


def stamps(path: Path) -> list[float]:
    """When each frame is shown, by ffprobe, in s from the first."""
    times = [float(frame["best_effort_timestamp_time"]) for frame in probe(path, "frame=best_effort_timestamp_time")]
    return [time - times[0] for time in times]


def with_zeroed_packet(path: Path, number: int) -> Path:
    """A copy in which one packet's content is zeros (in some containers its first 8 bytes are headers)."""
    packet = next(p for p in probe(path, "packet=pos,size")[number:] if int(p["size"]) > 40)
    start, size = int(packet["pos"]), int(packet["size"])
    content = bytearray(path.read_bytes())
    skip = 0 if path.suffix in (".mp4", ".mov") else 8
    for at in range(start + skip, start + size):
        if path.suffix != ".ts" or at % 188 >= 12:
            content[at] = 0
    damaged = path.with_name(f"zeroed_{path.name}")
    damaged.write_bytes(content)
    return damaged


def cut_in_half(path: Path) -> Path:
    """At a place inside a transport stream's packet: between two, nothing shows that it goes on."""
    content = path.read_bytes()
    half = path.with_name(f"half_{path.name}")
    half.write_bytes(content[: len(content) // 2 // 188 * 188 + 61])
    return half


def stored_as(image: RgbImage, code: int) -> RgbImage:
    """How a picture must be stored so that EXIF orientation ``code`` shows it upright."""
    undo = {6: 8, 8: 6}.get(code, code)
    if undo >= 5:
        image = image.swapaxes(0, 1)
    if undo in (2, 3, 6, 7):
        image = image[:, ::-1]
    return np.ascontiguousarray(image[::-1] if undo in (3, 4, 7, 8) else image)


def with_matrix(path: Path, code: int) -> Path:
    """Writes the matrix of an EXIF orientation into an MP4's or MOV's video track, as a phone does."""
    content = bytearray(path.read_bytes())
    at = content.index(b"tkhd") + 4
    a, b, c, d = (value * 65536 for value in MATRICES[code])
    content[at + 40 : at + 76] = struct.pack(">9i", a, b, 0, c, d, 0, 0, 0, 1 << 30)
    path.write_bytes(content)
    return path


def joined(path: Path, parts: Sequence[Path]) -> Path:
    path.write_bytes(b"".join(part.read_bytes() for part in parts))
    return path

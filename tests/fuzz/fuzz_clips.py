"""Damaged clips of every container: read as far as they go, or refused in a line; no frame twice, no time back."""

from __future__ import annotations

import resource
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
from damage import damage_bytes
from harness import Case, Fault, one_line
from made_clips import encode, numbered

from fer_edge.errors import SourceError
from fer_edge.sources import (
    decoder,  # noqa: F401  # before FFmpeg's first use, which sets its log level
    open_source,
)
from fer_edge.sources.packets import PacketWatch

SILENT = True
BASES = {"mp4": "h264", "mkv": "h264", "webm": "vp8", "avi": "mpeg4", "ts": "mpeg2"}
MORE_BASES = {"hevc.mp4": "hevc", "mjpeg.avi": "mjpeg", "vp9.webm": "vp9", "h264.ts": "h264", "mjpeg.mov": "mjpeg"}
FRAMES = 8
MOST_ADDRESSES = 3 << 30  # bytes: a decoder that wants more gets none
HEAD = 600  # bytes in which sizes, counts and codecs stand


@contextmanager
def cases(folder: Path) -> Iterator[Case]:
    pictures = [numbered(i) for i in range(FRAMES)]
    clips = [encode(folder / f"base.{name}", pictures, codec=codec) for name, codec in (BASES | MORE_BASES).items()]
    resource.setrlimit(resource.RLIMIT_AS, (MOST_ADDRESSES, MOST_ADDRESSES))

    def case(rng: np.random.Generator, index: int) -> str:
        base = clips[index % len(clips)]
        path = folder / f"case{base.suffix}"
        path.write_bytes(damage_bytes(rng, base.read_bytes(), HEAD, tail=HEAD))
        try:
            return _read(path)
        except SourceError as error:
            one_line(str(error), 600)
            return "refused"

    yield case


def _read(path: Path) -> str:
    frames, last_s = 0, -1.0
    source = open_source(str(path))
    for frame in source:
        frames += 1
        if frame.t_media_s is None or frame.t_media_s < last_s:
            raise Fault(f"time goes back from {last_s} to {frame.t_media_s}")
        last_s = frame.t_media_s
        if frame.image.ndim != 3 or frame.image.dtype != np.uint8:
            raise Fault(f"no picture: {frame.image.shape} {frame.image.dtype}")
    packets, n_packets = PacketWatch(str(path)), 0
    while frames > FRAMES and packets.step():
        n_packets += 1
    packets.close()
    if frames > max(FRAMES, n_packets):
        raise Fault(f"{frames} frames out of {n_packets} packets: some were read twice")
    if source.incomplete:
        one_line(source.incomplete)
        return "incomplete"
    return "read, frames lost" if source.corrupt else "read"

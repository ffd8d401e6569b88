"""Each bound of clips and cameras: as much as it says is waited for or read, one more is not."""

from __future__ import annotations

import errno
import io
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from clock import Clock
from made_clips import encode, needs_ffmpeg, numbered

from fer_edge.contract import bounds
from fer_edge.errors import SourceError
from fer_edge.sources import decoder, headers, http, matroska, mp4, open_source, packets, v4l2
from fer_edge.sources.decoder import Decoder
from fer_edge.sources.options import CameraOptions


class Nothing:
    """A decoder's pictures, all of them damaged."""

    lost, damaged, is_whole, stamp_ms = 0, False, False, 0.0

    def __init__(self, good_at: int = 10**9) -> None:
        self.reads, self.good_at = 0, good_at

    def read(self) -> Any:
        self.reads += 1
        return np.zeros((4, 4, 3), np.uint8) if self.reads > self.good_at else None

    def close(self) -> None: ...


def reading(pictures: Nothing, announced: int = 0, patience_s: float = 1e9) -> Decoder:
    found = Decoder("/nowhere", patience_s=patience_s)
    found._pictures = pictures  # type: ignore[assignment]
    found.announced = announced
    return found


@pytest.mark.bound("FEW_FAILURES", "MOST_FAILURES")
@pytest.mark.parametrize(("announced", "most"), [(0, bounds.FEW_FAILURES), (10**9, bounds.MOST_FAILURES)])
def test_reads_without_a_picture(announced: int, most: int) -> None:
    assert reading(Nothing(most), announced).read() is not None
    pictures = Nothing(most + 1)
    assert reading(pictures, announced).read() is None
    assert pictures.reads == most + 1


@pytest.mark.bound("FAILURES_S")
def test_time_without_a_picture(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = Clock()
    monkeypatch.setattr(decoder, "time", clock)

    class Slow(Nothing):
        def read(self) -> Any:
            clock.sleep(bounds.FAILURES_S / 2)
            return super().read()

    found = Decoder("/nowhere")
    assert found._patience_s == bounds.FAILURES_S
    found._pictures, found.announced = Slow(), 10**9  # type: ignore[assignment]
    assert found.read() is None
    assert clock.now_s - 1000.0 == 1.5 * bounds.FAILURES_S


def test_packets_that_cannot_be_read(tmp_path: Path) -> None:
    assert packets.MOST_FAILURES == bounds.FEW_FAILURES


@pytest.mark.bound("MATROSKA_ELEMENTS", "MP4_BOXES")
def test_parts_of_a_container(monkeypatch: pytest.MonkeyPatch) -> None:
    void, free = b"\xec\x80", b"\0\0\0\x08free"
    monkeypatch.setattr(matroska, "MOST_ELEMENTS", 5)
    monkeypatch.setattr(mp4, "MOST_BOXES", 5)
    for n in (5, 6, 1000):
        assert len(list(matroska.elements(io.BytesIO(void * n + b"\0" * 12), 0, len(void) * n))) == 5
        assert len(list(mp4.boxes(io.BytesIO(free * n), 0, len(free) * n))) == 5


@pytest.mark.bound("PACKET_HEAD_BYTES")
@pytest.mark.parametrize("more", [0, 1])
def test_how_far_a_packet_is_looked_at(more: int) -> None:
    parameters = b"\0\0\1\x67sps"
    packet = b"\xff" * (bounds.PACKET_HEAD_BYTES - 4 + more) + parameters
    assert [unit for unit in headers._units(packet) if unit.startswith(b"\x67")] == ([] if more else [b"\x67"])


@needs_ffmpeg
@pytest.mark.bound("GAP_S")
def test_a_recorders_pause(tmp_path: Path, clock: Clock) -> None:
    """Five frames, then nothing for a minute of the clip, then five more: played in its own time."""
    gap = ("-vf", "setpts=if(lt(N\\,5)\\,N*40\\,60000+N*40)/1000/TB", "-vsync", "vfr", "-video_track_timescale", "1000")
    clip = encode(tmp_path / "clip.mp4", map(numbered, range(10)), *gap)
    started = clock.now_s
    assert len(list(open_source(str(clip), realtime=True))) == 10
    assert clock.now_s - started == pytest.approx(bounds.GAP_S + 8 * 0.04, abs=0.1)


@pytest.mark.bound("GOOD_FRAME_S")
def test_a_driver_without_a_good_frame(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    clock = Clock()
    monkeypatch.setattr(v4l2, "time", clock)

    class Dark:
        def read(self) -> tuple[bool, None]:
            return False, None

        def release(self) -> None: ...

    def busy(_: Path) -> Any:
        raise OSError(errno.EBUSY, "busy")

    camera = v4l2.V4l2Camera("v4l2://x", tmp_path / "video7", CameraOptions(), busy)
    camera._capture = Dark()
    with pytest.raises(SourceError, match=f"opened without a frame in {bounds.GOOD_FRAME_S:g} s"):
        camera._good_frame()
    assert bounds.GOOD_FRAME_S < clock.now_s - 1000.0 < bounds.GOOD_FRAME_S + 1


@pytest.mark.bound("SAME_S")
def test_single_pictures_that_stay_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = Clock()
    monkeypatch.setattr(http, "time", clock)
    camera = http.HttpCamera.__new__(http.HttpCamera)
    camera.name, camera._first, camera._last, camera._asked_at_s = "http://x", b"", b"same", 0.0

    def ask(_: float) -> Any:
        camera._asked_at_s = clock.now_s
        return None

    monkeypatch.setattr(camera, "_ask", ask)
    monkeypatch.setattr(camera, "_whole", lambda _: b"same")
    with pytest.raises(SourceError, match=f"the same picture for {bounds.SAME_S:g} s"):
        camera._single()
    assert bounds.SAME_S < clock.now_s - 1000.0 < bounds.SAME_S + 1

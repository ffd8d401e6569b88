"""A part of a clip: every Nth frame, from one place to another; with the clip's own numbers and times."""

from __future__ import annotations

import itertools
import json
import subprocess
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from made_clips import cut_in_half, encode, needs_ffmpeg, number_of, numbered, stamps

from fer_edge.contract.bundle import Bundle
from fer_edge.errors import SourceError
from fer_edge.sources.open import opener, parse_uri
from fer_edge.sources.uri import Playback
from fer_edge.types import Frame, FrameSource

pytestmark = needs_ffmpeg
Edge = Callable[..., "subprocess.CompletedProcess[str]"]
N = 60
# three rates in one clip: 25, then 5, then 12.5 per second
VARIED = "setpts=if(lt(N\\,20)\\,N*40\\,if(lt(N\\,30)\\,800+(N-20)*200\\,2800+(N-30)*80))/1000/TB"


@pytest.fixture(scope="module")
def clip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("clip") / "varied.mp4"
    return encode(path, map(numbered, range(N)), "-vf", VARIED, "-vsync", "vfr", "-video_track_timescale", "1000")


def opened(path: Path, **play: Any) -> FrameSource:
    return opener(parse_uri(str(path)), Playback(**play))()


def read(path: Path, **play: Any) -> list[Frame]:
    return list(opened(path, **play))


@pytest.mark.parametrize(
    "play",
    [{"every": 7}, {"from_s": 0.5}, {"to_s": 1.0}, {"from_s": 1.0, "to_s": 2.9}, {"every": 3, "from_s": 0.4}],
)  # fmt: skip
def test_what_was_asked_for_and_nothing_else(clip: Path, play: dict[str, Any]) -> None:
    times = stamps(clip)
    assert max(b - a for a, b in itertools.pairwise(times)) > 0.15  # the rate does vary
    inside = [i for i, t in enumerate(times) if play.get("from_s", 0) <= t < play.get("to_s", 1e9)]
    wanted = inside[:: play.get("every", 1)]
    source = opened(clip, **play)
    frames = list(source)
    assert [number_of(frame.image) for frame in frames] == [frame.index for frame in frames] == wanted
    assert [frame.t_media_s for frame in frames] == pytest.approx([times[i] for i in wanted], abs=0.001)
    assert len(wanted) > 3
    assert (source.dropped, source.incomplete) == (0, "")
    assert not any(frame.can_be_late for frame in frames)


def test_a_part_begins_at_once_and_keeps_its_pace(clip: Path) -> None:
    """In real time: the seconds before the part are not waited for, those between its frames are."""
    started = time.monotonic()
    frames = read(clip, from_s=0.8, to_s=2.9, every=5, realtime=True)
    took_s = time.monotonic() - started
    assert [frame.index for frame in frames] == [20, 25, 30]
    assert 2.0 <= frames[-1].t_capture_s - frames[0].t_capture_s < 2.6
    assert took_s < 4


def test_a_part_that_loops(clip: Path) -> None:
    frames = list(itertools.islice(opened(clip, from_s=2.8, to_s=3.2, loop=True), 12))
    assert [number_of(frame.image) for frame in frames] == [30, 31, 32, 33, 34] * 2 + [30, 31]
    times = [frame.t_s for frame in frames]
    assert times == sorted(times)
    assert len(set(times)) == 12


def test_a_part_that_is_not_there(clip: Path) -> None:
    for loop in (False, True):
        with pytest.raises(SourceError, match=r"no frame from 99 s on; it ends at 5\.\d\d s"):
            read(clip, from_s=99, loop=loop)


def test_the_part_of_a_cut_clip_that_is_there_is_whole(clip: Path) -> None:
    part = opened(cut_in_half(clip), to_s=0.3)
    assert len(list(part)) == 8
    assert part.incomplete == ""
    rest = opened(cut_in_half(clip), from_s=0.3)
    assert list(rest)
    assert "cut off" in rest.incomplete


def test_flags(clip: Path, bundle: Bundle, edge: Edge) -> None:
    source = ("run", "--source", clip, "--bundle", bundle.path, "--jsonl", "-", "--tiles", "0")
    done = edge(*source, "--every", "4", "--from", "0.4", "--to", "2.81")
    assert done.returncode == 0, done.stderr
    lines = [json.loads(line) for line in done.stdout.splitlines()]
    assert [line["frame_index"] for line in lines] == [10, 14, 18, 22, 26, 30]
    assert [line["t_media_s"] for line in lines] == pytest.approx([0.4, 0.56, 0.72, 1.2, 2.0, 2.8], abs=0.001)


@pytest.mark.parametrize(
    ("flags", "said"),
    [
        (("--every", "0"), "every: found 0, expected 1 to 1000000"),
        (("--from", "-1"), "from_s: found -1"),
        (("--from", "nan"), "from_s: found"),
        (("--from", "3", "--to", "3"), "to_s: found 3, expected more than from_s, which is 3"),
        (("--from", "99"), "no frame from 99 s on"),
    ],
)
def test_what_cannot_be(
    clip: Path, flags: tuple[str, ...], said: str, bundle: Bundle, edge: Edge, one_line: Any
) -> None:
    one_line(edge("run", "--source", clip, "--bundle", bundle.path, *flags), said)


@pytest.mark.parametrize("flag", ["every", "from", "to"])
@pytest.mark.parametrize("source", [("--source", "synthetic://?n=3"), ("--camera",)])
def test_only_of_clips(flag: str, source: tuple[str, ...], bundle: Bundle, edge: Edge, one_line: Any) -> None:
    done = edge("run", *source, "--bundle", bundle.path, f"--{flag}", "2")
    one_line(done, f"--{flag}: ", "is no clip; expected the path of a video")


def test_of_a_cut_clip_every_output_is_complete(clip: Path, tmp_path: Path, bundle: Bundle, edge: Edge) -> None:
    """Status 3 says that the clip was incomplete; what was read of it is in every file, whole."""
    pytest.importorskip("av", reason="PyAV is not installed (pip install 'fer-edge[video]')")
    pictures = [numbered(i) for i in range(115)]
    cut = cut_in_half(encode(tmp_path / "whole.mkv", pictures))
    lines, table, video = tmp_path / "out.jsonl", tmp_path / "out.csv", tmp_path / "out.mp4"
    outputs = ("--jsonl", lines, "--csv", table, "--annotate", video)
    done = edge("run", "--source", cut, "--bundle", bundle.path, "--tiles", "0", *outputs)
    assert done.returncode == 3, done.stderr
    n = len([json.loads(line) for line in lines.read_text().splitlines()])
    assert 20 < n < 115
    assert len(stamps(video)) == n
    assert table.read_bytes().endswith(b"zone\r\n")
    assert not list(tmp_path.glob(".*"))

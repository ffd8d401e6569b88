"""Annotated video: every frame at its own time, boxes, the same blur; played by a real Chromium; whole or not there."""

from __future__ import annotations

import base64
import json
import os
import pty
import resource
import select
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from browser_helpers import chromium
from made_clips import encode, joined, needs_ffmpeg, number_of, numbered, probe, stamps

from fer_edge.contract.bundle import Bundle
from fer_edge.contract.reading import load_line
from fer_edge.detectors.blazeface import BlazeFace
from fer_edge.sinks.progress import ProgressSink, minutes, progress_line
from fer_edge.sources import open_source
from fer_edge.types import Frame, FrameReading, RgbImage

pytest.importorskip("av", reason="PyAV is not installed (pip install 'fer-edge[video]')")
pytestmark = needs_ffmpeg
Edge = Callable[..., "subprocess.CompletedProcess[str]"]
VARIED = "setpts=if(lt(N\\,10)\\,N*40\\,if(lt(N\\,15)\\,400+(N-10)*200\\,1400+(N-15)*80))/1000/TB"
N = 30


@pytest.fixture(scope="module")
def clip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Numbered frames without a face, 25, 5 and 12.5 per second."""
    path = tmp_path_factory.mktemp("clip") / "varied.mp4"
    return encode(path, map(numbered, range(N)), "-vf", VARIED, "-vsync", "vfr", "-video_track_timescale", "1000")


@pytest.fixture(scope="module")
def people(astronaut: RgbImage, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A photo that wanders."""
    path = tmp_path_factory.mktemp("clip") / "people.mp4"
    base = np.ascontiguousarray(astronaut[0:300, 60:420])
    moves = [np.array([[1, 0, 2.0 * i], [0, 1, 0.0]]) for i in range(20)]
    return encode(path, [cv2.warpAffine(base, m, (360, 300), borderMode=cv2.BORDER_REPLICATE) for m in moves])


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    with chromium("autoplay-policy=no-user-gesture-required") as driver:
        yield driver


def run(edge: Edge, bundle: Bundle, source: Path | str, *flags: object) -> subprocess.CompletedProcess[str]:
    done = edge("run", "--source", source, "--tiles", "0", "--bundle", bundle.path, *flags)
    assert done.returncode == 0, done.stderr
    return done


PLAY = """
const [content, kind, frames, done] = arguments;
const bytes = Uint8Array.from(atob(content), (c) => c.charCodeAt(0));
const video = document.createElement("video"), canvas = document.createElement("canvas");
video.muted = true;
video.src = URL.createObjectURL(new Blob([bytes], {type: kind}));
document.body.append(video);
video.onerror = () => done({error: video.error.message});
// "seeked" comes before the picture does, and the picture that comes may still be one from before the seek
const shows = (begin) => new Promise((go, fail) => {
  const look = (_, shown) => {
    if (Math.abs(shown.mediaTime - begin) < 0.003) go();
    else video.requestVideoFrameCallback(look);
  };
  video.requestVideoFrameCallback(look);
  setTimeout(() => fail(`no picture of ${begin} s in 50 s`), 50000);
});
const frame = async ([begin, middle]) => { const shown = shows(begin); video.currentTime = middle; await shown; };
video.onloadeddata = async () => {
  video.onloadeddata = null;
  canvas.width = video.videoWidth; canvas.height = video.videoHeight;
  const context = canvas.getContext("2d", {willReadFrequently: true}), shown = [];
  try {
    for (const times of frames) {
      await frame(times);
      context.drawImage(video, 0, 0);
      shown.push(Array.from(context.getImageData(0, 0, canvas.width, canvas.height).data));
    }
  } catch (error) { return done({error}); }
  video.currentTime = 0;
  const ended = new Promise((go) => { video.onended = go; });
  await video.play();
  await ended;
  done({duration: video.duration, width: canvas.width, height: canvas.height, shown});
};"""


def played(browser: Any, path: Path, numbers: list[int]) -> tuple[dict[str, Any], list[RgbImage]]:
    """What Chromium shows of each numbered frame, and what it says after it played the whole."""
    browser.get("about:blank")
    content = base64.b64encode(path.read_bytes()).decode()
    begins = stamps(path)
    ends = [*begins[1:], begins[-1] + 0.04]
    times = [(begins[i], (begins[i] + ends[i]) / 2) for i in numbers]
    said = browser.execute_async_script(PLAY, content, f"video/{path.suffix[1:]}", times)
    assert "error" not in said, said
    shape = said["height"], said["width"], 4
    return said, [np.array(values, np.uint8).reshape(shape)[:, :, :3] for values in said["shown"]]


@pytest.mark.parametrize("suffix", ["mp4", "webm"])
def test_frames_keep_their_times_and_chromium_plays_them(
    clip: Path, suffix: str, tmp_path: Path, bundle: Bundle, edge: Edge, browser: Any
) -> None:
    out = tmp_path / f"out.{suffix}"
    run(edge, bundle, clip, "--annotate", out)
    times = stamps(clip)
    assert stamps(out) == pytest.approx(times, abs=0.001)
    assert [number_of(frame.image) for frame in open_source(str(out))] == list(range(N))
    said, shown = played(browser, out, list(range(N)))
    assert [number_of(image) for image in shown] == list(range(N))
    assert times[-1] < said["duration"] < times[-1] + 0.3


@pytest.mark.parametrize("suffix", ["mp4", "webm"])
def test_boxes_labels_and_colors_as_chromium_shows_them(
    people: Path, suffix: str, tmp_path: Path, bundle: Bundle, edge: Edge, browser: Any
) -> None:
    out = tmp_path / f"out.{suffix}"
    done = run(edge, bundle, people, "--annotate", out, "--jsonl", "-")
    lines = [load_line(line) for line in done.stdout.splitlines()]
    _, (image,) = played(browser, out, [10])
    x, y, w, h = lines[10].faces[0].box
    for px, py in ((x, y + h / 2), (x + w, y + h / 2), (x + w / 2, y + h)):
        around = image[round(py) - 2 : round(py) + 3, round(px) - 2 : round(px) + 3].astype(int)
        assert (np.abs(around - (255, 200, 0)).sum(axis=2) < 110).any(), (px, py)
    source = list(open_source(str(people)))[10].image
    corner = slice(260, 300), slice(0, 40)
    assert np.abs(image[corner].mean(axis=(0, 1)) - source[corner].mean(axis=(0, 1))).max() < 6


def test_the_readings_are_the_same_with_and_without(people: Path, tmp_path: Path, bundle: Bundle, edge: Edge) -> None:
    out = tmp_path / "out.mp4"
    with_video = run(edge, bundle, people, "--annotate", out, "--jsonl", "-").stdout.splitlines()
    without = run(edge, bundle, people, "--jsonl", "-").stdout.splitlines()
    assert [load_line(line).faces for line in with_video] == [load_line(line).faces for line in without]
    assert len(with_video) == len(stamps(out)) == 20


def test_blurred_faces_are_gone(people: Path, tmp_path: Path, bundle: Bundle, edge: Edge, blazeface: BlazeFace) -> None:
    plain, blurred = tmp_path / "plain.mp4", tmp_path / "blurred.mp4"
    run(edge, bundle, people, "--annotate", plain)
    run(edge, bundle, people, "--annotate", blurred, "--blur")
    assert sum(bool(blazeface.detect(frame.image)) for frame in open_source(str(plain))) == 20
    assert not any(blazeface.detect(frame.image) for frame in open_source(str(blurred)))


def test_a_face_that_is_missed_stays_blurred(
    people: Path, tmp_path: Path, bundle: Bundle, edge: Edge, blazeface: BlazeFace
) -> None:
    """The page does so too: for a second after it was last seen."""
    from fer_edge.pipeline import open_pipeline
    from fer_edge.sinks.video import VideoSink

    out, pipeline = tmp_path / "out.mp4", open_pipeline(bundle)
    sink = VideoSink(out, 25, blur=True)
    for frame in open_source(str(people)):
        reading = pipeline.read_frame(frame)
        sink.publish(FrameReading(frame, reading.faces if frame.index % 4 == 0 else ()))
    sink.close()
    assert not any(blazeface.detect(frame.image) for frame in open_source(str(out)))


def test_odd_sizes_and_a_size_that_changes(tmp_path: Path, bundle: Bundle, edge: Edge) -> None:
    odd = encode(tmp_path / "odd.avi", [numbered(i, 97, 131) for i in range(5)], "-pix_fmt", "yuvj444p", codec="mjpeg")
    run(edge, bundle, odd, "--annotate", tmp_path / "odd.mp4")
    frames = list(open_source(str(tmp_path / "odd.mp4")))
    assert [number_of(frame.image) for frame in frames] == list(range(5))
    assert frames[0].image.shape == (98, 132, 3)
    parts = [
        encode(tmp_path / "a.ts", [numbered(i, 96, 128) for i in range(5)]),
        encode(tmp_path / "b.ts", [numbered(i, 192, 160) for i in range(5, 10)]),
    ]
    both = joined(tmp_path / "both.ts", parts)
    run(edge, bundle, both, "--annotate", tmp_path / "both.mp4")
    shapes = {frame.image.shape for frame in open_source(str(tmp_path / "both.mp4"))}
    assert shapes == {(96, 128, 3)}


def test_a_part_of_a_clip(clip: Path, tmp_path: Path, bundle: Bundle, edge: Edge) -> None:
    """It begins at 0, whatever place in the clip the part begins at."""
    out = tmp_path / "out.mp4"
    run(edge, bundle, clip, "--annotate", out, "--from", "0.4", "--every", "2")
    times = [t for t in stamps(clip) if t >= 0.4][::2]
    assert stamps(out) == pytest.approx([t - times[0] for t in times], abs=0.001)
    assert float(probe(out, "packet=pts_time")[0]["pts_time"]) == 0


def test_a_signal_leaves_what_was_read_and_a_kill_leaves_the_old(tmp_path: Path, bundle: Bundle) -> None:
    for number in (signal.SIGINT, signal.SIGKILL):
        out, lines = tmp_path / "out.mp4", tmp_path / f"{number}.jsonl"
        out.write_bytes(b"old")
        source = ("--source", "synthetic://?width=320&height=240", "--realtime", "--jsonl", lines)
        command = ["run", *source, "--annotate", out, "--bundle", bundle.path]
        process = subprocess.Popen(
            [sys.executable, "-m", "fer_edge.cli", *map(str, command)], stdout=subprocess.PIPE, stderr=subprocess.PIPE
        )
        until = time.monotonic() + 60
        while not lines.exists() or lines.read_text().count("\n") < 20:
            assert time.monotonic() < until
            time.sleep(0.05)
        process.send_signal(number)
        process.communicate(timeout=60)
        if number == signal.SIGINT:
            assert len(stamps(out)) == len(lines.read_text().splitlines())
            assert not list(tmp_path.glob(".*"))
        else:
            assert out.read_bytes() == b"old"


def test_a_full_disk_is_one_line_and_leaves_the_old(tmp_path: Path, bundle: Bundle, one_line: Any) -> None:
    out = tmp_path / "out.mp4"
    out.write_bytes(b"old")
    command = ["run", "--source", "synthetic://?n=200&width=640&height=480", "--annotate", out, "--bundle", bundle.path]
    done = subprocess.run(
        [sys.executable, "-m", "fer_edge.cli", *map(str, command)],
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, 20_000)),
    )
    one_line(done, f"--annotate {out}: File too large")
    assert out.read_bytes() == b"old"
    assert not list(tmp_path.glob(".*"))


@pytest.mark.parametrize(
    ("source", "target", "said"),
    [
        ("synthetic://?n=3", "out.gif", "annotate.path: found 'out.gif', expected a name that ends in .mp4 or .webm"),
        ("synthetic://?n=3", "no/such/out.mp4", "annotate.path: no/such/out.mp4: no such folder"),
        ("images:///tmp", "out.mp4", "images:///tmp is no clip"),
        ("v4l2:///dev/video9", "out.mp4", "v4l2:///dev/video9 is no clip"),
    ],
)
def test_what_cannot_be(
    source: str, target: str, said: str, tmp_path: Path, bundle: Bundle, edge: Edge, one_line: Any
) -> None:
    one_line(edge("run", "--source", source, "--bundle", bundle.path, "--annotate", target, cwd=tmp_path), said)
    assert not list(tmp_path.iterdir())


def test_a_loop_has_no_end(clip: Path, tmp_path: Path, bundle: Bundle, edge: Edge, one_line: Any) -> None:
    done = edge("run", "--source", clip, "--loop", "--annotate", tmp_path / "o.mp4", "--bundle", bundle.path)
    one_line(done, "--annotate: the video of a clip that loops has no end")


def test_without_pyav_it_says_what_to_install(tmp_path: Path, bundle: Bundle) -> None:
    code = "import sys; sys.modules['av'] = None; from fer_edge.cli import main; sys.exit(main(sys.argv[1:]))"
    command = ["run", "--source", "synthetic://?n=3", "--annotate", tmp_path / "o.mp4", "--bundle", bundle.path]
    done = subprocess.run([sys.executable, "-c", code, *map(str, command)], capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert "pip install 'fer-edge[video]'" in done.stderr
    assert len(done.stderr.splitlines()) == 1
    assert not list(tmp_path.iterdir())


# -- progress ----------------------------------------------------------------------------------------------------------


def test_progress_on_a_terminal_only(bundle: Bundle, edge: Edge) -> None:
    source = "synthetic://?n=50&width=320&height=240&fps=20"
    command = ["run", "--source", source, "--realtime", "--bundle", str(bundle.path)]
    main, worker = pty.openpty()
    process = subprocess.Popen([sys.executable, "-m", "fer_edge.cli", *command], stdout=subprocess.PIPE, stderr=worker)
    os.close(worker)
    said = b""
    while select.select([main], [], [], 60)[0]:
        try:
            part = os.read(main, 4096)
        except OSError:
            break
        said += part
    process.wait()
    os.close(main)
    assert b"/50 frames, at 0:0" in said
    assert b"% " in said
    assert b" frames in " in said.rpartition(b"\x1b[K")[2]  # the summary stands alone, the bar is gone
    assert "\r" not in edge(*command).stderr


@pytest.mark.parametrize(
    ("n", "total", "passed_s", "t_s", "said"),
    [
        (1, 4, 0.5, None, "[####............]  25% 1/4 frames, 2.0 per second, 0:02 left"),
        (4, 4, 2.0, 65.2, "[################] 100% 4/4 frames, at 1:05, 2.0 per second, 0:00 left"),
        (5, 4, 2.0, 1.0, "5 frames, at 0:01, 2.5 per second"),
        (5, None, 2.0, None, "5 frames, 2.5 per second"),
        (5, 9, 0.0, None, "[#########.......]  56% 5/9 frames, 0.0 per second"),
    ],
)
def test_the_line(n: int, total: int | None, passed_s: float, t_s: float | None, said: str) -> None:
    assert progress_line(n, total, passed_s, t_s) == said


def test_minutes() -> None:
    assert [minutes(s) for s in (0, 59.6, 3599, 3725)] == ["0:00", "1:00", "59:59", "1:02:05"]


def test_a_quick_run_shows_nothing(capsys: pytest.CaptureFixture[str]) -> None:
    sink = ProgressSink(3)
    for index in range(3):
        sink.publish(FrameReading(Frame(np.zeros((9, 9, 3), np.uint8), index, 0.0, "x"), ()))
    sink.close()
    assert capsys.readouterr().err == ""
    assert json.dumps(sink.dropped) == "0"

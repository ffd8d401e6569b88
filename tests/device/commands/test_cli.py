"""The ``fer-edge`` command as a process of its own, on a bundle of real but tiny networks."""

from __future__ import annotations

import json
import os
import resource
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

import fer_edge
from fer_edge.contract import bench
from fer_edge.contract.bundle import Bundle
from fer_edge.contract.labels import EMOTIONS8
from fer_edge.contract.reading import load_line
from fer_edge.setting.find import BUILTIN
from fer_edge.types import RgbImage

Edge = Callable[..., subprocess.CompletedProcess[str]]
OneLine = Callable[..., str]
HEAVY = ("cv2", "numpy", "ai_edge_litert", "tflite_runtime", "tensorflow", "torch", "onnx", "fer_host")


@pytest.fixture
def photo(drawn: RgbImage, tmp_path: Path) -> Path:
    path = tmp_path / "drawn.png"
    cv2.imwrite(str(path), drawn[:, :, ::-1])
    return path


def test_help_imports_nothing_heavy() -> None:
    code = (
        "import sys\nfrom fer_edge.cli import main\n"
        "try:\n    main(['--help'])\nexcept SystemExit:\n    pass\n"
        f"print([name for name in {HEAVY!r} if name in sys.modules], file=sys.stderr)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stderr.strip() == "[]"
    for command in ("image", "run", "bench", "verify", "info"):
        assert command in done.stdout


@pytest.mark.parametrize("line", ["run --help", "web --help", "config check FILE", "config show", "service status"])
def test_what_opens_no_bundle_imports_neither_opencv_nor_an_interpreter(line: str, tmp_path: Path) -> None:
    (tmp_path / "config.toml").write_text("[web]\nenabled = true\n[mqtt]\nhost = 'localhost'\n")
    words = line.replace("FILE", str(tmp_path / "config.toml")).split()
    code = (
        "import sys\nfrom fer_edge.cli import main\n"
        f"try:\n    main({words!r})\nexcept SystemExit:\n    pass\n"
        f"print([name for name in {HEAVY!r} if name in sys.modules and name != 'numpy'])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == "[]"


def test_help_and_version_answer_at_once(edge: Edge) -> None:
    """In time of a processor, which another program on it does not lengthen as it does the clock's."""
    times_s = []
    for arguments in (["--help"], ["--version"], ["run", "--help"]):
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        done = edge(*arguments)
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        times_s.append(after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime)
        assert done.returncode == 0
    assert max(times_s[:2]) < 0.3
    assert times_s[2] < 0.6  # its flags are made from the settings' own modules
    assert fer_edge.__version__ in edge("--version").stdout


def test_image_json(edge: Edge, bundle: Bundle, photo: Path, tmp_path: Path) -> None:
    blank = tmp_path / "blank.png"
    cv2.imwrite(str(blank), np.full((100, 200, 3), 128, dtype=np.uint8))
    done = edge("image", photo, blank, "--bundle", bundle.path, "--json")
    assert (done.returncode, done.stderr) == (0, "")
    documents = [load_line(json.dumps(document)) for document in json.loads(done.stdout)]
    first, second = documents
    assert (first.path, first.width, first.height) == (str(photo), 640, 480)
    assert (second.path, second.faces) == (str(blank), ())
    (face,) = first.faces
    x, y, w, h = face.box
    assert 0 < x < x + w < 640
    assert 0 < y < y + h < 480
    assert set(face.landmarks) == {"right_eye", "left_eye", "nose", "mouth"}
    assert tuple(face.probabilities) == EMOTIONS8
    assert sum(face.probabilities.values()) == pytest.approx(1, abs=1e-3)
    assert face.label == max(face.probabilities, key=lambda name: face.probabilities[name])
    assert set(first.stage_ms or {}) == {"detect", "align", "infer"}


def test_positions_are_px_of_the_upright_original(edge: Edge, bundle: Bundle, drawn: RgbImage, tmp_path: Path) -> None:
    """Four times as large and stored on its side: the same face, four times as far."""
    large = cv2.resize(drawn[:, :, ::-1], None, fx=4, fy=4, interpolation=cv2.INTER_LINEAR)
    plain, turned = tmp_path / "plain.jpg", tmp_path / "turned.jpg"
    cv2.imwrite(str(plain), drawn[:, :, ::-1])
    ok, stored = cv2.imencode(".jpg", np.rot90(large))  # stored turned left, code 6 turns it right again
    assert ok
    exif = b"Exif\0\0II*\0\x08\0\0\0\x01\0\x12\x01\x03\0\x01\0\0\0\x06\0\0\0\0\0\0\0"
    content = bytes(stored)
    turned.write_bytes(content[:2] + b"\xff\xe1" + (len(exif) + 2).to_bytes(2, "big") + exif + content[2:])
    done = edge("image", plain, turned, "--bundle", bundle.path, "--json")
    small, big = json.loads(done.stdout)
    assert (big["width"], big["height"]) == (2560, 1920)
    np.testing.assert_allclose(np.array(big["faces"][0]["box"]) / 4, small["faces"][0]["box"], atol=6)
    assert big["faces"][0]["landmarks"]["nose"][0] / 4 == pytest.approx(
        small["faces"][0]["landmarks"]["nose"][0], abs=6
    )


def test_image_text_and_annotation(edge: Edge, bundle: Bundle, photo: Path, tmp_path: Path, drawn: RgbImage) -> None:
    out = tmp_path / "out.jpg"
    done = edge("image", photo, "--bundle", bundle.path, "--annotate", out)
    assert done.returncode == 0, done.stderr
    assert any(name in done.stdout for name in EMOTIONS8)
    annotated = cv2.imread(str(out))
    assert annotated.shape == drawn.shape
    assert (np.abs(annotated[:, :, ::-1].astype(int) - drawn) > 60).any(axis=2).sum() > 500


def test_several_annotated_pictures_never_overwrite_each_other(
    edge: Edge, bundle: Bundle, photo: Path, tmp_path: Path
) -> None:
    other = tmp_path / "other"
    other.mkdir()
    shutil.copy(photo, other / photo.name)
    out = tmp_path / "out"
    done = edge("image", photo, other / photo.name, "--bundle", bundle.path, "--annotate", out)
    written = [path for path in out.iterdir()] if out.is_dir() else []
    assert (done.returncode == 0 and len(written) == 2) or (done.returncode == 2 and not written)


def test_annotation_that_cannot_be_written(
    edge: Edge, bundle: Bundle, photo: Path, tmp_path: Path, one_line: OneLine
) -> None:
    one_line(edge("image", photo, photo, "--bundle", bundle.path, "--annotate", tmp_path / "x.jpg"), "folder")
    one_line(edge("image", photo, "--bundle", bundle.path, "--annotate", "/proc/x.jpg"), "/proc/x.jpg")
    one_line(edge("image", photo, "--bundle", bundle.path, "--annotate", tmp_path / "x.txt"), ".jpg or .png")
    assert [path.name for path in tmp_path.iterdir()] == [photo.name]


@pytest.mark.parametrize("content", [b"", b"this is text\n" * 50])
def test_not_a_photo(edge: Edge, bundle: Bundle, tmp_path: Path, content: bytes, one_line: OneLine) -> None:
    (tmp_path / "photo.jpg").write_bytes(content)
    one_line(edge("image", tmp_path / "photo.jpg", "--bundle", bundle.path), "photo.jpg")


@pytest.fixture
def clip(tmp_path: Path, drawn: RgbImage) -> Path:
    path = tmp_path / "clip.avi"
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter_fourcc(*"MJPG"), 10, (640, 480))
    for i in range(12):
        writer.write(np.roll(drawn, 2 * i, axis=1)[:, :, ::-1].copy())
    writer.release()
    return path


def test_run_on_a_clip(edge: Edge, bundle: Bundle, clip: Path, tmp_path: Path) -> None:
    out = tmp_path / "readings.jsonl"
    done = edge("run", "--source", f"file://{clip}", "--jsonl", out, "--bundle", bundle.path)
    assert done.returncode == 0, done.stderr
    readings = [load_line(line) for line in out.read_text().splitlines()]
    assert [reading.frame_index for reading in readings] == list(range(12))
    assert all(len(reading.faces) == 1 for reading in readings)
    assert all(reading.t_capture_s and reading.source for reading in readings)
    for words in ("12 frames", "12 faces", "per second", "detect", "infer"):
        assert words in done.stderr


def test_run_to_stdout_and_max_frames(edge: Edge, bundle: Bundle) -> None:
    source = "synthetic://?width=320&height=240"
    done = edge("run", "--source", source, "--jsonl", "-", "--max-frames", 4, "--bundle", bundle.path)
    assert done.returncode == 0, done.stderr
    assert len([load_line(line) for line in done.stdout.splitlines()]) == 4


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
@pytest.mark.parametrize("realtime", [False, True])
def test_a_signal_ends_a_run_cleanly(bundle: Bundle, number: signal.Signals, realtime: bool) -> None:
    line = [sys.executable, "-m", "fer_edge.cli", "run", "--jsonl", "-", "--bundle", str(bundle.path)]
    line += ["--source", "synthetic://?width=320&height=240"] + ["--realtime"] * realtime
    process = subprocess.Popen(line, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    assert process.stdout is not None
    first = [process.stdout.readline() for _ in range(3)]
    process.send_signal(number)
    assert process.stderr is not None
    rest = process.stdout.read()  # not communicate(): it would pass over lines that readline() has in its buffer
    errors = process.stderr.read()
    assert process.wait(timeout=10) == (130 if number == signal.SIGINT else 0), errors
    process.stdout.close()
    process.stderr.close()
    lines = [*first, *rest.splitlines(keepends=True)]
    assert all(line.endswith("\n") for line in lines)  # the last one too is whole
    readings = [load_line(line) for line in lines]
    indices = [reading.frame_index or 0 for reading in readings]
    # in real time a frame that is late is dropped, which shows as a gap
    assert indices == (sorted(set(indices)) if realtime else list(range(len(readings))))
    assert errors.startswith(f"fer-edge: {number.name}: {len(readings)} frames")
    assert len(errors.splitlines()) == 1


def test_a_reader_that_goes_away_is_no_error(bundle: Bundle) -> None:
    line = [sys.executable, "-m", "fer_edge.cli", "run", "--jsonl", "-", "--bundle", str(bundle.path)]
    line += ["--source", "synthetic://?width=320&height=240"]
    process = subprocess.Popen(line, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    assert process.stdout is not None
    assert process.stderr is not None
    process.stdout.readline()
    process.stdout.close()
    assert process.wait(timeout=20) == 0
    errors = process.stderr.read()
    process.stderr.close()
    assert "Traceback" not in errors
    assert "Exception" not in errors
    assert "went away" in errors


def test_a_full_disk_is_one_line(edge: Edge, bundle: Bundle, one_line: OneLine) -> None:
    if not Path("/dev/full").exists():
        pytest.skip("no /dev/full here")
    source = "synthetic://?n=5&width=320&height=240"
    one_line(edge("run", "--source", source, "--jsonl", "/dev/full", "--bundle", bundle.path), "/dev/full", "space")


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("run", "--source", "ftp://x/y"), "unknown scheme"),
        (("run", "--source", "/nowhere/clip.mp4"), "no such file"),
        (("run", "--source", "images:///nowhere"), "no such folder"),
        (("run", "--source", "synthetic://", "--jsonl", "/nowhere/out.jsonl"), "/nowhere/out.jsonl"),
        (("bench", "--n", "1"), "at least 2"),
        (("verify", "--variant", "int4"), "this bundle has float32, int8"),
        (("image", "/nowhere/x.jpg"), "/nowhere/x.jpg"),
    ],
)
def test_user_errors_are_one_line(
    edge: Edge, bundle: Bundle, arguments: tuple[str, ...], said: str, one_line: OneLine
) -> None:
    one_line(edge(*arguments, "--bundle", bundle.path), said)


def test_the_bundle_is_found_or_asked_for(edge: Edge, bundle: Bundle, tmp_path: Path, one_line: OneLine) -> None:
    clean = {key: value for key, value in os.environ.items() if key != "FER_EDGE_BUNDLE"} | {"HOME": str(tmp_path)}
    package = str(Path(fer_edge.__file__).parents[1])
    clean["PYTHONPATH"] = os.pathsep.join([package, clean.get("PYTHONPATH", "")])
    assert str(BUILTIN) in edge("info", cwd=tmp_path, env=clean).stdout
    (tmp_path / "dist" / "app").mkdir(parents=True)
    (tmp_path / "dist" / "app" / "manifest.json").write_text("{}")  # of a web page, which is built there too
    assert str(BUILTIN) in edge("info", cwd=tmp_path, env=clean).stdout
    shutil.copytree(bundle.path, tmp_path / "dist" / "tiny")
    assert "bundle dist/tiny " in edge("info", cwd=tmp_path, env=clean).stdout
    shutil.copytree(bundle.path, tmp_path / "dist" / "twin")
    one_line(edge("info", cwd=tmp_path, env=clean), "tiny", "twin", "--bundle")
    assert edge("info", cwd=tmp_path, env=clean | {"FER_EDGE_BUNDLE": "dist/twin"}).returncode == 0
    one_line(edge("info", cwd=tmp_path, env=clean | {"FER_EDGE_BUNDLE": "dist/none"}), "dist/none")
    installed = tmp_path / ".local" / "share" / "fer-edge" / "bundle"
    shutil.copytree(bundle.path, installed)
    assert str(installed) in edge("info", cwd=tmp_path, env=clean).stdout


def test_bundles_says_which_is_used_and_why(edge: Edge, bundle: Bundle, tmp_path: Path) -> None:
    clean = {key: value for key, value in os.environ.items() if key != "FER_EDGE_BUNDLE"} | {"HOME": str(tmp_path)}
    package = str(Path(fer_edge.__file__).parents[1])
    clean["PYTHONPATH"] = os.pathsep.join([package, clean.get("PYTHONPATH", "")])

    def listed(*flags: object, **more: str) -> tuple[int, dict[str, Any], list[str]]:
        done = edge("bundles", "--json", *flags, cwd=tmp_path, env=clean | more)
        document = json.loads(done.stdout)
        rows = [f"{row['origin']} {row['path']}" for row in document["bundles"]]
        assert sum(row["used"] for row in document["bundles"]) <= 1
        return done.returncode, document, rows

    builtin = f"built-in {BUILTIN}"
    status, document, rows = listed()
    assert (status, rows, document["bundles"][0]["used"]) == (0, [builtin], True)
    assert document["why"] == "none is installed, and none is in dist/"
    for name in ("tiny", "twin"):
        shutil.copytree(bundle.path, tmp_path / "dist" / name)
    status, document, rows = listed()
    assert (status, rows) == (1, ["dist/ dist/tiny", "dist/ dist/twin", builtin])
    assert not any(row["used"] for row in document["bundles"])
    assert "dist/tiny, dist/twin" in document["why"]
    (tmp_path / "dist" / "twin" / "golden.npz").write_bytes(b"")
    status, document, _ = listed("--bundle", "dist/twin")
    assert status == 1
    assert "golden.npz has 0 bytes" in document["bundles"][0]["problem"]
    status, document, rows = listed(FER_EDGE_BUNDLE="dist/tiny")
    assert (status, rows[0], document["why"]) == (0, "FER_EDGE_BUNDLE dist/tiny", "FER_EDGE_BUNDLE names it")
    text = edge("bundles", cwd=tmp_path, env=clean | {"FER_EDGE_BUNDLE": "dist/tiny"}).stdout
    assert text.startswith("-> FER_EDGE_BUNDLE")
    assert text.endswith("used: dist/tiny, because FER_EDGE_BUNDLE names it\n")
    assert "cannot be used: bundle dist/twin: golden.npz has 0 bytes" in text


@pytest.mark.parametrize("name", ["int8.tflite", "golden.npz", "blazeface.tflite", "manifest.json"])
def test_a_flipped_byte_is_refused(edge: Edge, bundle: Bundle, tmp_path: Path, name: str, one_line: OneLine) -> None:
    copy = Path(shutil.copytree(bundle.path, tmp_path / "b"))
    content = bytearray((copy / name).read_bytes())
    content[len(content) // 2] ^= 1
    (copy / name).write_bytes(content)
    one_line(edge("info", "--bundle", copy), name)


def test_info_and_verify(edge: Edge, bundle: Bundle) -> None:
    done = edge("info", "--bundle", bundle.path)
    assert done.returncode == 0, done.stderr
    for words in ("tiny", "float32", "int8", "(default)", "blazeface_short", "Apache-2.0", "happiness"):
        assert words in done.stdout
    done = edge("verify", "--bundle", bundle.path, "--json")
    assert done.returncode == 0, done.stderr
    assert [row["variant"] for row in json.loads(done.stdout)["variants"]] == ["float32", "int8"]


def test_bench(edge: Edge, bundle: Bundle) -> None:
    common = ("--bundle", bundle.path, "--n", 20, "--warmup", 2, "--threads", 1)
    done = edge("bench", *common, "--source", "synthetic://?n=3", "--json")
    assert done.returncode == 0, done.stderr
    document = bench.loads(done.stdout)
    assert set(document.stages) == {"detect", "align", "infer", "total"}
    assert (document.n, document.warmup_n, document.threads, document.variant) == (20, 2, 1, "int8")
    parts = sum(document.stages[name].mean_ms for name in ("detect", "align", "infer"))
    assert parts == pytest.approx(document.stages["total"].mean_ms, rel=0.2)
    assert document.fps == pytest.approx(1000 / document.stages["total"].mean_ms, rel=0.01)
    assert document.power is None
    assert document.memory.model_bytes == (bundle.path / "int8.tflite").stat().st_size
    assert document.memory.peak_rss_bytes > (document.memory.pss_bytes or 0) * 0.5
    assert document.throttled.before == "unknown"
    model = bench.loads(edge("bench", *common, "--model-only", "--variant", "float32", "--json").stdout)
    assert set(model.stages) == {"infer"}
    assert model.variant == "float32"
    assert "p95" in edge("bench", *common, "--model-only").stdout


def test_bench_without_faces_or_frames(edge: Edge, bundle: Bundle, tmp_path: Path, one_line: OneLine) -> None:
    (tmp_path / "a.jpg").write_text("no picture")
    cv2.imwrite(str(tmp_path / "b.png"), np.zeros((64, 64, 3), dtype=np.uint8))
    one_line_or_warned = edge("bench", "--n", 3, "--source", f"images://{tmp_path}", "--bundle", bundle.path)
    assert one_line_or_warned.returncode == 2
    assert "no faces" in one_line_or_warned.stderr
    (tmp_path / "b.png").unlink()
    done = edge("bench", "--n", 3, "--source", f"images://{tmp_path}", "--bundle", bundle.path)
    assert done.returncode == 2
    assert "Traceback" not in done.stderr

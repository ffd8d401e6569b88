"""``fer-edge bench``, ``compare`` and ``tune`` as processes, on a tiny bundle; nothing here looks at absolute times."""

from __future__ import annotations

import json
import re
import subprocess
from collections.abc import Callable
from html.parser import HTMLParser
from pathlib import Path

import cv2
import numpy as np
import pytest
from browser_helpers import chromium, shot

from fer_edge.contract import bench, latency
from fer_edge.contract.bundle import Bundle
from fer_edge.detectors import make_detector
from fer_edge.profiler import sweep
from fer_edge.sources.open import parse_uri
from fer_edge.sources.synthetic import SyntheticSource

Edge = Callable[..., subprocess.CompletedProcess[str]]
OneLine = Callable[..., str]
COMMON = ("--threads", 1, "--n", 40, "--warmup", 3)


def loaded(path: Path) -> bench.BenchDoc:
    return bench.loads(path.read_bytes())


def ok(done: subprocess.CompletedProcess[str]) -> subprocess.CompletedProcess[str]:
    assert done.returncode == 0, done.stderr
    return done


def test_a_measurement_in_all_forms(edge: Edge, bundle: Bundle, tmp_path: Path) -> None:
    files = [tmp_path / name for name in ("b.json", "b.md", "b.html")]
    out = [word for path in files for word in ("--out", path)]
    done = ok(edge("bench", "--bundle", bundle.path, *COMMON, *out))
    document = loaded(files[0])
    assert (document.mode, document.model_id, document.detector) == ("pipeline", "tiny", "blazeface_short")
    assert (document.n, document.warmup_n) == (40, 3)
    assert document.precision is not None
    assert document.precision.headline == "total"
    assert document.precision.warmup == "given"
    blocks = document.blocks["total"]
    assert len(blocks.mean_ms) == 40
    assert np.mean(blocks.mean_ms) == pytest.approx(document.stages["total"].mean_ms, rel=1e-3)
    assert document.histogram is not None
    assert sum(document.histogram.counts) + document.histogram.above == 40
    assert document.memory.network_bytes is not None
    assert document.memory.pss_bytes is not None
    assert document.power is None
    assert document.power_note
    for name in document.stages:
        assert f"| {name} |" in files[1].read_text()
        assert name in done.stdout
    assert "power        not measured" in done.stdout
    page = files[2].read_text()
    assert page.count("<svg") >= 2
    assert not re.search(r"<script|src=|href=|url\(|@import", page)  # needs nothing from anywhere
    checker = Balanced()
    checker.feed(page)
    assert checker.open == []


class Balanced(HTMLParser):
    """Fails on tags that do not close in order."""

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if tag not in ("meta", "br", "link", "img"):
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        pass

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag


def test_warmup_and_repetitions_are_found(edge: Edge, bundle: Bundle, tmp_path: Path) -> None:
    line = ("bench", "--bundle", bundle.path, "--mode", "model", "--max-s", 2, "--threads", 1)
    ok(edge(*line, "--precision", "0.001%", "--out", tmp_path / "a.json"))
    document = loaded(tmp_path / "a.json")
    assert document.precision is not None
    assert document.precision.warmup == "detected"
    assert document.precision.wanted == pytest.approx(1e-5)
    assert document.precision.reached > 1e-5
    assert document.n > 100
    text = ok(edge(*line, "--precision", "0.001%")).stdout
    assert "NOT reached" in text
    assert "NOT reached" not in ok(edge(*line, "--precision", "90%")).stdout


def test_interleaved_against_another_variant(edge: Edge, bundle: Bundle, tmp_path: Path) -> None:
    done = edge(
        "bench",
        "--bundle",
        bundle.path,
        "--mode",
        "model",
        *COMMON,
        "--against",
        "float32",
        "--out",
        tmp_path / "p.json",
    )
    assert done.returncode in (0, 1), done.stderr
    a, b = loaded(tmp_path / "p-a.json"), loaded(tmp_path / "p-b.json")
    assert (a.variant, b.variant) == ("int8", "float32")
    assert a.session is not None
    assert b.session is not None
    assert a.session.id == b.session.id
    assert (a.session.role, b.session.role) == ("a", "b")
    assert len(a.blocks["infer"].mean_ms) == len(b.blocks["infer"].mean_ms)
    again = edge("compare", tmp_path / "p-a.json", tmp_path / "p-b.json")
    assert again.returncode == done.returncode
    assert "interleaved" in again.stdout
    assert again.stdout.splitlines()[0] == done.stdout.splitlines()[-1]


def test_compare_says_by_its_status(edge: Edge, bundle: Bundle, tmp_path: Path, one_line: OneLine) -> None:
    ok(edge("bench", "--bundle", bundle.path, "--mode", "model", *COMMON, "--out", tmp_path / "a.json"))
    text = json.loads((tmp_path / "a.json").read_text())
    slow = tmp_path / "slow.json"
    for name in ("mean_ms", "p50_ms"):  # steady times: what this machine did in between must not decide
        blocks = text["blocks"]["infer"][name]
        text["blocks"]["infer"][name] = [1 + 0.01 * (7 * i % 5 - 2) for i in range(len(blocks))]
    (tmp_path / "a.json").write_text(json.dumps(text))
    for name in ("mean_ms", "p50_ms"):
        text["blocks"]["infer"][name] = [value * 3 for value in text["blocks"]["infer"][name]]
    text["session"]["id"] = "other"
    slow.write_text(json.dumps(text))
    done = edge("compare", tmp_path / "a.json", slow)
    assert done.returncode == 1
    assert done.stdout.startswith("slower: B takes 200.0% more time")
    assert edge("compare", slow, tmp_path / "a.json").returncode == 0
    assert edge("compare", slow, slow).stdout.startswith("cannot tell")
    text["board"] = "Raspberry Pi 4"
    slow.write_text(json.dumps(text))
    one_line(edge("compare", tmp_path / "a.json", slow), "board differs", "--across-boards")
    slow.write_text("{}")
    one_line(edge("compare", tmp_path / "a.json", slow), "slow.json")
    one_line(edge("compare", tmp_path / "a.json", tmp_path / "absent.json"), "absent.json")


def test_camera_mode_follows_a_paced_source(edge: Edge, bundle: Bundle, tmp_path: Path) -> None:
    source = "synthetic://?fps=50&width=320&height=240"
    ok(
        edge(
            "bench",
            "--bundle",
            bundle.path,
            "--mode",
            "camera",
            "--source",
            source,
            *COMMON,
            "--out",
            tmp_path / "c.json",
        )
    )
    document = loaded(tmp_path / "c.json")
    assert document.mode == "camera"
    assert set(document.frame_age_ms) == {"p50", "p90", "p95", "p99"}
    assert document.fps < 55  # the source's pace, not the pipeline's
    assert 1000 / document.stages["total"].mean_ms > document.fps
    assert "track" in document.stages


def test_a_source_that_ends_is_measured_so_far(edge: Edge, bundle: Bundle, tmp_path: Path, one_line: OneLine) -> None:
    line = (
        "bench",
        "--bundle",
        bundle.path,
        "--mode",
        "camera",
        "--n",
        500,
        "--warmup",
        3,
        "--out",
        tmp_path / "c.json",
    )
    ok(edge(*line, "--source", "synthetic://?fps=100&n=30&width=320&height=240"))
    assert loaded(tmp_path / "c.json").n < 30
    one_line(edge(*line, "--source", "synthetic://?n=2&width=320&height=240"), "ended before")


def test_soak(edge: Edge, bundle: Bundle) -> None:
    done = ok(edge("bench", "--bundle", bundle.path, "--mode", "model", "--soak", "3s", "--threads", 1))
    assert re.search(r"soak of [23] s: .* in the first tenth, .* in the last", done.stdout)


def test_sweep(edge: Edge, bundle: Bundle, tmp_path: Path) -> None:
    path = tmp_path / "s.json"
    line = (
        "bench",
        "--bundle",
        bundle.path,
        "--mode",
        "model",
        "--n",
        40,
        "--sweep",
        "threads=1,2,variant",
        "--out",
        path,
    )
    done = ok(edge(*line))
    document = sweep.loads(path.read_bytes())
    assert document.keys == ("threads", "variant")
    assert {(row.variant, row.threads) for row in document.rows} == {
        (variant, threads) for variant in ("float32", "int8") for threads in (1, 2)
    }
    medians = [row.stages["infer"].p50_ms for row in document.rows]
    assert medians == sorted(medians)
    assert len({row.session.id for row in document.rows if row.session}) == 1
    assert {row.memory.network_bytes for row in document.rows} == {None}  # all were opened in one process
    assert "fastest" in done.stdout


@pytest.mark.parametrize(
    ("line", "words"),
    [
        (("--n", 1), "at least 2"),
        (("--sweep", "heat"), "found 'heat', expected variant, threads, detector"),
        (("--sweep", "variant=int4"), "the bundle has float32, int8"),
        (("--mode", "model", "--sweep", "detector"), "finds no faces"),
        (("--mode", "model", "--source", "synthetic://"), "reads no frames"),
        (("--model-only", "--mode", "camera"), "expected one of them"),
        (("--out", "b.txt"), "found the ending '.txt'"),
        (("--out", "/nowhere/b.json"), "no folder /nowhere"),
        (("--meter", "/nowhere.csv"), "no such file"),
        (("--per-op",), "fer-host probes"),
        (("--accuracy", "/nowhere.npz"), "cannot be read"),
        (("--against", "int4"), "int4"),
    ],
)
def test_what_does_not_go_together(
    line: tuple[object, ...], words: str, edge: Edge, bundle: Bundle, one_line: OneLine
) -> None:
    one_line(edge("bench", "--bundle", bundle.path, *line), words)


def test_accuracy_on_folders_and_npz(edge: Edge, bundle: Bundle, tmp_path: Path) -> None:
    """What the tiny network says of each picture decides where it is put: all of one kind right, the other wrong."""
    source = SyntheticSource(parse_uri("synthetic://?seed=3"))
    pictures = [source.draw(i * 20) for i in range(6)]
    assert all(make_detector(bundle.manifest.detector, bundle.read).detect(picture) for picture in pictures)
    folder = tmp_path / "data"
    said = []
    for i, picture in enumerate(pictures):
        path = tmp_path / f"{i}.png"
        cv2.imwrite(str(path), cv2.cvtColor(picture, cv2.COLOR_RGB2BGR))
        answer = json.loads(ok(edge("image", path, "--bundle", bundle.path, "--json")).stdout)[0]["faces"][0]["label"]
        said.append(answer)
        wrong = next(label for label in bundle.manifest.labels if label != answer)
        target = folder / (answer if i < 4 else wrong) / path.name
        target.parent.mkdir(parents=True, exist_ok=True)
        path.rename(target)
    (folder / said[0] / "blank.png").write_bytes(cv2.imencode(".png", np.zeros((64, 64, 3), np.uint8))[1].tobytes())
    line = ("bench", "--bundle", bundle.path, "--mode", "model", "--n", 10, "--warmup", 2, "--out", tmp_path / "a.json")
    ok(edge(*line, "--accuracy", folder))
    found = loaded(tmp_path / "a.json").accuracy
    assert found == bench.Accuracy("data", "folders", 6, 1, round(4 / 6, 6))
    votes = np.zeros((3, 10))
    votes[[0, 1, 2], [0, 3, 8]] = 10  # the third is "unknown", the second is Training
    classes = [*bundle.manifest.labels, "unknown", "NF"]
    np.savez(
        tmp_path / "f.npz",
        images=np.random.default_rng(0).integers(0, 255, (3, 48, 48), dtype=np.uint8),
        ferplus_votes=votes,
        ferplus_classes=np.array(classes),
        usage=np.array(["PublicTest", "Training", "PublicTest"]),
    )
    ok(edge(*line, "--accuracy", tmp_path / "f.npz"))
    found = loaded(tmp_path / "a.json").accuracy
    assert found is not None
    assert (found.labels, found.n, found.n_dropped) == ("ferplus8", 1, 1)


def test_tune_is_remembered_and_forgotten(edge: Edge, bundle: Bundle, tmp_path: Path) -> None:
    import os

    environment = {**os.environ, "XDG_STATE_HOME": str(tmp_path)}
    environment.pop("STATE_DIRECTORY", None)
    done = ok(edge("tune", "--bundle", bundle.path, "--max-s", 3, "--keep-tainted", env=environment))
    file = tmp_path / "fer-edge" / "tune.json"
    (entry,) = json.loads(file.read_text())["entries"]
    assert entry["variant"] in ("float32", "int8")
    assert entry["identity"]["bundle_sha256"] == bundle.sha256
    assert "cameras take it from now on" in done.stdout
    done = ok(edge("tune", "--bundle", bundle.path, "--forget", env=environment))
    assert "forgotten" in done.stdout
    assert json.loads(file.read_text())["entries"] == []


def test_what_tune_found_while_disturbed_is_kept_only_when_told(
    bundle: Bundle, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    from fer_edge import cli
    from fer_edge.profiler import interference

    monkeypatch.setenv("STATE_DIRECTORY", str(tmp_path))
    monkeypatch.setattr(interference, "judge", lambda *_: ("the board was throttled",))
    command = ["tune", "--bundle", str(bundle.path), "--max-s", "1"]
    assert cli.main(command) == 1
    assert "tainted: the board was throttled\nnot kept" in capsys.readouterr().out
    assert not list(tmp_path.iterdir())
    assert cli.main([*command, "--keep-tainted"]) == 0
    (entry,) = json.loads((tmp_path / "tune.json").read_text())["entries"]
    assert entry["tainted"] == ["the board was throttled"]


def test_the_page_fits_a_phone(edge: Edge, bundle: Bundle, tmp_path: Path) -> None:
    page = tmp_path / "bench.html"
    ok(edge("bench", "--bundle", bundle.path, *COMMON, "--out", page))
    with chromium() as browser:
        browser.execute_cdp_cmd(
            "Emulation.setDeviceMetricsOverride",
            {"width": 390, "height": 844, "deviceScaleFactor": 2, "mobile": True},
        )
        browser.get(page.as_uri())
        sizes = browser.execute_script("return [document.documentElement.scrollWidth, window.innerWidth]")
        assert sizes[0] <= sizes[1] == 390
        table = "const t = document.querySelector('.stages'); return [t.scrollWidth, t.parentNode.clientWidth]"
        inner, outer = browser.execute_script(table)
        assert inner <= outer  # all columns are seen without moving anything
        shot(browser, "bench_phone.png")


def test_per_op(edge: Edge, bundle: Bundle, tmp_path: Path, one_line: OneLine) -> None:
    """Two whole networks stand for operators: what is timed is a file, whatever is in it."""
    import hashlib

    rows = []
    for name in ("float32", "int8"):
        content = (bundle.path / f"{name}.tflite").read_bytes()
        (tmp_path / f"{name}.tflite").write_bytes(content)
        digest = hashlib.sha256(content).hexdigest()
        rows.append(
            latency.Probe(f"{name}.tflite", digest, "CONV_2D", {"kernel": "3x3"}, (1, 32, 32, 3), (1, 8), name, 1, 1.0)
        )
    empty = latency.Probe(rows[0].file, rows[0].sha256, latency.EMPTY, {}, (1, 1), (1, 1), "float32", 1, 1.0)
    index = tmp_path / latency.INDEX_NAME
    index.write_text(latency.dump_probes(latency.ProbesDoc(("tiny",), (empty, *rows))))
    table = tmp_path / "table.json"
    line = ("bench", "--bundle", bundle.path, "--per-op", tmp_path, "--threads", 1)
    ok(edge(*line, "--out", table))
    document = latency.loads(table.read_bytes())
    assert [row.dtype for row in document.rows] == ["float32", "int8"]
    assert all(row.n >= 30 and row.ms_p50 > 0 for row in document.rows)
    assert document.overhead_ms > 0
    (tmp_path / "int8.tflite").write_bytes(b"x")
    one_line(edge(*line), "int8.tflite is not the file of the index")
    (tmp_path / "int8.tflite").unlink()
    one_line(edge(*line), "int8.tflite is missing")

"""``fer-edge doctor`` as a command: on recorded trees, in a bare environment, on broken bundles and packages."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
import recorded_trees

import fer_edge
from fer_edge.contract.bundle import Bundle
from fer_edge.contract.errors import SchemaError
from fer_edge.doctor import report
from fer_edge.doctor.examine import Machine, examine
from fer_edge.doctor.finding import Finding

Edge = Callable[..., subprocess.CompletedProcess[str]]

# What each tree is there to show: checks that are not ok, and some that are.
SHOWN = {
    "pi3": {"throttling": "warn", "picamera2": "warn", "camera": "ok", "cma": "ok", "board": "ok"},
    "pi4": {"throttling": "warn", "picamera2": "fail", "camera-users": "warn", "camera": "ok", "temperature": "ok"},
    "pi5": {"throttling": "ok", "picamera2": "fail", "camera": "ok", "governor": "ok", "memory": "ok"},
    "zero2w": {"throttling": "warn", "camera": "warn", "memory": "warn", "picamera2": "warn"},
    "nano_jp4": {"board": "warn", "nvargus-daemon": "ok", "camera": "ok", "throttling": "ok"},
    "orin_nano_jp6": {"board": "ok", "nvargus-daemon": "warn", "camera": "warn", "throttling": "warn"},
    "pc": {"board": "ok", "camera": "ok", "governor": "ok", "temperature": "ok"},
}


def levels(document: report.DoctorDoc) -> dict[str, str]:
    return {finding.name: finding.level for finding in document.findings}


@pytest.fixture(scope="module")
def software(bundle: Bundle) -> dict[str, object]:
    """This environment's facts, gathered once: they are the same whatever the tree."""
    machine = Machine(bundle.path)
    return {
        name: getattr(machine, name) for name in ("python", "numpy", "opencv", "interpreter", "bundle", "inference")
    }


@pytest.mark.parametrize("board", SHOWN)
def test_on_a_recorded_tree(board: str, software: dict[str, object], tmp_path: Path) -> None:
    machine = Machine(None, recorded_trees.unpack(board, tmp_path))
    vars(machine).update(software)
    findings = list(examine(machine))
    found = {finding.name: finding.level for finding in findings}
    assert {name: found.get(name) for name in SHOWN[board]} == SHOWN[board]
    assert machine.board.model in findings[1].found
    assert (found["interpreter"], found["inference"], found["bundle"]) == ("ok", "ok", "ok")
    assert not [finding for finding in findings if "not known" in finding.found]


def test_lines_for_people(edge: Edge, bundle: Bundle, tmp_path: Path) -> None:
    root = recorded_trees.unpack("pi4", tmp_path)
    done = edge("doctor", "--bundle", bundle.path, "--sysroot", root)
    assert done.returncode == 1
    *lines, summary = done.stdout.splitlines()
    problems = 0
    for line, following in zip(lines, [*lines[1:], ""], strict=True):
        if line.startswith(" "):
            assert re.match(r" {21} -> \S", line), line
            continue
        assert re.match(r"(ok   |warn |fail ) [\w-]+ +\S", line), line
        assert following.startswith(" ") == (not line.startswith("ok")), line
        problems += not line.startswith("ok")
    n_ok, n_warn, n_fail = map(int, re.findall(r"\d+", summary))
    assert problems == n_warn + n_fail
    assert n_fail == sum(line.startswith("fail") for line in lines)
    assert n_ok > 5


def test_this_machine(edge: Edge, bundle: Bundle) -> None:
    done = edge("doctor", "--json", "--bundle", bundle.path)
    document = report.loads(done.stdout)
    assert document.sysroot is None
    assert document.version == fer_edge.__version__
    assert levels(document)["inference"] == "ok"
    assert not [finding for finding in document.findings if "not known" in finding.found]


def test_a_damaged_bundle_and_its_remedy(edge: Edge, bundle: Bundle, tmp_path: Path) -> None:
    """The remedy says: copy the bundle here again."""
    here = shutil.copytree(bundle.path, tmp_path / "here")
    (here / "int8.tflite").write_bytes(b"damaged")
    pc = recorded_trees.unpack("pc", tmp_path / "pc")  # a machine without problems, so that the bundle decides
    done = edge("doctor", "--bundle", here, "--sysroot", pc)
    assert done.returncode == 1
    assert re.search(r"^fail  bundle .*int8\.tflite.*\n +-> copy the bundle here again", done.stdout, re.MULTILINE)
    assert "inference" not in done.stdout
    shutil.copytree(bundle.path, here, dirs_exist_ok=True)
    done = edge("doctor", "--bundle", here, "--sysroot", pc)
    assert re.search(r"^ok    bundle ", done.stdout, re.MULTILINE)
    assert done.returncode == 0


def test_no_bundle(edge: Edge, tmp_path: Path) -> None:
    place = dict(os.environ, HOME=str(tmp_path))
    place.pop("FER_EDGE_BUNDLE", None)
    done = edge("doctor", cwd=tmp_path, env=place)
    assert re.search(r"^ok    bundle .*fer48", done.stdout, re.MULTILINE), "the built-in one"
    for name in ("a", "b"):
        (tmp_path / "dist" / name).mkdir(parents=True)
        for file in ("manifest.json", "bundle.sha256"):
            (tmp_path / "dist" / name / file).touch()
    done = edge("doctor", cwd=tmp_path, env=place)
    assert done.returncode == 1
    assert re.search(r"^fail  bundle .*not given.*\n +-> copy a bundle here", done.stdout, re.MULTILINE)


def test_a_bare_environment(tmp_path: Path, bundle: Bundle) -> None:
    """Neither numpy nor OpenCV nor an interpreter: that is what doctor is for."""
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", tmp_path / "v"], check=True)
    pc = recorded_trees.unpack("pc", tmp_path / "pc")
    line = [tmp_path / "v/bin/python", "-m", "fer_edge.cli", "doctor", "--json", "--bundle", bundle.path]
    line += ["--sysroot", pc]
    place = dict(os.environ, PYTHONPATH=str(Path(fer_edge.__file__).parents[1]))
    done = subprocess.run(line, capture_output=True, text=True, check=False, env=place, cwd=tmp_path)
    assert done.stderr == ""
    assert done.returncode == 1
    document = report.loads(done.stdout)
    assert {name for name, level in levels(document).items() if level == "fail"} == {"numpy", "opencv", "interpreter"}
    pip = f"`{tmp_path}/v/bin/python -m pip install"
    assert all((f.remedy or "").startswith(pip) for f in document.findings if f.level == "fail")


def test_an_import_that_kills_the_process_is_one_finding(edge: Edge, bundle: Bundle, tmp_path: Path) -> None:
    (tmp_path / "cv2.py").write_text("import os, signal\nos.kill(os.getpid(), signal.SIGILL)\n")
    done = edge("doctor", "--json", "--bundle", bundle.path, env=dict(os.environ, PYTHONPATH=str(tmp_path)))
    document = report.loads(done.stdout)
    opencv = next(finding for finding in document.findings if finding.name == "opencv")
    assert opencv.level == "fail"
    assert "SIGILL" in opencv.found
    assert levels(document)["inference"] == "ok"
    assert levels(document)["clock"] == "ok"


def test_a_probe_that_fails_is_a_finding(edge: Edge, bundle: Bundle, tmp_path: Path) -> None:
    root = recorded_trees.unpack("pi5", tmp_path)
    (root / "proc/meminfo").unlink()
    document = report.loads(edge("doctor", "--json", "--bundle", bundle.path, "--sysroot", root).stdout)
    assert document.sysroot == str(root)
    memory = next(finding for finding in document.findings if finding.name == "memory")
    assert memory.level == "warn"
    assert memory.found == "not known (ValueError: no MemTotal and MemAvailable in /proc/meminfo)"
    assert "report this" in str(memory.remedy)
    assert levels(document)["cma"] == "warn"
    assert levels(document)["temperature"] == "ok"


def test_bad_input(edge: Edge, one_line: Callable[..., str]) -> None:
    one_line(edge("doctor", "--sysroot", "/no/such/tree"), "--sysroot /no/such/tree", "expected a recorded tree")


def test_the_document_comes_back() -> None:
    findings = (Finding("ok", "a", "fine"), Finding("warn", "b", "odd", "do this"))
    document = report.DoctorDoc("0.1.0", "a board", findings)
    assert report.loads(report.dumps(document)) == document
    data = json.loads(report.dumps(document))
    assert data["schema"] == "fer-edge/doctor/1"
    assert "remedy" not in data["findings"][0]
    data["findings"][0]["level"] = "perhaps"
    with pytest.raises(SchemaError, match=r"^doctor\.findings\[0\]\.level"):
        report.loads(json.dumps(data))

"""Every command on 64-bit ARM, against the same command on this machine.

The userland is unpacked Debian packages and wheels under qemu's user-mode emulation, not an installed system.
"""

from __future__ import annotations

import json
import re
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from arm_roots import CPUS, Root

Edge = Callable[..., "subprocess.CompletedProcess[str]"]


def succeeded(done: subprocess.CompletedProcess[str]) -> str:
    assert done.returncode == 0, f"status {done.returncode}\n{done.stdout[-2000:]}\n{done.stderr[-2000:]}"
    return done.stdout


def iou(a: list[float], b: list[float]) -> float:
    """Of boxes (x, y, width, height)."""
    width = min(a[0] + a[2], b[0] + b[2]) - max(a[0], b[0])
    height = min(a[1] + a[3], b[1] + b[3]) - max(a[1], b[1])
    shared = max(0.0, width) * max(0.0, height)
    return shared / (a[2] * a[3] + b[2] * b[3] - shared)


def assert_same_faces(here: list[dict[str, Any]], arm: list[dict[str, Any]], where: str) -> None:
    """Same number, labels and, box by box, places (IoU 0.9)."""
    by_place = sorted(arm, key=lambda face: face["box"])
    expected = sorted(here, key=lambda face: face["box"])
    assert [face["label"] for face in by_place] == [face["label"] for face in expected], where
    for ours, theirs in zip(expected, by_place, strict=True):
        assert iou(ours["box"], theirs["box"]) >= 0.9, f"{where}: {ours['box']} here, {theirs['box']} on ARM"


def test_it_is_the_other_processor(root: Root) -> None:
    code = (
        "import platform, fer_edge.classifier.runtime as r; "
        "print(platform.machine(), platform.python_version(), r.find_runtime())"
    )
    machine, python, runtime = succeeded(root.python("-c", code)).split(maxsplit=2)
    assert machine == "aarch64"
    assert python.startswith(root.spec.python)
    assert runtime.startswith("ai-edge-litert")


def test_verify(root: Root, bundle: Path) -> None:
    rows = json.loads(succeeded(root.edge("verify", "--bundle", bundle, "--json", binds=[bundle])))["variants"]
    by_variant = {row["variant"]: row for row in rows}
    assert set(by_variant) == {"float32", "dynamic", "int8", "mixed"}
    assert by_variant["int8"]["reference_max_abs"] == by_variant["mixed"]["reference_max_abs"] == 0
    assert all(row["n_top1"] >= 5 for row in rows)


@pytest.mark.parametrize("cpu", sorted(set(CPUS) - {"cortex-a72"}))  # which test_verify has
def test_verify_on_other_boards_processors(bookworm: Root, bundle: Path, cpu: str) -> None:
    succeeded(bookworm.edge("verify", "--variant", "int8", "--bundle", bundle, binds=[bundle], cpu=cpu))


def test_photos(root: Root, here: Edge, bundle: Path, photos: Path) -> None:
    paths = sorted(photos.glob("photos-*"))
    command = ("image", *paths, "--tiles", "2", "--bundle", bundle, "--json")  # 2,3 would take three times as long
    ours = json.loads(succeeded(here(*command)))
    theirs = json.loads(succeeded(root.edge(*command, binds=[bundle, photos])))
    assert [reading["path"] for reading in theirs] == [str(path) for path in paths]
    assert sum(len(reading["faces"]) for reading in ours) >= len(paths)
    for a, b in zip(ours, theirs, strict=True):
        assert_same_faces(a["faces"], b["faces"], a["path"])


def test_run_reads_a_folder(root: Root, here: Edge, bundle: Path, photos: Path) -> None:
    command = ("run", "--source", f"images://{photos}", "--tiles", "0", "--jsonl", "-", "--bundle", bundle)
    ours = [json.loads(line) for line in succeeded(here(*command)).splitlines()]
    theirs = [json.loads(line) for line in succeeded(root.edge(*command, binds=[bundle, photos])).splitlines()]
    assert len(ours) == len(theirs) == len(list(photos.iterdir()))
    for a, b in zip(ours, theirs, strict=True):
        assert a["frame_index"] == b["frame_index"]
        assert_same_faces(a["faces"], b["faces"], f"frame {a['frame_index']}")


def test_info(root: Root, here: Edge, bundle: Path) -> None:
    assert succeeded(root.edge("info", "--bundle", bundle, binds=[bundle])) == succeeded(
        here("info", "--bundle", bundle)
    )


def test_doctor(root: Root, bundle: Path) -> None:
    """It says what it finds here; whether that is well depends on this machine (a camera, memory)."""
    done = root.edge("doctor", "--bundle", bundle, binds=[bundle])
    assert done.returncode in (0, 1), done.stderr
    lines = done.stdout.splitlines()
    for i, line in enumerate(lines[:-1]):
        if re.match(r" +-> \S", line):
            assert re.match(r"warn|fail", lines[i - 1]), f"a remedy without a problem: {line}"
        else:
            assert re.match(r"(ok|warn|fail) +[\w-]+ +\S", line), line
    assert re.fullmatch(r"\d+ ok, \d+ warn, \d+ fail", lines[-1])
    levels = {line.split()[1]: line.split()[0] for line in lines[:-1] if not line.startswith(" ")}
    for name in ("python", "numpy", "opencv", "interpreter", "bundle", "inference"):
        assert levels[name] != "fail", done.stdout


def test_bench_says_that_it_is_emulated(root: Root, bundle: Path) -> None:
    command = ("bench", "--model-only", "--n", 3, "--warmup", 1, "--bundle", bundle, "--json")
    document = json.loads(succeeded(root.edge(*command, binds=[bundle])))
    assert document["emulated"] is True
    assert any("qemu" in reason for reason in document["tainted"])


def test_bench_here_is_not_emulated(here: Edge, bundle: Path) -> None:
    document = json.loads(succeeded(here("bench", "--model-only", "--n", 3, "--bundle", bundle, "--json")))
    assert document["emulated"] is False


def test_damage_is_refused(root: Root, bundle: Path, tmp_path: Path, refused: Callable[..., None]) -> None:
    photo = tmp_path / "photo.jpg"
    photo.write_bytes(b"\xff\xd8\xff no picture")
    refused(root.edge("image", photo, "--bundle", bundle, binds=[bundle, tmp_path]), str(photo))


def test_tflite_runtime(bookworm: Root, bundle: Path, refused: Callable[..., None]) -> None:
    """The interpreter of boards that stay on Debian 12; its dynamic-range kernels compute other answers."""
    succeeded(bookworm.edge("verify", "--variant", "int8", "--bundle", bundle, binds=[bundle], wheels="tflite"))
    done = bookworm.edge("verify", "--variant", "dynamic", "--bundle", bundle, binds=[bundle], wheels="tflite")
    refused(done, "tflite-runtime 2.14.0", "needs ai-edge-litert")

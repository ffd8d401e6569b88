"""The store: reused only when nothing changed, never half-written."""

from __future__ import annotations

import dataclasses
import errno
import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from fer_host.errors import HostError
from fer_host.files import artifacts, store
from fer_host.files.store import Stage, Store

STAGE = Stage(3, "saved-model", version=1, config={"hw": [96, 96]}, inputs={"onnx": "aa"}, tools=("numpy",))


def writer(text: str = "content", calls: list[Path] | None = None) -> Callable[[Path], None]:
    def build(folder: Path) -> None:
        (folder / "sub").mkdir()
        (folder / "sub" / "result.bin").write_text(text)
        if calls is not None:
            calls.append(folder)

    return build


def run(root: Path, stage: Stage, build: Callable[[Path], None]) -> store.StageResult:
    with Store(root) as opened:
        return opened.run(stage, build)


def left_over(root: Path) -> list[str]:
    return [path.name for path in root.iterdir() if path.name.startswith(".tmp-")]


def test_second_run_reuses_and_reports(tmp_path: Path) -> None:
    calls: list[Path] = []
    first = run(tmp_path, STAGE, writer(calls=calls))
    second = run(tmp_path, STAGE, writer(calls=calls))
    assert (first.reused, second.reused, len(calls)) == (False, True, 1)
    assert first.path == second.path == tmp_path / "03-saved-model"
    assert first.sha256 == second.sha256
    assert list(second.files) == ["sub/result.bin"]
    assert 0 <= second.seconds < 5
    assert left_over(tmp_path) == []


@pytest.mark.parametrize(
    "change",
    [
        {"version": 2},
        {"config": {"hw": [64, 64]}},
        {"inputs": {"onnx": "bb"}},
        {"tools": ("numpy", "onnx")},
        {"name": "saved-mode1"},
    ],
)
def test_whatever_the_result_depends_on_makes_it_anew(tmp_path: Path, change: dict[str, object]) -> None:
    changed = dataclasses.replace(STAGE, **change)  # type: ignore[arg-type]  # the table's values fit their fields
    assert changed.key != STAGE.key
    run(tmp_path, STAGE, writer("old"))
    result = run(tmp_path, changed, writer("new"))
    assert not result.reused
    assert (result.path / "sub" / "result.bin").read_text() == "new"
    assert left_over(tmp_path) == []


def test_another_tool_version_makes_it_anew(monkeypatch: pytest.MonkeyPatch) -> None:
    before = STAGE.key
    monkeypatch.setattr(store, "tool_versions", lambda names: dict.fromkeys(names, "0.0.1"))
    assert STAGE.key != before


def test_digest_follows_content_alone(tmp_path: Path) -> None:
    first = run(tmp_path, STAGE, writer("same"))
    second = run(tmp_path, dataclasses.replace(STAGE, version=2), writer("same"))
    third = run(tmp_path, dataclasses.replace(STAGE, version=3), writer("other"))
    assert first.sha256 == second.sha256 != third.sha256


@pytest.mark.parametrize("damage", ["flip", "remove", "add", "record"])
def test_damaged_stage_is_made_anew(tmp_path: Path, damage: str) -> None:
    path = run(tmp_path, STAGE, writer()).path
    if damage == "flip":
        (path / "sub" / "result.bin").write_text("contenu")
    elif damage == "remove":
        (path / "sub" / "result.bin").unlink()
    elif damage == "add":
        (path / "more").write_text("")
    else:
        (path / "stage.json").write_text('{"schema"')
    result = run(tmp_path, STAGE, writer())
    assert not result.reused
    assert sorted(p.name for p in path.rglob("*")) == ["result.bin", "stage.json", "sub"]
    assert (path / "sub" / "result.bin").read_text() == "content"


def test_a_folder_that_is_no_stage_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / STAGE.folder).mkdir()
    (tmp_path / STAGE.folder / "thesis.txt").write_text("precious")
    with pytest.raises(HostError, match="move it away"):
        run(tmp_path, STAGE, writer())
    assert (tmp_path / STAGE.folder / "thesis.txt").read_text() == "precious"


def test_failed_build_leaves_the_previous_stage_and_nothing_else(tmp_path: Path) -> None:
    run(tmp_path, STAGE, writer("old"))

    def fail(folder: Path) -> None:
        (folder / "half").write_text("half")
        raise ValueError("boom")

    with pytest.raises(ValueError, match="boom"):
        run(tmp_path, dataclasses.replace(STAGE, version=2), fail)
    assert left_over(tmp_path) == []
    assert run(tmp_path, STAGE, writer("never")).reused


def test_full_disk_is_one_line_and_leaves_nothing(tmp_path: Path) -> None:
    def fill(folder: Path) -> None:
        (folder / "half").write_text("half")
        with open("/dev/full", "wb", buffering=0) as full:  # the kernel's own ENOSPC
            full.write(b"x")

    with pytest.raises(HostError, match="no space left") as caught:
        run(tmp_path, STAGE, fill)
    assert "\n" not in str(caught.value)
    assert str(tmp_path / "03-saved-model") in str(caught.value)
    assert [path.name for path in tmp_path.iterdir()] == [".lock"]


def test_disk_full_only_at_the_last_write(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def no_space(*_: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(store, "write_json", no_space)
    with pytest.raises(HostError, match="no space left"):
        run(tmp_path, STAGE, writer())
    assert [path.name for path in tmp_path.iterdir()] == [".lock"]


def test_other_os_errors_pass_unchanged(tmp_path: Path) -> None:
    def missing(folder: Path) -> None:
        (folder / "absent").read_bytes()

    with pytest.raises(FileNotFoundError):
        run(tmp_path, STAGE, missing)


KILLED = """
import os, signal, sys
from pathlib import Path
from fer_host.files.store import Stage, Store
def build(folder):
    (folder / "half").write_text("half")
    os.kill(os.getpid(), signal.SIGKILL)
with Store(Path(sys.argv[1])) as store:
    store.run(Stage(3, "saved-model"), build)
"""


def test_killed_build_never_looks_complete(tmp_path: Path) -> None:
    paths = os.pathsep.join(sys.path)
    process = subprocess.run(
        [sys.executable, "-c", KILLED, str(tmp_path)], env={**os.environ, "PYTHONPATH": paths}, check=False
    )
    assert process.returncode == -signal.SIGKILL
    assert not (tmp_path / "03-saved-model").exists()
    assert len(left_over(tmp_path)) == 1
    assert not run(tmp_path, Stage(3, "saved-model"), writer()).reused  # and the lock died with the process
    assert left_over(tmp_path) == []


def test_kill_between_the_two_renames_only_costs_a_rebuild(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    run(tmp_path, STAGE, writer("old"))
    rename, seen = os.rename, []

    def once(source: object, target: object) -> None:
        seen.append(source)
        if len(seen) == 2:
            raise KeyboardInterrupt
        rename(source, target)  # type: ignore[arg-type]  # passed on as they came

    monkeypatch.setattr(os, "rename", once)
    newer = dataclasses.replace(STAGE, version=2)
    with pytest.raises(KeyboardInterrupt):
        run(tmp_path, newer, writer("new"))
    monkeypatch.undo()
    assert not (tmp_path / "03-saved-model").exists()
    assert not run(tmp_path, newer, writer("new")).reused


def test_second_process_is_refused(tmp_path: Path) -> None:
    with Store(tmp_path), pytest.raises(HostError, match="another fer-host is building"), Store(tmp_path):
        pass
    with Store(tmp_path):
        pass


def test_run_outside_with_is_a_bug(tmp_path: Path) -> None:
    with pytest.raises(RuntimeError):
        Store(tmp_path).run(STAGE, writer())


def test_empty_stage_is_a_bug(tmp_path: Path) -> None:
    with pytest.raises(RuntimeError, match="wrote nothing"):
        run(tmp_path, STAGE, lambda folder: None)


def test_log_survives_a_failure(tmp_path: Path) -> None:
    with Store(tmp_path) as opened:
        log = opened.log(STAGE)
    assert log == tmp_path / "logs" / "03-saved-model.log"


def test_write_bytes_keeps_the_old_file_on_failure(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    target = tmp_path / "deep" / "file"
    artifacts.write_bytes(target, b"old")

    def fail(*_: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "replace", fail)
    with pytest.raises(HostError, match="no space left"):
        artifacts.write_bytes(target, b"new")
    assert target.read_bytes() == b"old"
    assert list(target.parent.iterdir()) == [target]


@given(st.dictionaries(st.text(), st.one_of(st.integers(), st.text(), st.booleans(), st.none())))
def test_digest_json_ignores_order(value: dict[str, object]) -> None:
    assert artifacts.digest_json(value) == artifacts.digest_json(dict(reversed(value.items())))
    assert artifacts.digest_json(value) != artifacts.digest_json({**value, "\0": 1.5})


def test_digest_arrays_sees_names_dtypes_shapes_and_values() -> None:
    base = {"a": np.zeros((2, 3), np.float32), "b": np.ones(1, np.float32)}
    others: list[dict[str, NDArray[Any]]] = [
        {"A": base["a"], "b": base["b"]},
        {"a": base["a"].astype(np.int32), "b": base["b"]},
        {"a": base["a"].reshape(3, 2), "b": base["b"]},
        {"a": base["a"] + np.float32(1e-7), "b": base["b"]},
    ]
    digests = {artifacts.digest_arrays(arrays) for arrays in [base, *others]}
    assert len(digests) == 5
    assert artifacts.digest_arrays({"b": base["b"], "a": np.asfortranarray(base["a"])}) in digests

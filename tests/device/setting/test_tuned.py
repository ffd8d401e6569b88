"""What tune found is taken where it was found, and nowhere else."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest

from fer_edge.contract.bundle import Bundle
from fer_edge.setting import tuned
from fer_edge.setting.setting import Setting, default_threads, setting_for


@pytest.fixture
def entry(bundle: Bundle, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> tuned.Tuned:
    monkeypatch.setenv("STATE_DIRECTORY", str(tmp_path))
    found = tuned.Tuned(tuned.identity(bundle), "float32", 1, "blazeface_short", 1.0, 2.0, "2026")
    tuned.save(found)
    return found


def test_tuned_is_taken_unless_told_otherwise(bundle: Bundle, entry: tuned.Tuned) -> None:
    assert tuned.recall(bundle) == entry
    assert tuned.choose(bundle, None, None, None) == Setting("float32", 1, "blazeface_short")
    assert tuned.choose(bundle, None, 3, None) == Setting("float32", 3, "blazeface_short")
    other = tuned.choose(bundle, "int8", None, None)
    assert other == Setting("int8", default_threads(), "blazeface_short")


def test_of_a_file_only_the_threads_are_tuned(bundle: Bundle, entry: tuned.Tuned) -> None:
    """It reads the same on every board, whatever is fastest there."""
    plain = setting_for(bundle.manifest)
    assert plain.variant == "int8"
    assert tuned.choose(bundle, None, None, None, is_live=False) == plain
    assert tuned.choose(bundle, "float32", None, None, is_live=False) == Setting("float32", 1, plain.detector)


@pytest.mark.parametrize("field", ["model", "soc", "cpu", "n_cores", "machine", "runtime", "bundle_sha256"])
def test_another_board_falls_back(field: str, bundle: Bundle, entry: tuned.Tuned) -> None:
    other = dataclasses.replace(entry.identity, **{field: 99 if field == "n_cores" else "another"})
    tuned.forget(bundle)
    tuned.save(dataclasses.replace(entry, identity=other))
    assert tuned.recall(bundle) is None
    assert tuned.choose(bundle, None, None, None) == setting_for(bundle.manifest)


def test_a_damaged_memory_is_as_good_as_none(bundle: Bundle, entry: tuned.Tuned, tmp_path: Path) -> None:
    (tmp_path / "tune.json").write_text("{")
    assert tuned.recall(bundle) is None
    tuned.save(entry)
    assert tuned.recall(bundle) == entry
    assert tuned.forget(bundle) == 1
    assert tuned.recall(bundle) is None


def test_root_tunes_inside_the_prefix_of_the_installation(
    bundle: Bundle, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = tuned.Tuned(tuned.identity(bundle), "float32", 1, "blazeface_short", 1.0, 2.0, "2026")
    prefix, state = tmp_path / "prefix", tmp_path / "state"
    (prefix / "versions/1/venv").mkdir(parents=True)
    (prefix / ".fer-edge").touch()
    monkeypatch.setattr("sys.prefix", str(prefix / "versions/1/venv"))
    monkeypatch.delenv("STATE_DIRECTORY", raising=False)
    monkeypatch.setenv("XDG_STATE_HOME", str(state))
    assert tuned.save(found) == prefix / "tune.json"
    assert not state.exists()
    monkeypatch.setenv("STATE_DIRECTORY", str(state))  # the service of the same installation
    assert tuned.recall(bundle) == found
    monkeypatch.delenv("STATE_DIRECTORY")
    monkeypatch.setattr("os.access", lambda path, _: str(path) != str(prefix))  # another user's
    assert tuned.save(found) == state / "fer-edge/tune.json"

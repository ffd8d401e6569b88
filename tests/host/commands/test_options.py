"""Where a command takes its data set from: what it was given, else FER_DATA, never a place outside the project."""

from __future__ import annotations

from pathlib import Path

import pytest

from fer_host import cli
from fer_host.commands.options import given_data

COMMANDS = (
    "train larn",
    "prune hawqc_mbv2_pruned --macs 0.66",
    "search hawqc_mbv2",
    "qat hawqc_mbv2",
    "geometry",
    "release larn",
)


@pytest.mark.parametrize("command", COMMANDS)
def test_no_data_is_refused_in_one_line(
    command: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.delenv("FER_DATA", raising=False)
    assert cli.main(command.split()) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert "--data: not given" in line
    assert "below the folder that FER_DATA names" in line


@pytest.mark.parametrize("command", COMMANDS)
def test_fer_data_answers_for_it(
    command: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Nothing is there: each command comes as far as to say so."""
    monkeypatch.setenv("FER_DATA", str(tmp_path))
    assert cli.main(command.split()) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert str(tmp_path / "fer2013" / "fer2013_train_public.npz") in line


def test_what_is_given_comes_first(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FER_DATA", str(tmp_path))
    assert given_data(Path("mine.npz")) == Path("mine.npz")

"""Everything that fer-host writes leaves the files beside it alone, whatever their names: docs/writes.md lists it."""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch

from fer_host.boards import report
from fer_host.bundle.golden import write_sample_photos
from fer_host.files.artifacts import write_bytes, write_json
from fer_host.files.store import Stage, Store
from fer_host.pack import archive
from fer_host.train.checkpoint import save_checkpoint

Beside = Callable[[Path], Callable[[], list[str]]]


def _figure(save: Callable[[object, Path], None], path: Path) -> None:
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    save(pyplot.figure(figsize=(1, 1)), path)


def _checkpoint(path: Path) -> None:
    network = torch.nn.Linear(1, 1)
    save_checkpoint(path, network, network, torch.optim.SGD(network.parameters(), 0.1), {})


def _archive(path: Path) -> None:
    (path.parent.parent / "stage").mkdir(exist_ok=True)
    archive._write(path.parent.parent / "stage", path)


def _plots(room: str) -> Callable[[Path], None]:
    import importlib

    return lambda path: _figure(importlib.import_module(f"fer_host.{room}.plots")._save, path)


def _confusion(path: Path) -> None:
    from fer_host.zoo.card import plot_confusion

    plot_confusion(np.eye(2, dtype=int), ("a", "b"), path, "title")


WRITERS: dict[str, Callable[[Path], object]] = {
    "a.bin": lambda path: write_bytes(path, b"new"),
    "a.json": lambda path: write_json(path, {}),
    "report.md": lambda path: report._replace(path, lambda file: file.write_text("text")),
    "state.pt": _checkpoint,
    "prune.png": _plots("prune"),
    "quantize.png": _plots("quantize"),
    "confusion.png": _confusion,
    "a.tar.gz": _archive,
    "astronaut.png": write_sample_photos,
}


@pytest.mark.parametrize("name", WRITERS)
def test_a_neighbours_file_survives(name: str, tmp_path: Path, beside: Beside) -> None:
    changed = beside(tmp_path / "out" / name)
    before = set(os.listdir(tmp_path / "out"))
    for _ in range(2):  # a new one, then in place of it
        WRITERS[name](tmp_path / "out" / name)
    assert changed() == []
    assert set(os.listdir(tmp_path / "out")) - before == {name}


def test_a_build_leaves_what_lies_in_its_folder(tmp_path: Path, beside: Beside) -> None:
    stage = Stage(3, "saved-model", 1, {}, {}, ())
    changed = beside(tmp_path / "build" / stage.folder)
    (tmp_path / "build" / ".tmp-03-saved-model-abc").mkdir()  # of a killed build
    (tmp_path / "build" / ".tmp-mine").mkdir()
    for version in (1, 2):
        with Store(tmp_path / "build") as store:
            store.run(dataclasses.replace(stage, version=version), lambda folder: write_bytes(folder / "a", b"new"))
    assert changed() == []
    assert (tmp_path / "build" / ".tmp-mine").is_dir()
    assert not (tmp_path / "build" / ".tmp-03-saved-model-abc").exists()

"""A build: what it reports of a mixed variant's file, and what each of its networks depends on."""

from __future__ import annotations

import json
import os
from collections import Counter
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from fer_edge.contract.bundle import open_bundle
from fer_host.bundle.converted import Converted
from fer_host.bundle.stages import Build
from fer_host.calibration.ranges import path_of_ranges, ranges_of_tuned
from fer_host.convert import int8
from fer_host.files.store import Store
from fer_host.models.weights import load_network
from fer_host.quantize import mixed
from fer_host.quantize.shipped import MixedBudget, find_tuned
from fer_host.recipe.recipe import load_recipe
from fer_host.tflite import ranges
from fer_host.tflite.arithmetic import tensors_not_int8
from fer_host.tflite.inspection import inspect_tflite

ROOT = Path(__file__).parents[3]


def shipped_bundle() -> Path:
    bundle = Path(os.environ.get("FER_TEST_BUNDLE") or ROOT / "dist" / "hawqc_mbv2")
    if not bundle.is_dir():
        pytest.fail(f"{bundle} is not there: run `make convert MODEL=hawqc_mbv2` (make test makes one)")
    return bundle


def test_a_mixed_build_reports_what_is_not_int8(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """On the shipped bundle's own mixed file: making it again takes a minute, and is tests/e2e's matter."""
    content = open_bundle(shipped_bundle()).read("network/mixed")

    def as_shipped(*arguments: object, **_: object) -> tuple[()]:
        arguments[3].write_bytes(content)  # type: ignore[attr-defined]
        return ()

    monkeypatch.setattr(mixed, "quantize_mixed", as_shipped)
    recipe = load_recipe("hawqc_mbv2")
    chosen = find_tuned(recipe, load_network(recipe), MixedBudget())
    tuned = chosen.load()
    with Store(tmp_path / "build") as store:
        build = Build(store, recipe, tuned.network)
        float32 = Converted(build.checkpoint().with_name("network.tflite"), "")
        float32.path.write_bytes(content)  # has the same layers, and no chain to make them
        made = build.mixed(float32, ranges.load(ranges_of_tuned(chosen.path)), tuned.layers)
    notes = json.loads((tmp_path / "build" / "not-int8.json").read_text())
    expected = tensors_not_int8(inspect_tflite(made.path))
    assert [note["name"] for note in notes] == [note.name for note in expected]
    reasons = Counter(note["reason"] for note in notes)
    assert reasons
    said = capsys.readouterr().out
    assert "all in int8" in said
    assert all(f"{n} " in said and reason in said for reason, n in reasons.items())
    assert {layer.layer for layer in made.placed} == set(tuned.layers)
    for layer in made.placed:  # the bytes at its place are its integers
        size = layer.integers.size
        assert np.array_equal(np.frombuffer(content, np.int8, size, layer.offset), layer.integers.ravel()), layer.layer


def test_what_a_variant_depends_on_stays_with_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Two int8 files of one build, by other ranges: each keeps its own digest, whenever it is asked for."""
    content = open_bundle(shipped_bundle()).read("network/int8")
    monkeypatch.setattr(int8, "quantize_int8", lambda *arguments, **_: arguments[2].write_bytes(content))
    recipe = load_recipe("hawqc_mbv2")
    first = ranges.load(path_of_ranges(recipe, recipe.convert.calibration_set))
    second = replace(first, n_inputs=first.n_inputs + 1)
    with Store(tmp_path / "build") as store:
        build = Build(store, recipe, load_network(recipe), quiet=True)
        float32 = Converted(build.checkpoint().with_name("network.tflite"), "")
        made = [build.int8(float32, each) for each in (first, second, first)]
    assert made[0].conditions != made[1].conditions
    assert made[0] == made[2]

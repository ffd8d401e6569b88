"""A build's reports: what a mixed variant's file holds that is not int8."""

from __future__ import annotations

import json
import os
from collections import Counter
from pathlib import Path

import pytest

from fer_edge.contract.bundle import open_bundle
from fer_host.bundle.stages import Build
from fer_host.calibration.ranges import ranges_of_tuned
from fer_host.files.store import Store
from fer_host.models.weights import load_network
from fer_host.quantize import mixed
from fer_host.quantize.shipped import MixedBudget, find_tuned
from fer_host.recipe.recipe import load_recipe
from fer_host.tflite import ranges
from fer_host.tflite.inspection import inspect_tflite, tensors_not_int8

ROOT = Path(__file__).parents[3]


def test_a_mixed_build_reports_what_is_not_int8(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """On the shipped bundle's own mixed file: making it again takes a minute, and is tests/e2e's matter."""
    bundle = Path(os.environ.get("FER_TEST_BUNDLE") or ROOT / "dist" / "hawqc_mbv2")
    if not bundle.is_dir():
        pytest.fail(f"{bundle} is not there: run `make convert MODEL=hawqc_mbv2` (make test makes one)")
    content = open_bundle(bundle).read("network/mixed")
    monkeypatch.setattr(mixed, "quantize_mixed", lambda *arguments, **_: arguments[3].write_bytes(content))
    recipe = load_recipe("hawqc_mbv2")
    chosen = find_tuned(recipe, load_network(recipe), MixedBudget())
    tuned = chosen.load()
    with Store(tmp_path / "build") as store:
        build = Build(store, recipe, tuned.network)
        file = build.mixed(build.checkpoint(), ranges.load(ranges_of_tuned(chosen.path)), tuned.layers)
    notes = json.loads((tmp_path / "build" / "not-int8.json").read_text())
    expected = tensors_not_int8(inspect_tflite(file))
    assert [note["name"] for note in notes] == [note.name for note in expected]
    reasons = Counter(note["reason"] for note in notes)
    assert reasons
    said = capsys.readouterr().out
    assert "all in int8" in said
    assert all(f"{n} " in said and reason in said for reason, n in reasons.items())

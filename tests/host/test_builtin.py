"""The bundle that the wheel carries is sound, small, and what the shipped weights and recipes say today."""

from __future__ import annotations

import dataclasses
import os
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

import fer_edge
from fer_edge.contract.bundle import files_of_bundle, open_bundle, write_bundle
from fer_host.builtin import (
    DETECTOR,
    LARGEST_NETWORKS_BYTES,
    LARGEST_WHEEL_BYTES,
    MODEL,
    VARIANT,
    put,
    slim,
)
from fer_host.errors import HostError
from fer_host.files.paths import BUILTIN
from fer_host.models.weights import load_network, weights_sha256, zoo_path
from fer_host.pack.wheels import build_wheel
from fer_host.recipe.recipe import load_detector, load_recipe
from fer_host.zoo.card import read_card

STALE = "make it again: make builtin"


def test_it_is_what_the_shipped_weights_give() -> None:
    manifest = open_bundle(BUILTIN).manifest
    recipe, detector = load_recipe(MODEL), load_detector(DETECTOR)
    card = read_card(zoo_path(recipe))
    assert card is not None
    assert manifest.weights_sha256 == weights_sha256(load_network(recipe)), STALE
    said = (manifest.labels, manifest.input, manifest.align, manifest.version)
    assert said == (recipe.label_names, recipe.input, recipe.align, recipe.version), STALE
    assert {each.id: each.calibration for each in manifest.sets} == card.calibration, STALE
    # an accuracy is in a manifest only where weights, preprocess and ranges are those that it was measured with
    assert manifest.variant(VARIANT).metrics == card.released[VARIANT].metrics != (), STALE
    decoded = [manifest.files[role].decoded_sha256 for role in manifest.detector.files]
    assert decoded == [network.sha256 for network in detector.networks], STALE
    assert manifest.licenses == (*recipe.licenses, detector.license), STALE


def test_it_is_small_and_holds_nothing_else() -> None:
    manifest = open_bundle(BUILTIN).manifest
    assert [variant.id for variant in manifest.variants] == [VARIANT]
    assert (manifest.detector.id, manifest.other_detectors) == (DETECTOR, ())
    networks = {manifest.variants[0].file, *manifest.detector.files}
    assert set(manifest.files) == networks | {manifest.golden.file}
    assert sum(manifest.files[role].size_bytes for role in networks) <= LARGEST_NETWORKS_BYTES
    there = {str(path.relative_to(BUILTIN)) for path in BUILTIN.rglob("*") if path.is_file()}
    assert there == set(files_of_bundle(BUILTIN))


def test_a_wheel_carries_it_whole(tmp_path: Path) -> None:
    wheel = build_wheel(tmp_path)
    assert wheel.stat().st_size <= LARGEST_WHEEL_BYTES
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(tmp_path / "unpacked")
    share = tmp_path / "unpacked" / f"fer_edge-{fer_edge.__version__}.data" / "data" / "share"
    assert {path.name for path in share.rglob("*") if path.is_file()} == {
        "_fer-edge",
        "fer-edge",
        "fer-edge.1",
        "fer-edge.fish",
    }
    assert list((tmp_path / "unpacked").glob("*.dist-info/licenses/LICENSE"))
    carried = tmp_path / "unpacked" / "fer_edge" / "builtin"
    assert open_bundle(carried).sha256 == open_bundle(BUILTIN).sha256


def test_slim_leaves_other_variants_and_detectors_out(tmp_path: Path) -> None:
    """Of a whole bundle, which the device then takes as any other."""
    if not os.environ.get("FER_TEST_BUNDLE"):
        pytest.skip("FER_TEST_BUNDLE names no bundle of hawqc_mbv2 (make test makes one)")
    whole = open_bundle(Path(os.environ["FER_TEST_BUNDLE"]))
    made = write_bundle(tmp_path / "slim", *slim(whole, "int8", "mtcnn"))
    assert [variant.id for variant in made.manifest.variants] == ["int8"]
    assert made.manifest.detector.id == "mtcnn"
    kept = {each.component for each in whole.manifest.licenses if "BlazeFace" not in each.component}
    assert {each.component for each in made.manifest.licenses} == kept
    line = [sys.executable, "-m", "fer_edge", "verify", "--bundle", str(made.path)]
    done = subprocess.run(line, capture_output=True, text=True, check=False, timeout=120)
    assert (done.returncode, done.stderr) == (0, "")


def test_only_a_change_is_written(tmp_path: Path) -> None:
    """Made at another revision from the same weights it stays as it is; damaged or other, it is made again."""
    whole = open_bundle(BUILTIN)
    stored = {role: whole.read(role) for role in whole.manifest.files}
    later = dataclasses.replace(whole.manifest.provenance, git_commit="0" * 40)
    manifest = dataclasses.replace(whole.manifest, provenance=later)
    place = Path(shutil.copytree(BUILTIN, tmp_path / "builtin"))
    before = {path: path.stat().st_mtime_ns for path in place.rglob("*")}
    assert put(manifest, stored, place)[1] is False
    assert {path: path.stat().st_mtime_ns for path in place.rglob("*")} == before
    (place / "golden.npz").write_bytes(b"")
    bundle, is_new = put(manifest, stored, place)
    assert is_new
    assert bundle.manifest.provenance.git_commit == "0" * 40
    assert put(dataclasses.replace(manifest, version="9"), stored, place)[1] is True


def test_what_is_too_large_is_refused(tmp_path: Path) -> None:
    whole = open_bundle(BUILTIN)
    stored = {role: whole.read(role) for role in whole.manifest.files}
    stored[whole.manifest.variants[0].file] = bytes(LARGEST_NETWORKS_BYTES)
    with pytest.raises(HostError, match="expected at most 600000"):
        put(whole.manifest, stored, tmp_path / "builtin")
    assert list(tmp_path.iterdir()) == []

"""``fer-host convert`` without any data set: what the bundle says of itself is true."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Callable
from pathlib import Path

import cv2
import pytest

from fer_edge.contract.bundle import open_bundle
from fer_host.convert.parity import read_parity
from fer_host.recipe.recipe import load_recipe
from fer_host.tflite.arithmetic import scheme_of
from fer_host.tflite.inspection import inspect_tflite

ROOT = Path(__file__).parents[2]
Run = Callable[..., subprocess.CompletedProcess[str]]


def test_the_bundle_is_what_it_says(bundle: Path, tmp_path: Path) -> None:
    opened = open_bundle(bundle)
    manifest = opened.manifest
    assert {variant.id for variant in manifest.variants} == {"float32", "dynamic", "int8", "mixed"}
    assert manifest.default_variant == "mixed"
    for variant in manifest.variants:
        file = tmp_path / variant.id
        file.write_bytes(opened.read(variant.file))
        info = inspect_tflite(file)
        assert variant.scheme == variant.id
        assert scheme_of(info) == ("int8" if variant.id == "mixed" else variant.id)
        assert sum(layer.n_weights for layer in variant.layers) == 2_208_960
        assert variant.metrics, "no accuracy from the model card"
    int8 = manifest.variant("int8")
    assert {layer.storage for layer in int8.layers} == {"int8"}
    assert manifest.recipe_sha256 == load_recipe("hawqc_mbv2").sha256
    assert {entry.component for entry in manifest.licenses} >= {"network weights"}
    assert len(manifest.licenses) >= 2


def test_every_stage_is_within_its_gate() -> None:
    stages = {parity.stage: parity for parity in read_parity(ROOT / "build" / "hawqc_mbv2" / "parity.json")}
    assert list(stages) == ["onnx", "simplified", "saved-model", "float32", "dynamic", "int8"]
    for name in ("onnx", "simplified", "saved-model", "float32"):
        assert stages[name].max_abs <= 1e-3
        assert stages[name].n == 64
    assert stages["int8"].cosine_mean >= 0.99


def test_a_second_run_reuses_every_stage(run: Run, bundle: Path, tmp_path: Path) -> None:
    done = run("fer-host", "convert", "hawqc_mbv2", "--out", tmp_path / "again")
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("reused") == 7 + 6  # and of the tuned network
    again, first = open_bundle(tmp_path / "again").manifest, open_bundle(bundle).manifest
    assert again.files == first.files


def test_scheme_becomes_the_default(run: Run, tmp_path: Path) -> None:
    done = run("fer-host", "convert", "hawqc_mbv2", "--scheme", "dynamic", "--out", tmp_path / "b")
    assert done.returncode == 0, done.stderr
    made = open_bundle(tmp_path / "b").manifest
    assert made.default_variant == "dynamic"
    assert {variant.id for variant in made.variants} == {"float32", "dynamic"}


def test_calibration_with_photos_of_ones_own(run: Run, bundle: Path, tmp_path: Path) -> None:
    """Twenty relit copies of the packaged photo: few, but faces; the notes say so."""
    run("fer-host", "sample-photo", tmp_path / "a.png")
    photo = cv2.imread(str(tmp_path / "a.png"))
    (tmp_path / "photos").mkdir()
    for i in range(20):
        cv2.imwrite(str(tmp_path / "photos" / f"{i:02d}.png"), cv2.convertScaleAbs(photo, alpha=0.7 + i / 30, beta=i))
    done = run("fer-host", "convert", "hawqc_mbv2", "--calib", tmp_path / "photos", "--out", tmp_path / "b")
    assert done.returncode == 0, done.stderr
    assert "steadier ranges" in done.stdout
    plain = open_bundle(bundle).manifest
    mine = open_bundle(tmp_path / "b").manifest
    assert mine.files["network/int8"].sha256 != plain.files["network/int8"].sha256
    assert mine.files["network/float32"].sha256 == plain.files["network/float32"].sha256
    assert mine.variant("float32").metrics == plain.variant("float32").metrics
    assert mine.variant("int8").metrics == (), "figures of another int8 file"


def test_the_second_shipped_set(run: Run, tmp_path: Path) -> None:
    sets = sorted(path.stem for path in (ROOT / "calibration" / "sets").glob("*.json"))
    assert len(sets) >= 2
    for name in sets:
        done = run("fer-host", "convert", "hawqc_mbv2", "--calib", name, "--out", tmp_path / name)
        assert done.returncode == 0, done.stderr
        record = json.loads((ROOT / "calibration" / "sets" / f"{name}.json").read_text())
        assert record["license"]
        assert len(record["items"]) == record["lint"]["n_faces"]


def test_own_weights_need_own_ranges(run: Run, refused: Callable[..., None], tmp_path: Path) -> None:
    from fer_host.models.weights import load_network, save_weights

    network = load_network(load_recipe("hawqc_mbv2"))
    network.classifier[1].bias.data += 0.5  # type: ignore[index,union-attr,operator]
    save_weights(network, tmp_path / "mine.safetensors")
    done = run("fer-host", "convert", "hawqc_mbv2", "--weights", tmp_path / "mine.safetensors", cwd=tmp_path)
    refused(done, "fer-host calibrate", "weights")


def test_own_weights_with_own_photos_have_no_mixed_variant(
    run: Run, refused: Callable[..., None], tmp_path: Path
) -> None:
    from fer_host.models.weights import load_network, save_weights

    network = load_network(load_recipe("hawqc_mbv2"))
    network.classifier[1].bias.data += 0.5  # type: ignore[index,union-attr,operator]
    save_weights(network, tmp_path / "mine.safetensors")
    run("fer-host", "sample-photo", tmp_path / "a.png")
    photo = cv2.imread(str(tmp_path / "a.png"))
    (tmp_path / "photos").mkdir()
    for i in range(20):
        cv2.imwrite(str(tmp_path / "photos" / f"{i:02d}.png"), cv2.convertScaleAbs(photo, alpha=0.7 + i / 30, beta=i))
    own = ("--weights", tmp_path / "mine.safetensors", "--calib", tmp_path / "photos", "--out", tmp_path / "b")
    done = run("fer-host", "convert", "hawqc_mbv2", *own, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    made = open_bundle(tmp_path / "b").manifest
    assert {variant.id for variant in made.variants} == {"float32", "dynamic", "int8"}
    assert made.default_variant == "int8"
    refused(run("fer-host", "convert", "hawqc_mbv2", *own, "--compression", "9", cwd=tmp_path), "SCHEME=mixed")


@pytest.mark.parametrize("name", ["verify", "info"])
def test_the_device_accepts_the_bundle(run: Run, bundle: Path, name: str) -> None:
    done = run("fer-edge", name, "--bundle", bundle)
    assert done.returncode == 0, done.stderr


def test_pack_holds_bundle_and_wheel(run: Run, bundle: Path, tmp_path: Path) -> None:
    import tarfile

    from fer_host.pack import pack

    archive = pack(bundle, tmp_path)
    with tarfile.open(archive) as tar:
        names = tar.getnames()
    assert any(name.endswith("bundle/manifest.json") for name in names)
    assert any(name.endswith(".whl") for name in names)

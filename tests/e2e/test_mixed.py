"""The mixed variant: a file that holds exactly what was tuned, small at rest, refused where none fits."""

from __future__ import annotations

import subprocess
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch

from fer_edge.contract.bundle import open_bundle
from fer_edge.contract.errors import BundleError
from fer_edge.contract.preprocess import preprocess, softmax
from fer_host.convert.parity import compare
from fer_host.data import fer2013
from fer_host.device_pipeline import LiteRunner
from fer_host.models.weights import load_network
from fer_host.quantize.grids import TunedNetwork
from fer_host.quantize.placed import as_rows, find_layers, read_weights, torch_rows
from fer_host.quantize.policy import float_bytes, weights_per_channel
from fer_host.quantize.shipped import ChosenTuning, MixedBudget, find_tuned
from fer_host.recipe.recipe import load_recipe
from fer_host.tflite.arithmetic import scheme_of
from fer_host.tflite.inspection import inspect_tflite

Run = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture(scope="module")
def chosen() -> ChosenTuning:
    recipe = load_recipe("hawqc_mbv2")
    return find_tuned(recipe, load_network(recipe), MixedBudget())


@pytest.fixture(scope="module")
def tuned(chosen: ChosenTuning) -> TunedNetwork:
    return chosen.load()


@pytest.fixture(scope="module")
def mixed_file(bundle: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("mixed") / "mixed.tflite"
    path.write_bytes(open_bundle(bundle).read("network/mixed"))
    return path


def test_every_weight_is_the_tuned_one_to_the_bit(mixed_file: Path, tuned: TunedNetwork) -> None:
    info = inspect_tflite(mixed_file)
    layer_of = {layer.operator: layer.layer for layer in find_layers(mixed_file, tuned.layers)}
    assert sorted(layer_of.values()) == sorted(tuned.layers)
    for op, weights in read_weights(mixed_file, info):
        grid = tuned.layers[layer_of[op.index]]
        np.testing.assert_array_equal(as_rows(op.type, weights), torch_rows(grid.weight))
        low = -(2 ** (grid.bits.astype(int) - 1))
        integers = torch_rows(grid.integers).astype(int)
        assert (integers.min(axis=1) >= low).all()
        assert (integers.max(axis=1) < -low).all()
    assert scheme_of(info) == "int8"  # nothing fell back to float


def test_the_manifest_says_how_many_bits_and_where_they_are_saved(
    bundle: Path, chosen: ChosenTuning, tuned: TunedNetwork
) -> None:
    opened = open_bundle(bundle)
    variant = opened.manifest.variant("mixed")
    assert variant.scheme == "mixed"
    assert {layer.storage for layer in variant.layers} == {"int8"}
    bits = sum(int(grid.bits.astype(int).sum()) * grid.integers[0].size for grid in tuned.layers.values())
    assert sum(layer.effective_bits * layer.n_weights for layer in variant.layers) == pytest.approx(bits, rel=1e-4)
    n_channels = sum(len(grid.bits) for grid in tuned.layers.values())
    effective = bits / 8 + n_channels * (4 + 4 + 3 / 8)
    counts = weights_per_channel(tuned.network)
    reached = float_bytes(np.concatenate(list(counts.values()))) / effective
    assert reached == pytest.approx(chosen.tuning.compression, rel=1e-4)
    assert reached >= 9.93 - 1e-4
    entry = opened.manifest.files["network/mixed"]
    assert entry.encoding in ("xz", "bits1")
    assert entry.size_bytes <= 1_000_000
    assert entry.size_bytes < 0.4 * entry.decoded_size_bytes


def test_a_damaged_encoded_file_is_found(bundle_copy: Path) -> None:
    path = bundle_copy / open_bundle(bundle_copy).manifest.files["network/mixed"].path
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)
    with pytest.raises(BundleError, match="is damaged"):
        open_bundle(bundle_copy)


def test_simulated_and_exported_network_agree(bundle: Path, tuned: TunedNetwork, data: Path) -> None:
    rows = fer2013.load(data / "fer2013" / "fer2013_train_public.npz")
    rows = rows.select((rows.usage == "PublicTest") & (rows.label8 >= 0))
    recipe, opened = load_recipe("hawqc_mbv2"), open_bundle(bundle)
    inputs = np.stack([preprocess(image, recipe.input, recipe.input_hw) for image in rows.images[:1000]])
    with torch.no_grad():
        simulated = tuned.network(torch.from_numpy(inputs).permute(0, 3, 1, 2)).numpy()
    variant = opened.manifest.variant("mixed")
    exported = LiteRunner(opened.read(variant.file), variant)(inputs)
    found = compare("mixed", simulated, exported, "simulated")
    assert found.top1_agreement_at_margin >= 0.99
    assert found.top1_agreement >= 0.975
    assert float(np.abs(softmax(simulated) - softmax(exported)).mean()) < 0.02


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("hawqc_mbv2", "--scheme", "mixed", "--budget-kib", "700"), ("budget of 700 KiB", "--compression 12.4221 ")),
        (("hawqc_mbv2", "--scheme", "mixed", "--compression", "40"), ("compression 40", "2 bits everywhere take")),
        (("larn", "--scheme", "mixed"), ("larn has no tuned weights", "no [quantize] table")),
        (("hawqc_mbv2", "--scheme", "mixed", "--tuned", "/absent.safetensors"), ("/absent.safetensors",)),
    ],
)
def test_what_no_tuned_weights_keep_is_refused(
    run: Run, refused: Callable[..., None], tmp_path: Path, arguments: tuple[str, ...], said: tuple[str, ...]
) -> None:
    refused(run("fer-host", "convert", *arguments, "--out", tmp_path / "b"), *said)
    assert not (tmp_path / "b").exists()

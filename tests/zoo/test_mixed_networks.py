"""Allocation, export and read-back of every network of the zoo, with drawn weights: no training is needed for it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from fer_host.bundle.assemble import variant_of
from fer_host.bundle.stages import Build
from fer_host.files.store import Store
from fer_host.models.weights import weights_sha256
from fer_host.pipeline import to_float_tflite
from fer_host.quantize.allocate import knapsack
from fer_host.quantize.finetune import grids, on_grids
from fer_host.quantize.fold import fold_batch_norms
from fer_host.quantize.grids import load_tuned, save_tuned, tuning_of
from fer_host.quantize.policy import budget_bytes, compression, weights_per_channel
from fer_host.quantize.sensitivity import sensitivity_table
from fer_host.quantize.traces import exact
from fer_host.recipe.recipe import load_recipe
from fer_host.tflite.arithmetic import scheme_of
from fer_host.tflite.inspection import inspect_tflite
from fer_host.tflite.ranges import collect_ranges
from fer_host.tflite.run import run_tflite


@pytest.mark.parametrize("name", ["hawqc_mbv2", "fer48", "larn", "ddamfn", "shufflenet_ldam", "lfer_ldl"])
def test_a_policy_reaches_the_file_to_the_bit(name: str, drawn: Callable[[str], nn.Module], tmp_path: Path) -> None:
    recipe, source = load_recipe(name), drawn(name)
    folded = fold_batch_norms(source, recipe.input.channels, recipe.size_px)
    faces = torch.randn(2, recipe.input.channels, *recipe.input_hw)
    table = sensitivity_table(folded, exact(folded, faces).traces)
    counts = weights_per_channel(folded)
    policy = knapsack(table, budget_bytes(counts, 6))
    assert compression(policy, counts) >= 6

    placed = on_grids(folded, policy)
    file = tmp_path / "placed.safetensors"
    save_tuned(placed, grids(placed), tuning_of(name, weights_sha256(source), policy, folded, 0, (0, 0, 0)), file)
    tuned = load_tuned(folded, file)
    with Store(tmp_path / "build") as store:
        build = Build(store, recipe, tuned.network, quiet=True)
        float32 = to_float_tflite(build)
        with np.load(tmp_path / "build" / "01-checkpoint" / "golden.npz") as golden:
            inputs = golden["inputs"]
        rows = (row[None] for row in inputs[:16])
        ranges = collect_ranges(float32.path, rows, weights_sha256=build.weights_sha256)
        mixed = build.mixed(float32, ranges, tuned.layers)
        variant = variant_of("mixed", mixed)
    assert {layer.effective_bits for layer in variant.layers} >= {round(g.mean_bits, 4) for g in tuned.layers.values()}
    assert {layer.layer for layer in mixed.placed} == set(tuned.layers)
    assert scheme_of(inspect_tflite(mixed.path)) == "int8"
    assert (tmp_path / "build" / "not-int8.json").is_file()
    assert np.isfinite(run_tflite(mixed.path, inputs[:2])).all()

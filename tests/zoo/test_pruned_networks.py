"""A short pruning run of every network, and what is left through the whole chain to a bundle that verifies.

Weights and pictures are drawn: what is tried is following channels, surgery, saving, loading, converting, verifying.
"""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from torch import nn

from fer_edge.contract.bundle import open_bundle
from fer_host.bundle.assemble import assemble
from fer_host.bundle.stages import Build
from fer_host.files.store import Store
from fer_host.models.weights import load_network, save_weights
from fer_host.pipeline import to_float_tflite
from fer_host.prune.costs import cost_of
from fer_host.prune.run import with_options
from fer_host.prune.schedule import prune
from fer_host.prune.state import Run
from fer_host.recipe.prune import Budget, Floor
from fer_host.recipe.recipe import load_recipe
from fer_host.recipe.train import LossConfig, Phase
from fer_host.tflite.ranges import collect_ranges
from fer_host.train.batches import TrainSet

ROOT = Path(__file__).parents[2]


@pytest.mark.parametrize("name", ["fer48", "larn", "ddamfn", "shufflenet_ldam", "lfer_ldl"])
def test_a_pruned_network_becomes_a_bundle_that_verifies(
    name: str, drawn: Callable[[str], nn.Module], tmp_path: Path
) -> None:
    plain = load_recipe(name)
    recipe = with_options(plain, "gated", Budget(macs=0.9), round_to=4)
    assert recipe.prune is not None
    short = (Phase(1, recipe.size_px),)
    config = replace(
        recipe.prune,
        per_class=2,
        filters=0.02,
        punish_steps=2,
        judge_drop=1.0,
        floor=Floor(0.25, 4),
        reward=replace(recipe.prune.reward, phases=short, batch=8),
    )
    recipe = replace(
        recipe, prune=config, train=(replace(recipe.train[0], phases=short, batch=8, loss=LossConfig(vote_share=1.0)),)
    )
    n_classes = len(recipe.label_names)
    pictures = np.random.default_rng(0).integers(0, 256, (16, 48, 48), dtype=np.uint8)
    data = TrainSet(pictures, np.eye(n_classes, dtype=np.float32)[np.arange(16) % n_classes])
    run = Run(recipe, config, drawn(name), lambda _: data, lambda *_: 0.5, tmp_path / "run")
    pruned = prune(run)
    cost = cost_of(pruned, recipe.input.channels, recipe.size_px)
    assert cost.macs <= 0.9 * run.start_cost.macs
    assert cost.parameters < run.start_cost.parameters

    save_weights(pruned, tmp_path / "pruned.safetensors", pruned_from=name)
    network = load_network(plain, tmp_path / "pruned.safetensors")
    with Store(tmp_path / "build") as store:
        build = Build(store, plain, network, quiet=True)
        float32 = to_float_tflite(build)
        with np.load(tmp_path / "build" / "01-checkpoint" / "golden.npz") as golden:
            rows = (row[None] for row in golden["inputs"])
            ranges = collect_ranges(float32.path, rows, weights_sha256=build.weights_sha256)
        networks = {
            "float32": float32,
            "dynamic": build.dynamic(float32),
            "int8": build.int8(float32, ranges),
        }
        bundle = assemble(build, networks, None, tmp_path / "bundle", None)
    assert {variant.id for variant in open_bundle(bundle.path).manifest.variants} == set(networks)
    verify = [sys.executable, "-m", "fer_edge.cli", "verify", "--bundle", str(bundle.path)]
    done = subprocess.run(verify, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout[-500:] + done.stderr[-500:]

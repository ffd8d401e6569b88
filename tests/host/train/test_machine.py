"""A card says what its network was trained on."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from fer_host.recipe.recipe import load_recipe
from fer_host.train.machine import machine


def test_it_names_what_computes() -> None:
    if torch.cuda.is_available():
        pytest.skip("a machine without an accelerator is described")
    recipe, threads = load_recipe("larn"), torch.get_num_threads()
    try:
        for n, said in ((1, "1 shared core of "), (2, "2 shared cores of ")):
            torch.set_num_threads(n)
            assert machine(recipe).startswith(said)
    finally:
        torch.set_num_threads(threads)
    assert machine(recipe).endswith(", bfloat16")
    plain = replace(recipe, train=tuple(replace(cycle, precision="float32") for cycle in recipe.train))
    assert machine(plain).endswith(", float32")

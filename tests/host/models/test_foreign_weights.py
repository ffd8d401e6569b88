"""Weights as training scripts of others leave them: wrapped, prefixed, pickled whole."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from fer_host.errors import WeightsError
from fer_host.models.weights import StateDict, build_network, load_network
from fer_host.recipe.recipe import load_recipe

RECIPE = load_recipe("shufflenet_ldam")


@pytest.fixture(scope="module")
def state() -> StateDict:
    torch.manual_seed(3)
    return dict(build_network(RECIPE).state_dict())


def prefixed(prefix: str) -> Callable[[StateDict], dict[str, Any]]:
    return lambda state: {f"{prefix}{key}": value for key, value in state.items()}


@pytest.mark.parametrize(
    "wrap",
    [
        prefixed(""),
        prefixed("module."),
        prefixed("_orig_mod."),
        prefixed("module._orig_mod."),
        prefixed("my_own_wrapper."),
        lambda state: {"model": state},
        lambda state: {"model_state_dict": prefixed("module.")(state), "epoch": 3},
        lambda state: {"state_dict": prefixed("model.")(state), "optimizer": {"lr": 0.1}},
        lambda state: {"n_averaged": torch.tensor(5), **prefixed("module.")(state)},
        lambda state: {"net": {"state_dict": state}},
    ],
)
def test_wrapped_weights_are_taken(tmp_path: Path, state: StateDict, wrap: Callable[[StateDict], Any]) -> None:
    torch.save(wrap(state), tmp_path / "own.pt")
    loaded = load_network(RECIPE, tmp_path / "own.pt").state_dict()
    assert all(torch.equal(loaded[key], value) for key, value in state.items())


@pytest.mark.parametrize(
    ("wrap", "said"),
    [
        (lambda state: {f"teacher.{key}x": value for key, value in state.items()}, "starts with 'teacher'"),
        (lambda state: {"epoch": 3, "history": [1.0]}, "found a dict of epoch, history"),
        (lambda state: {}, "expected a state dict"),
        (lambda state: list(state.values()), "found list"),
    ],
)
def test_others_are_refused_with_what_was_seen(
    tmp_path: Path, state: StateDict, wrap: Callable[[StateDict], Any], said: str
) -> None:
    torch.save(wrap(state), tmp_path / "own.pt")
    with pytest.raises(WeightsError, match=said):
        load_network(RECIPE, tmp_path / "own.pt")


def test_a_pickled_network_is_refused_with_what_to_save_instead(tmp_path: Path) -> None:
    torch.save(build_network(RECIPE), tmp_path / "own.pt")
    with pytest.raises(WeightsError, match=r"network\.state_dict\(\)") as caught:
        load_network(RECIPE, tmp_path / "own.pt")
    assert str(caught.value).isprintable()


def test_terminal_escapes_of_others_are_shown_as_text() -> None:
    assert str(WeightsError("a\x1b[31mred\nline")) == r"a\x1b[31mred\nline"

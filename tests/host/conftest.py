"""Fixtures for the host's tests."""

from __future__ import annotations

import re
import shlex
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch

from fer_host.files.paths import RECIPES
from fer_host.recipe.recipe import Recipe
from fer_host.recipe.train import TrainConfig


@pytest.fixture(scope="module")
def one_thread() -> Iterator[None]:
    """For networks so small that they lose time by sharing it."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="session")
def commands_in() -> Callable[[str], list[list[str]]]:
    """Finds the ``fer-host`` command lines, each as its arguments, that a message puts in backticks."""
    return lambda message: [shlex.split(command)[1:] for command in re.findall(r"`(fer-host [^`]+)`", message)]


NETWORK = '''"""A network of the user's own."""
from torch import nn
from layers import block


class Net(nn.Module):
    def __init__(self, num_classes: int, in_channels: int = 3) -> None:
        super().__init__()
        self.body = nn.Sequential(block(in_channels, 8, 2), block(8, 12, 2), nn.AdaptiveAvgPool2d(1))
        self.head = nn.Linear(12, num_classes)

    def forward(self, x):
        return self.head(self.body(x).flatten(1))
'''
LAYERS = """from torch import nn


def block(before, after, stride):
    return nn.Sequential(nn.Conv2d(before, after, 3, stride, 1, bias=False), nn.BatchNorm2d(after), nn.ReLU())
"""
RECIPE = """id = "mine"
network = "net.py:Net"
labels = ["calm", "tired"]
size_px = 24
crop_px = 48

[input]
color = "gray"
source_px = 24
interpolation = "bilinear"
mean = [0.5]
std = [0.25]

[[train]]
start = "random"
min_votes = 0
phases = [{ epochs = 2, size_px = 24 }]
seed = 1
batch = 8
ema_decay = 0.9
clip_norm = 2.0
optimizer = { kind = "adam", lr = 0.01, momentum = 0.9, weight_decay = 0.0, sam_rho = 0.0 }
schedule = { kind = "constant" }
loss = { vote_share = 0.0 }

[train.augment]
flip_p = 0.5
rotate_deg = 0.0
scale = 0.0
aspect = 0.0
shift = 0.0
brightness = 0.0
contrast = 0.0
erase_p = 0.0
erase_area = [0.0, 0.0]
"""


@pytest.fixture
def own_recipe(tmp_path: Path) -> Path:
    """A recipe of the user's own in a folder of its own, with its network; ``own_data`` beside it has its labels."""
    folder = tmp_path / "somewhere"
    folder.mkdir()
    (folder / "net.py").write_text(NETWORK)
    (folder / "layers.py").write_text(LAYERS)
    (folder / "mine.toml").write_text(RECIPE)
    random = np.random.default_rng(5)
    for label, light in (("calm", 60), ("tired", 180)):
        (folder / "own_data" / label).mkdir(parents=True)
        for i in range(24):
            pixels = np.clip(random.normal(light, 25, (24, 24, 3)), 0, 255).astype(np.uint8)
            cv2.imwrite(str(folder / "own_data" / label / f"{i // 2:03d}_{i % 2}.png"), pixels)
    return folder / "mine.toml"


@pytest.fixture(scope="session")
def first_cycle() -> str:
    """The flagship's recipe with its first cycle alone, one label set and crops as they are, as TOML."""
    text = (RECIPES / "hawqc_mbv2.toml").read_text()
    before, first, *_, last = text.split("[[train]]")
    tune = last.split("[quantize]")[1].split("[quantize.tune.augment.light]")[0]
    text = f"{before}[[train]]{first}[quantize]{tune}[[licenses]]" + last.split("[[licenses]]")[1]
    return re.sub(r"(heads|normalize) = .*\n", "", text).replace(", head_shares = [0.7, 0.3]", "")


@pytest.fixture(scope="session")
def one_set() -> Callable[[Recipe], Recipe]:
    """Makes a recipe of several label sets one of its first alone, without tuned bits."""

    def plain(cycle: TrainConfig) -> TrainConfig:
        return replace(cycle, loss=replace(cycle.loss, head_shares=()))

    def made(recipe: Recipe) -> Recipe:
        prune = recipe.prune and replace(recipe.prune, reward=plain(recipe.prune.reward))
        return replace(recipe, heads=(), train=tuple(map(plain, recipe.train)), prune=prune, quantize=None)

    return made

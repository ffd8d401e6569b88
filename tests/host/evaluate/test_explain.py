"""Heat maps: on networks whose answer is known, on every network of the zoo, and on a photo."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from torch import nn

from fer_host.bundle.golden import PHOTOS
from fer_host.errors import DataError, RecipeError
from fer_host.evaluate.explain import Heat, explain, heat_map
from fer_host.models import MODELS
from fer_host.models.weights import package_file
from fer_host.recipe.recipe import load_recipe


class LooksAtQuadrant(nn.Module):
    """Light in one quadrant of the picture speaks for class 1, light elsewhere is never seen."""

    def __init__(self, rows: slice, cols: slice, in_head: bool) -> None:
        super().__init__()
        mask = torch.zeros(1, 1, 16, 16)
        mask[:, :, rows, cols] = 1
        self.register_buffer("mask", mask)
        self.in_head = in_head
        self.conv = nn.Conv2d(1, 2, 3, 1, 1, bias=False)
        nn.init.constant_(self.conv.weight, 1 / 9)
        self.relu = nn.ReLU(inplace=True)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        y = self.relu(self.conv(x if self.in_head else x * self.mask))
        strength = (y * self.mask if self.in_head else y).mean(dim=(2, 3)).sum(dim=1)
        return torch.stack([-strength, strength - 0.01], dim=1)


class AttendsQuadrant(nn.Module):
    """The convolution sees all; an attention that multiplies its map, as DDAMFN's does, leaves one quadrant."""

    def __init__(self, rows: slice, cols: slice) -> None:
        super().__init__()
        self.looks = LooksAtQuadrant(rows, cols, True)
        self.pool = nn.AdaptiveAvgPool2d(1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        y = self.looks.relu(self.looks.conv(x))
        strength = self.pool(y * self.looks.mask).sum(dim=(1, 2, 3))
        return torch.stack([-strength, strength], dim=1)


QUADRANTS = [(slice(0, 8), slice(0, 8)), (slice(0, 8), slice(8, 16)), (slice(8, 16), slice(0, 8))]


def share_inside(found: Heat, rows: slice, cols: slice) -> float:
    return float(found.heat[rows, cols].sum() / found.heat.sum())


@pytest.mark.parametrize(("rows", "cols"), QUADRANTS)
@pytest.mark.parametrize("method", ["grad-cam", "hires-cam"])
def test_heat_lies_where_the_network_looks(rows: slice, cols: slice, method: str) -> None:
    found = heat_map(LooksAtQuadrant(rows, cols, False), torch.ones(1, 1, 16, 16), method=method)  # type: ignore[arg-type]
    assert found.index == 1
    assert found.heat.shape == (16, 16)
    assert found.heat.max() == 1
    assert share_inside(found, rows, cols) > 0.85  # the 3x3 kernel sees one px beyond


@pytest.mark.parametrize(("rows", "cols"), QUADRANTS)
def test_a_head_that_weighs_positions_needs_the_finer_method(rows: slice, cols: slice) -> None:
    network, x = LooksAtQuadrant(rows, cols, True), torch.ones(1, 1, 16, 16)
    assert share_inside(heat_map(network, x, method="hires-cam"), rows, cols) == 1
    assert share_inside(heat_map(network, x), rows, cols) < 0.3  # the mean gradient does not know the place


@pytest.mark.parametrize(("rows", "cols"), QUADRANTS)
def test_the_map_is_what_goes_into_pooling(rows: slice, cols: slice) -> None:
    assert share_inside(heat_map(AttendsQuadrant(rows, cols), torch.ones(1, 1, 16, 16)), rows, cols) == 1


def test_what_speaks_against_a_class_is_cold() -> None:
    network, x = LooksAtQuadrant(*QUADRANTS[0], False), torch.ones(1, 1, 16, 16)
    found = heat_map(network, x, index=0)
    assert found.index == 0
    assert not found.heat.any()
    assert heat_map(network, x, index=1).heat.any()


# by the longest name that fits: side of the input, side of the last convolution's map, px
MAPS = {
    "mobilenet_v2": (96, 3),
    "larn": (48, 12),
    "fer48": (48, 6),
    "ddamfn": (48, 3),
    "mfn": (48, 3),
    "mobilefacenet": (48, 3),
    "shufflenet": (96, 3),
    "shufflenet_v2_stem1": (48, 3),
    "shufflenet_v2_prelu_stem1": (48, 3),
    "shufflenet_ldam_stem1": (48, 3),
    "shufflenet_ldam_stem1_no_pool": (48, 6),
    "lfer_ldl": (96, 3),
    "resnet50": (96, 3),
}


@pytest.mark.parametrize("name", sorted(MODELS))
def test_every_network_has_a_map(name: str) -> None:
    size, map_px = MAPS[max((known for known in MAPS if name.startswith(known)), key=len)]
    torch.manual_seed(0)
    network = MODELS[name](7, 1, size)
    before = {key: value.clone() for key, value in network.state_dict().items()}
    found = heat_map(network, torch.randn(1, 1, size, size), method="hires-cam")
    assert found.heat.shape == (size, size)
    assert found.map_px == map_px
    assert np.isfinite(found.heat).all()
    assert found.probabilities.sum() == pytest.approx(1, abs=1e-5)
    for key, value in network.state_dict().items():
        assert torch.equal(value, before[key]), key  # nothing is left behind
    assert not any(module._forward_hooks or module._forward_pre_hooks for module in network.modules())


def test_an_earlier_map_is_sharper() -> None:
    network = MODELS["mobilenet_v2"](8, 3, 96)
    x = torch.randn(1, 3, 96, 96)
    assert [heat_map(network, x, map_px=px).map_px for px in (1, 4, 12, 48)] == [3, 6, 12, 48]
    with pytest.raises(DataError, match="smaller --map-px"):
        heat_map(network, x, map_px=97)


@pytest.fixture(scope="module")
def photos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    from fer_host.bundle.golden import write_sample_photos

    folder = tmp_path_factory.mktemp("photos")
    write_sample_photos(folder)
    assert cv2.imwrite(str(folder / "wall.png"), np.full((200, 200, 3), 90, dtype=np.uint8))
    return folder


def test_the_astronaut_gets_a_picture(photos: Path, tmp_path: Path) -> None:
    recipe = load_recipe("hawqc_mbv2")
    twice = [photos / "astronaut.png", photos / "wall.png", photos / "astronaut.png"]
    first, wall, second = explain(recipe, twice, tmp_path / "out")
    assert (first.label, wall.picture) == ("happiness", None)
    assert "happiness" in first.line()
    assert "no face" in wall.line()
    assert 0.5 < first.probability <= 1
    assert [p.name for p in (first.picture, second.picture) if p] == ["astronaut.png", "astronaut-2.png"]
    picture = cv2.imread(str(first.picture))
    assert picture is not None
    assert picture.shape == (356, 640, 3)
    left, right = picture[:320, :320].astype(int), picture[:320, 320:].astype(int)
    assert np.abs(left - right).mean() > 5  # the overlay
    assert (picture[320:] < 128).any()  # the caption


def test_what_cannot_be_explained_is_refused(photos: Path, tmp_path: Path) -> None:
    recipe = load_recipe("hawqc_mbv2")
    with pytest.raises(RecipeError, match="no such output"):
        list(explain(recipe, [photos], tmp_path, label="boredom"))
    (tmp_path / "empty").mkdir()
    with pytest.raises(DataError, match="found none"):
        list(explain(recipe, [tmp_path / "empty"], tmp_path))


def test_small_faces_are_explained_as_image_finds_them(tmp_path: Path) -> None:
    """Three small ones in a large photo, which a look at the whole picture misses."""
    face = cv2.imread(str(package_file(*PHOTOS["astronaut.png"])))
    small = cv2.resize(face, (220, 220), interpolation=cv2.INTER_AREA)
    canvas = np.full((600, 900, 3), 128, dtype=np.uint8)
    for x, y in ((20, 20), (340, 360), (660, 40)):
        canvas[y : y + 220, x : x + 220] = small
    cv2.imwrite(str(tmp_path / "crowd.png"), canvas)
    found = list(explain(load_recipe("fer48"), [tmp_path / "crowd.png"], tmp_path / "out"))
    assert [each.picture and each.picture.name for each in found] == ["crowd.png", "crowd-2.png", "crowd-3.png"]

"""What light and camera do to training images: each part by what it must do to a picture."""

from __future__ import annotations

from dataclasses import replace

import cv2
import numpy as np
import pytest
import torch

from fer_edge.contract.preprocess import preprocess
from fer_edge.contract.specs import InputSpec
from fer_host.data.augment import augment_batch, mixed_up, normalized, planes
from fer_host.data.spoil import jpeg, spoil
from fer_host.recipe.train import Augment, Light

NONE = Light()
STILL = Augment(0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, (0.02, 0.15))


def drawn(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


@pytest.fixture(scope="module")
def faces() -> torch.Tensor:
    """(32, 1, 48, 48): smooth pictures with an edge, in 8 bits."""
    random = np.random.default_rng(0)
    small = random.uniform(30, 220, (32, 6, 6)).astype(np.float32)
    big = np.stack([cv2.resize(each, (48, 48), interpolation=cv2.INTER_CUBIC) for each in small])
    big[:, :, 24:] = big[:, :, 24:] * 0.5
    return torch.from_numpy(np.clip(np.rint(big), 0, 255).astype(np.float32))[:, None] / 255


def test_nothing_is_done_by_default(faces: torch.Tensor) -> None:
    torch.testing.assert_close(spoil(faces, NONE, drawn()), faces, atol=1e-6, rtol=0)


ALL_PARTS = {
    "blur": Light(blur_p=1.0, blur_px=2.0),
    "haze": Light(haze_p=1.0, haze=0.8),
    "gamma": Light(gamma_p=1.0, gamma=0.8),
    "gain": Light(gain_p=1.0, gain=(0.1, 2.2)),
    "noise": Light(noise_p=1.0, noise=0.1),
    "small": Light(small_p=1.0, small=0.3),
    "jpeg": Light(jpeg_p=1.0, jpeg=(5, 30)),
}


@pytest.mark.parametrize("part", ALL_PARTS)
def test_every_part_changes_pictures_keeps_8_bits_and_repeats(part: str, faces: torch.Tensor) -> None:
    first, again, other = (spoil(faces, ALL_PARTS[part], drawn(seed)) for seed in (1, 1, 2))
    torch.testing.assert_close(first, again)
    assert not torch.equal(first, other)
    assert (first != faces).flatten(1).any(1).float().mean() > 0.9
    assert first.min() >= 0
    assert first.max() <= 1
    torch.testing.assert_close(first * 255, (first * 255).round(), atol=1e-3, rtol=0)


@pytest.mark.parametrize("part", ALL_PARTS)
def test_every_part_is_drawn_for_its_share_of_the_images(part: str, faces: torch.Tensor) -> None:
    """All parts alike: a share of 0.3 spoils about so many of 320 images, and leaves the others as they are."""
    how = replace(ALL_PARTS[part], **{f"{part}_p": 0.3})
    spoilt = [(spoil(faces, how, drawn(seed)) - faces).abs().flatten(1).amax(1) > 1 / 512 for seed in range(10)]
    assert 0.2 < torch.cat(spoilt).float().mean() < 0.4


def test_a_dim_picture_has_few_levels_and_a_bright_one_is_cut(faces: torch.Tensor) -> None:
    dim = spoil(faces, Light(gain_p=1.0, gain=(0.1, 0.1)), drawn())
    assert len(torch.unique(dim)) < 30
    torch.testing.assert_close(dim, faces * 0.1, atol=1 / 500, rtol=0)
    assert (spoil(faces, Light(gain_p=1.0, gain=(2.2, 2.2)), drawn()) == 1).float().mean() > 0.1


def test_haze_takes_contrast_and_lifts_black(faces: torch.Tensor) -> None:
    hazy = spoil(faces, Light(haze_p=1.0, haze=1.0), drawn())
    assert (hazy.flatten(1).std(1) <= faces.flatten(1).std(1) + 1 / 255).all()
    assert hazy.flatten(1).std(1).mean() < 0.7 * faces.flatten(1).std(1).mean()
    assert hazy.amin((1, 2, 3)).mean() > faces.amin((1, 2, 3)).mean() + 0.2


def test_blur_keeps_the_mean_and_takes_edges(faces: torch.Tensor) -> None:
    blurred = spoil(faces, Light(blur_p=1.0, blur_px=2.0), drawn())
    torch.testing.assert_close(blurred.mean((1, 2, 3)), faces.mean((1, 2, 3)), atol=0.02, rtol=0)
    assert (blurred.diff(dim=3).abs().amax((1, 2, 3)) <= faces.diff(dim=3).abs().amax((1, 2, 3)) + 0.01).all()


@pytest.mark.parametrize("quality", [10, 30, 50, 80])
def test_jpeg_loses_what_opencvs_jpeg_loses(quality: int, faces: torch.Tensor) -> None:
    found = jpeg(faces, torch.full((len(faces), 1, 1, 1), float(quality)))
    errors = []
    for ours, picture in zip(found[:, 0].numpy(), faces[:, 0].numpy(), strict=True):
        pixels = np.rint(picture * 255).astype(np.uint8)
        packed = cv2.imencode(".jpg", pixels, [cv2.IMWRITE_JPEG_QUALITY, quality])[1]
        theirs = cv2.imdecode(packed, cv2.IMREAD_GRAYSCALE).astype(np.float32)
        errors.append(np.abs(ours * 255 - theirs).mean())
    assert np.mean(errors) < 0.5  # the decoder rounds to 8 bits; a frequency on the edge of a step may go either way
    lost = np.abs(found.numpy() - faces.numpy()).mean() * 255
    assert lost > 2 * np.mean(errors)


def test_jpeg_takes_sides_that_are_no_multiple_of_8() -> None:
    x = torch.rand(2, 3, 45, 50, generator=drawn())
    assert jpeg(x, torch.full((2, 1, 1, 1), 90.0)).shape == x.shape


def test_what_covers_a_face_stands_in_the_same_light(faces: torch.Tensor) -> None:
    dark = Light(gain_p=1.0, gain=(0.1, 0.1))
    how = replace(STILL, erase_p=1.0, erase_area=(0.2, 0.4), light=dark)
    assert augment_batch(faces, 48, how, drawn()).max() < 0.12


def test_recipes_without_light_are_moved_as_ever(faces: torch.Tensor) -> None:
    how = Augment(0.5, 15.0, 0.12, 0.1, 0.06, 0.1, 0.2, 0.4, (0.02, 0.15))
    torch.testing.assert_close(
        augment_batch(faces, 48, how, drawn()), augment_batch(faces, 48, replace(how, light=None), drawn())
    )
    light = augment_batch(faces, 48, replace(how, light=NONE), drawn())  # the same draws for what was there before
    torch.testing.assert_close(light, augment_batch(faces, 48, how, drawn()).clamp(0, 1), atol=1 / 500, rtol=0)


@pytest.mark.parametrize("color", ["gray", "gray3", "rgb"])
@pytest.mark.parametrize("normalize", [None, "fixed", "standardize", "stretch"])
def test_training_sees_what_the_device_makes(color: str, normalize: str | None) -> None:
    n = 1 if color == "gray" else 3
    spec = InputSpec(color, 48, "bilinear", (0.4,) * n, (0.3,) * n, normalize)  # type: ignore[arg-type]
    shape = (4, 48, 48, 3) if color == "rgb" else (4, 48, 48)
    crops = np.random.default_rng(0).integers(0, 200, shape).astype(np.uint8)
    found = normalized(planes(crops), spec).expand(-1, n, -1, -1).permute(0, 2, 3, 1).numpy()
    expected = np.stack([preprocess(crop, spec, (48, 48)) for crop in crops])
    np.testing.assert_allclose(found, expected, atol=1e-4)


def test_mixup_mixes_images_and_targets_by_one_share(faces: torch.Tensor) -> None:
    x = torch.eye(32).view(32, 32, 1, 1)  # so that an image shows which ones it was made of
    targets = torch.eye(32)
    plain = mixed = 0
    for seed in range(40):
        images, found = mixed_up(x, targets, 0.4, drawn(seed))
        torch.testing.assert_close(images.flatten(1), found)
        torch.testing.assert_close(found.sum(1), torch.ones(32))
        plain, mixed = plain + torch.equal(found, targets), mixed + (not torch.equal(found, targets))
    assert plain > 8
    assert mixed > 8
    assert mixed_up(faces, targets, 0.0, drawn())[0] is faces

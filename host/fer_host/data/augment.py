"""Training augmentation on whole batches: one resampling for flip, affine and enlargement, then light and erasing."""

from __future__ import annotations

import math

import numpy as np
import torch
from numpy.typing import NDArray
from torch.nn import functional

from fer_edge.contract.preprocess import normalize_light
from fer_edge.contract.specs import InputSpec
from fer_host.data.spoil import spoil
from fer_host.recipe.train import Augment


def planes(images: NDArray[np.uint8]) -> torch.Tensor:
    """Gray (N, h, w) or RGB (N, h, w, 3) pictures as (N, 1 or 3, h, w) float in 0..1."""
    pixels = torch.from_numpy(images)
    return (pixels.unsqueeze(1) if pixels.ndim == 3 else pixels.permute(0, 3, 1, 2)).float() / 255


def normalized(images: torch.Tensor, spec: InputSpec) -> torch.Tensor:
    """A batch (N, C, h, w) in 0..1 as the network's input, by ``preprocess``' own arithmetic."""
    mean, std = (torch.tensor(values).view(1, -1, 1, 1) for values in (spec.mean, spec.std))
    if spec.normalize is not None:
        images = torch.from_numpy(normalize_light(images.numpy(), spec.normalize))
    return (images - mean) / std


def mixed_up(
    images: torch.Tensor, targets: torch.Tensor, alpha: float, generator: torch.Generator
) -> tuple[torch.Tensor, torch.Tensor]:
    """Mixup (Zhang et al. 2018): in half of the batches each image and target with another's, by one share.

    Args:
        images: (N, C, h, w).
        targets: (N, classes).
        alpha: of Beta(alpha, alpha), from which the share comes; 0: as they are.
        generator: source of every draw.
    """
    if not alpha or torch.rand(1, generator=generator) < 0.5:
        return images, targets
    gammas = torch._standard_gamma(torch.full((2,), alpha), generator=generator)
    share = float(gammas[0] / gammas.sum().clamp(min=1e-6))
    other = torch.randperm(len(images), generator=generator)
    return share * images + (1 - share) * images[other], share * targets + (1 - share) * targets[other]


def augment_batch(
    images: torch.Tensor, size_px: int, how: Augment, generator: torch.Generator, share: tuple[int, int] = (0, 1)
) -> torch.Tensor:
    """Moves and enlarges a batch.

    Args:
        images: (N, C, h, w) float in 0..1.
        size_px: side of the square result.
        generator: source of every draw, so that a step can be repeated.
        share: (rank, size) of a team, each of which augments the images ``rank::size`` of the joint batch and draws for
            all of it; not with ``how.light``, whose draws depend on each other.

    Returns:
        (N, C, size_px, size_px) float; values may leave 0..1 a little through brightness and contrast.
    """
    n, (rank, size) = len(images), share
    if size > 1 and how.light is not None:
        raise ValueError("a share of a batch cannot be spoiled by itself")

    def uniform(low: float, high: float) -> torch.Tensor:
        return torch.rand(n * size, generator=generator)[rank::size] * (high - low) + low

    angle = uniform(-how.rotate_deg, how.rotate_deg) * math.pi / 180
    scale = 1 / (1 + uniform(-how.scale, how.scale))
    stretch = torch.exp(uniform(-how.aspect, how.aspect) / 2)
    flip = torch.where(uniform(0, 1) < how.flip_p, -1.0, 1.0)
    theta = torch.zeros(n, 2, 3)
    theta[:, 0, 0] = torch.cos(angle) * scale * flip / stretch
    theta[:, 0, 1] = -torch.sin(angle) * scale / stretch
    theta[:, 1, 0] = torch.sin(angle) * scale * flip * stretch
    theta[:, 1, 1] = torch.cos(angle) * scale * stretch
    theta[:, 0, 2] = uniform(-how.shift, how.shift) * 2
    theta[:, 1, 2] = uniform(-how.shift, how.shift) * 2
    grid = functional.affine_grid(theta, [n, 1, size_px, size_px], align_corners=False)
    out = functional.grid_sample(images, grid, mode="bilinear", padding_mode="border", align_corners=False)

    mean = out.mean(dim=(1, 2, 3), keepdim=True)
    contrast = (1 + uniform(-how.contrast, how.contrast)).view(n, 1, 1, 1)
    brightness = uniform(-how.brightness, how.brightness).view(n, 1, 1, 1)
    out = (out - mean) * contrast + mean + brightness
    out = _erase(out, how, uniform)  # what covers a face stands in the same light
    return out if how.light is None else spoil(out.clamp(0, 1), how.light, generator)


def _erase(images: torch.Tensor, how: Augment, uniform: object) -> torch.Tensor:
    """Random erasing (Zhong et al. 2017): one rectangle of each drawn image becomes a flat gray."""
    assert callable(uniform)
    n, _, height, width = images.shape
    area = uniform(*how.erase_area) * height * width
    aspect = torch.exp(uniform(-math.log(3), math.log(3)))
    rows = (area * aspect).sqrt().clamp(1, height).view(n, 1, 1)
    cols = (area / aspect).sqrt().clamp(1, width).view(n, 1, 1)
    top = uniform(0, 1).view(n, 1, 1) * (height - rows)
    left = uniform(0, 1).view(n, 1, 1) * (width - cols)
    y = torch.arange(height).view(1, height, 1)
    x = torch.arange(width).view(1, 1, width)
    inside = (y >= top) & (y < top + rows) & (x >= left) & (x < left + cols)
    inside &= (uniform(0, 1) < how.erase_p).view(n, 1, 1)
    fill = uniform(0, 1).view(n, 1, 1, 1)
    return torch.where(inside.unsqueeze(1), fill, images)

"""What light and camera do to training images, in whole batches: ``config.Light`` names each part and its range."""

from __future__ import annotations

import functools
import math
from collections.abc import Callable

import torch
from torch.nn import functional

from fer_host.recipe.train import Light

_TAPS = 7  # side of a blur's kernel
_BLOCK = 8
# Table K.1 of ITU-T T.81: luma, for quality 50
_LUMA_TABLE = (
    (16, 11, 10, 16, 24, 40, 51, 61),
    (12, 12, 14, 19, 26, 58, 60, 55),
    (14, 13, 16, 24, 40, 57, 69, 56),
    (14, 17, 22, 29, 51, 87, 80, 62),
    (18, 22, 37, 56, 68, 109, 103, 77),
    (24, 35, 55, 64, 81, 104, 113, 92),
    (49, 64, 78, 87, 103, 121, 120, 101),
    (72, 92, 95, 98, 112, 100, 103, 99),
)
Some = Callable[[torch.Tensor], torch.Tensor]


def spoil(images: torch.Tensor, how: Light, generator: torch.Generator) -> torch.Tensor:
    """Spoils a batch: blur, haze, gamma, gain, noise, 8 bits, a smaller picture, JPEG.

    Args:
        images: (N, C, H, W) float in 0..1.
        how: probabilities and ranges.
        generator: source of every draw.

    Returns:
        The same shape, rounded to 8 bits, in 0..1.
    """

    def uniform(n: int, low: float, high: float) -> torch.Tensor:
        return (torch.rand(n, generator=generator) * (high - low) + low).view(n, 1, 1, 1)

    def some(images: torch.Tensor, p: float, change: Some) -> torch.Tensor:
        """Changes a drawn share of the images and leaves the rest."""
        drawn = torch.nonzero(torch.rand(len(images), generator=generator) < p).flatten()
        return images.index_copy(0, drawn, change(images[drawn])) if len(drawn) else images

    def blurred(x: torch.Tensor) -> torch.Tensor:
        n = len(x)
        return _filtered(x, _kernels(uniform(n, 0, 1), uniform(n, 0.3, how.blur_px), uniform(n, 0, math.pi)))

    def hazy(x: torch.Tensor) -> torch.Tensor:
        veil = uniform(len(x), 0, how.haze)
        return x * (1 - veil) + veil * uniform(len(x), 0.5, 0.9)

    def smaller(x: torch.Tensor) -> torch.Tensor:
        side = max(8, round(x.shape[-1] * float(uniform(1, how.small, 1.0))))  # one size a batch: one resampling
        low = functional.interpolate(x, (side, side), mode="area")
        return functional.interpolate(low, x.shape[2:], mode="bilinear", align_corners=False)

    x = some(images, how.blur_p, blurred)
    x = some(x, how.haze_p, hazy).clamp(0, 1)
    x = some(x, how.gamma_p, lambda x: x ** torch.exp(uniform(len(x), -how.gamma, how.gamma)))
    low, high = (math.log(factor) for factor in how.gain)
    x = some(x, how.gain_p, lambda x: x * torch.exp(uniform(len(x), low, high)))
    x = some(
        x,
        how.noise_p,
        lambda x: x + torch.randn(x.shape, generator=generator) * uniform(len(x), 0, how.noise),
    )
    x = _to_8_bits(x)
    x = some(x, how.small_p, smaller)
    x = some(x, how.jpeg_p, lambda x: jpeg(x, uniform(len(x), *how.jpeg)))
    return _to_8_bits(x)


def _to_8_bits(x: torch.Tensor) -> torch.Tensor:
    return (x.clamp(0, 1) * 255).round() / 255


def _kernels(which: torch.Tensor, size: torch.Tensor, angle: torch.Tensor) -> torch.Tensor:
    """(N, 7, 7) kernels: Gaussians where ``which`` is below one half, lines of a direction elsewhere; each sums to 1.

    Args:
        which: (N, 1, 1, 1) in 0..1.
        size: (N, 1, 1, 1) standard deviation in px; a line is five times as long.
        angle: (N, 1, 1, 1) of the line, in radians.
    """
    which, size, angle = (value[:, 0] for value in (which, size, angle))
    axis = torch.arange(_TAPS) - (_TAPS - 1) / 2
    y, x = axis.view(1, -1, 1), axis.view(1, 1, -1)
    gaussian = torch.exp(-(x**2 + y**2) / (2 * size**2))
    along, across = x * torch.cos(angle) + y * torch.sin(angle), y * torch.cos(angle) - x * torch.sin(angle)
    line = (1 - across.abs()).clamp(min=0) * (2.5 * size + 0.5 - along.abs()).clamp(0, 1)
    kernels = torch.where(which < 0.5, gaussian, line)
    return kernels / kernels.sum(dim=(1, 2), keepdim=True)


def _filtered(x: torch.Tensor, kernels: torch.Tensor) -> torch.Tensor:
    """(N, C, H, W), each image through its own (7, 7) kernel; the border is repeated."""
    n, channels, height, width = x.shape
    padded = functional.pad(x, [_TAPS // 2] * 4, mode="replicate").reshape(1, n * channels, height + 6, width + 6)
    weights = kernels.repeat_interleave(channels, dim=0).unsqueeze(1)
    return functional.conv2d(padded, weights, groups=n * channels).view(x.shape)


@functools.cache
def _cosines() -> torch.Tensor:
    """(8, 8) orthonormal DCT-II matrix."""
    k, i = torch.arange(_BLOCK).view(-1, 1), torch.arange(_BLOCK).view(1, -1)
    matrix = torch.cos(math.pi * (2 * i + 1) * k / (2 * _BLOCK)) * math.sqrt(2 / _BLOCK)
    matrix[0] /= math.sqrt(2)
    return matrix


def jpeg(x: torch.Tensor, quality: torch.Tensor) -> torch.Tensor:
    """What JPEG's rounding of frequencies leaves of each color plane; no chroma, no entropy coding.

    Args:
        x: (N, C, H, W) float in 0..1; sides that are no multiple of 8 are continued by their border.
        quality: (N, 1, 1, 1), 1..100, by the scale of the Independent JPEG Group.

    Returns:
        (N, C, H, W), not rounded or cut.
    """
    n, channels, height, width = x.shape
    padded = functional.pad(x, [0, -width % _BLOCK, 0, -height % _BLOCK], mode="replicate")
    rows, cols = padded.shape[2] // _BLOCK, padded.shape[3] // _BLOCK
    blocks = (padded * 255 - 128).view(n, channels, rows, _BLOCK, cols, _BLOCK).permute(0, 1, 2, 4, 3, 5)
    scale = torch.where(quality < 50, 5000 / quality, 200 - 2 * quality) / 100
    table = (torch.tensor(_LUMA_TABLE).float() * scale).round().clamp(1, 255).view(n, 1, 1, 1, _BLOCK, _BLOCK)
    cosines = _cosines()
    kept = (cosines @ blocks @ cosines.T / table).round() * table
    plain = (cosines.T @ kept @ cosines).permute(0, 1, 2, 4, 3, 5).reshape(padded.shape)
    return (plain[:, :, :height, :width] + 128) / 255

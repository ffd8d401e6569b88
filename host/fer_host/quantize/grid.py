"""Quantization grids: symmetric, one step size and one bit width per channel.

A width of b bits has the integers -2^(b-1) to 2^(b-1)-1, so 2 bits have four levels and not three; 8 bits stop at
-127, as tflite's int8 weights do.
"""

from __future__ import annotations

import torch

WIDTHS = (2, 3, 4, 5, 6, 7, 8)
_SHRINK = torch.linspace(1.1, 0.2, 46)  # of the step that just reaches the largest weight


def limits(bits: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Smallest and largest integer of each width; float, of the shape of ``bits``."""
    half = torch.exp2(bits.float() - 1)
    low = torch.where(bits >= 8, 1 - half, -half)
    return low, half - 1


def integers(weight: torch.Tensor, scale: torch.Tensor, bits: torch.Tensor) -> torch.Tensor:
    """Nearest grid points as integers in float.

    Args:
        weight: (C, ...).
        scale: (C,) above zero.
        bits: (C,).
    """
    shape = (-1, *[1] * (weight.dim() - 1))
    low, high = (end.view(shape) for end in limits(bits))
    return torch.round(weight / scale.view(shape)).clamp(low, high)


def on_grid(weight: torch.Tensor, scale: torch.Tensor, bits: torch.Tensor) -> torch.Tensor:
    """``weight`` (C, ...) moved to its channels' grids."""
    return integers(weight, scale, bits) * scale.view(-1, *[1] * (weight.dim() - 1))


def best_scales(weight: torch.Tensor, bits: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """The step of least squared error for each channel, out of 46 from 1.1 down to 0.2 of the one without clipping.

    Args:
        weight: (C, ...).
        bits: (C,).

    Returns:
        Steps (C,), above zero even where all weights are zero, and the squared errors ``||Q(w) - w||^2`` (C,).
    """
    flat = weight.reshape(len(weight), -1)
    low, high = limits(bits)
    # without clipping, either end must be reached
    whole = torch.maximum(flat.amax(1) / high, flat.amin(1) / low).clamp_min(1e-12)
    best, error = whole.clone(), torch.full_like(whole, torch.inf)
    for factor in _SHRINK:
        scale = whole * factor
        found = (on_grid(flat, scale, bits) - flat).square().sum(1)
        better = found < error
        best, error = torch.where(better, scale, best), torch.where(better, found, error)
    return best, error

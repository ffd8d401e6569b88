"""What a backward pass needs is kept once: ReLU6 by its result, as torch does for ReLU, and not by a copy of its input.

A third of what MobileNetV2 holds between forward and backward were such copies. Gradients are the
same to the last bit: they pass where a result lies strictly between 0 and 6, which is where its input does.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any

import torch
from torch import nn
from torch.nn import functional


class _Relu6(torch.autograd.Function):
    """min(max(x, 0), 6), of which only the result is saved."""

    @staticmethod
    def forward(ctx: Any, x: torch.Tensor, inplace: bool) -> torch.Tensor:
        """(any shape) -> the same."""
        y = functional.relu6(x, inplace=inplace)
        if inplace:
            ctx.mark_dirty(y)
        ctx.save_for_backward(y)
        return y

    @staticmethod
    def backward(ctx: Any, *gradients: Any) -> tuple[torch.Tensor, None]:
        """The result in the input's place."""
        (y,) = ctx.saved_tensors
        return torch.ops.aten.hardtanh_backward(gradients[0], y, 0.0, 6.0), None


def _clipped(inplace: bool, x: torch.Tensor) -> torch.Tensor:
    if torch.is_grad_enabled() and x.requires_grad:
        y: torch.Tensor = _Relu6.apply(x, inplace)  # type: ignore[no-untyped-call]  # torch types it so
        return y
    return functional.relu6(x, inplace=inplace)


@contextmanager
def lean(model: nn.Module) -> Iterator[None]:
    """Inside, a model's ReLU6 keep their results only; its modules and their kinds stay what they are.

    A compiler of the whole step decides itself what it keeps.
    """
    if torch.compiler.is_compiling():
        yield
        return
    clips = [module for module in model.modules() if type(module) is nn.ReLU6]
    for clip in clips:
        clip.forward = partial(_clipped, clip.inplace)  # type: ignore[method-assign]  # of this instance, for a while
    try:
        yield
    finally:
        for clip in clips:
            del clip.forward

"""One run on a blank picture: how a network's own layers say how large they are."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import torch
from torch import nn

Look = Callable[[str, nn.Module, torch.Tensor], None]


def blank_run(
    network: nn.Module, in_channels: int, size_px: int, kinds: tuple[type[nn.Module], ...], look: Look
) -> None:
    """Runs a network once on zeros, in eval mode, and leaves it as it was.

    Args:
        network: any that takes (1, in_channels, size_px, size_px).
        in_channels: of its input.
        size_px: side of its input.
        kinds: modules to look at.
        look: called after each of them with its name, itself and its output.
    """

    def after(name: str, module: nn.Module, _: tuple[torch.Tensor, ...], output: torch.Tensor) -> None:
        look(name, module, output)

    handles = [
        module.register_forward_hook(partial(after, name))
        for name, module in network.named_modules()
        if isinstance(module, kinds)
    ]
    was_training = network.training
    try:
        with torch.no_grad():
            network.eval()(torch.zeros(1, in_channels, size_px, size_px))
    finally:
        network.train(was_training)
        for handle in handles:
            handle.remove()

"""What a network costs: parameters, MACs, and both by each paper's own convention, which differ."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import torch
from torch import nn

# How a paper counts. "all": every parameter, no FLOPs of its own.
# "ddamfn": every parameter; conv and linear MACs + a bias' outputs + 2 x BN outputs + 1 x PReLU or ReLU6 outputs.
# "lfer_ldl": conv weights only; (2 C_in/groups k^2 - 1) per output of a convolution, nothing else.
# "shufflenet_ldam": weights of convolutions and the linear layer.
Convention = Literal["all", "ddamfn", "lfer_ldl", "shufflenet_ldam"]


# layers whose weights alone are a paper's "parameters"
_COUNTED: dict[str, tuple[type[nn.Conv2d | nn.Linear], ...]] = {
    "lfer_ldl": (nn.Conv2d,),
    "shufflenet_ldam": (nn.Conv2d, nn.Linear),
}


@dataclass(frozen=True)
class Counts:
    """Cost of one forward pass of one picture.

    Attributes:
        parameters: all that training changes.
        macs: multiply-accumulates of convolutions and linear layers.
        paper_parameters: by the paper's convention.
        paper_flops: by the paper's convention; None where it states none.
    """

    parameters: int
    macs: int
    paper_parameters: int
    paper_flops: int | None


def counts(network: nn.Module, in_channels: int, size_px: int, convention: Convention) -> Counts:
    """Runs the network once on a blank picture and counts."""
    macs = flops = 0

    def look(module: nn.Module, _: tuple[torch.Tensor, ...], output: torch.Tensor) -> None:
        nonlocal macs, flops
        n = output.numel() if isinstance(output, torch.Tensor) else 0
        if isinstance(module, nn.Conv2d | nn.Linear):
            per_output = module.weight[0].numel()
            macs += n * per_output
            if convention == "lfer_ldl":
                flops += n * (2 * per_output - 1) if isinstance(module, nn.Conv2d) else 0
            else:
                flops += n * per_output + (n if module.bias is not None else 0)
        elif convention == "ddamfn" and isinstance(module, nn.BatchNorm2d | nn.BatchNorm1d):
            flops += 2 * n
        elif convention == "ddamfn" and isinstance(module, nn.PReLU | nn.ReLU6 | nn.Hardswish):  # h-swish holds a ReLU6
            flops += n

    hooks = [module.register_forward_hook(look) for module in network.modules()]
    was_training = network.training
    try:
        with torch.no_grad():
            network.eval()(torch.zeros(1, in_channels, size_px, size_px))
    finally:
        network.train(was_training)
        for hook in hooks:
            hook.remove()
    parameters = sum(p.numel() for p in network.parameters())
    weights = sum(m.weight.numel() for m in network.modules() if isinstance(m, _COUNTED.get(convention, ())))
    own = convention in ("ddamfn", "lfer_ldl")
    return Counts(parameters, macs, weights if convention in _COUNTED else parameters, flops if own else None)

"""What a network costs: parameters, MACs, and both by each paper's own convention, which differ."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import torch
from torch import nn

from fer_host.models.blank_run import blank_run

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

# an output of theirs in ddamfn's FLOPs; h-swish holds a ReLU6
_DDAMFN_FLOPS: dict[type[nn.Module], int] = {
    nn.BatchNorm1d: 2,
    nn.BatchNorm2d: 2,
    nn.PReLU: 1,
    nn.ReLU6: 1,
    nn.Hardswish: 1,
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

    def look(_: str, module: nn.Module, output: torch.Tensor) -> None:
        nonlocal macs, flops
        n = output.numel()
        if isinstance(module, nn.Conv2d | nn.Linear):
            per_output = module.weight[0].numel()
            macs += n * per_output
            if convention == "lfer_ldl":
                flops += n * (2 * per_output - 1) if isinstance(module, nn.Conv2d) else 0
            else:
                flops += n * per_output + (n if module.bias is not None else 0)
        elif convention == "ddamfn":
            flops += n * next(each for kind, each in _DDAMFN_FLOPS.items() if isinstance(module, kind))

    blank_run(network, in_channels, size_px, (nn.Conv2d, nn.Linear, *_DDAMFN_FLOPS), look)
    parameters = sum(p.numel() for p in network.parameters())
    weights = sum(m.weight.numel() for m in network.modules() if isinstance(m, _COUNTED.get(convention, ())))
    own = convention in ("ddamfn", "lfer_ldl")
    return Counts(parameters, macs, weights if convention in _COUNTED else parameters, flops if own else None)

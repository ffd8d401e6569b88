"""A bit policy: the width of every output channel, what it weighs, and its file format."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from torch import nn

from fer_edge.contract import codec
from fer_edge.contract.errors import SchemaError
from fer_edge.contract.regular import read_regular
from fer_host.errors import DataError
from fer_host.files.artifacts import write_bytes
from fer_host.quantize.fold import quantized_layers

SCHEMA = "fer-edge/bit-policy/1"
SCALE_BYTES = BIAS_BYTES = 4
WIDTH_BITS = 3  # names one of seven widths


@dataclass(frozen=True)
class BitPolicy:
    """Bits by layer and output channel.

    Attributes:
        bits: layer name -> one digit for each output channel, its width.
        allocator: who chose them.
        budget_bytes: what it had to stay within, by ``effective_bytes``; 0: no budget.
        proxy_loss: sum over channels of mean trace x squared error.
        bound: a lower bound of what any policy within the budget can reach, where the allocator knows one.
        seconds: of the search.
        source_sha256: of the float weights it was made for.
        notes: what else the allocator reports.
    """

    bits: dict[str, str]
    allocator: str
    budget_bytes: float = 0.0
    proxy_loss: float = 0.0
    bound: float | None = None
    seconds: float = 0.0
    source_sha256: str = ""
    notes: dict[str, float] = field(default_factory=dict)

    def of(self, layer: str) -> NDArray[np.int64]:
        """(C,) widths of one layer."""
        return np.array([int(digit) for digit in self.bits[layer]], dtype=np.int64)

    @property
    def all_bits(self) -> NDArray[np.int64]:
        """(channels,) widths of all layers, in their order."""
        return np.concatenate([self.of(layer) for layer in self.bits])


def digits(bits: Mapping[str, NDArray[np.int64]]) -> dict[str, str]:
    """Widths by layer as ``BitPolicy`` holds them."""
    return {layer: "".join(map(str, widths.tolist())) for layer, widths in bits.items()}


def effective_bytes(bits: NDArray[np.int64], n_weights: NDArray[np.int64]) -> float:
    """Sum over channels of bits x weights / 8, a scale, a bias, and 3 bits for the width.

    Args:
        bits: (channels,) of all layers.
        n_weights: (channels,) weights of each.
    """
    return float((bits * n_weights).sum() / 8 + len(bits) * channel_bytes())


def channel_bytes() -> float:
    """What a channel takes beside its weights."""
    return SCALE_BYTES + BIAS_BYTES + WIDTH_BITS / 8


def float_bytes(n_weights: NDArray[np.int64]) -> int:
    """Four bytes for every folded weight and bias."""
    return int(4 * (n_weights.sum() + len(n_weights)))


def weights_per_channel(network: nn.Module) -> dict[str, NDArray[np.int64]]:
    """Layer -> (C,) number of weights of each output channel."""
    return {
        name: np.full(len(layer.weight), layer.weight[0].numel(), dtype=np.int64)
        for name, layer in quantized_layers(network).items()
    }


def policy_bytes(policy: BitPolicy, n_weights: Mapping[str, NDArray[np.int64]]) -> float:
    """``effective_bytes`` of a whole policy."""
    names = list(n_weights)
    return effective_bytes(
        np.concatenate([policy.of(name) for name in names]), np.concatenate([n_weights[name] for name in names])
    )


def compression(policy: BitPolicy, n_weights: Mapping[str, NDArray[np.int64]]) -> float:
    """Float bytes over effective bytes."""
    return float_bytes(np.concatenate(list(n_weights.values()))) / policy_bytes(policy, n_weights)


def budget_bytes(n_weights: Mapping[str, NDArray[np.int64]], factor: float) -> float:
    """Effective bytes that are a ``factor``-th of the float network's.

    Raises:
        DataError: the smallest width does not reach this factor.
    """
    every = np.concatenate(list(n_weights.values()))
    least = effective_bytes(np.full(len(every), 2), every)
    budget = float_bytes(every) / factor
    if budget < least:
        raise DataError(
            f"compression {factor:g}: found that 2 bits everywhere reach {float_bytes(every) / least:.2f}; "
            "expected at most that"
        )
    return budget


def check_fits(policy: BitPolicy, n_weights: Mapping[str, NDArray[np.int64]]) -> None:
    """Refuses a policy of another network.

    Raises:
        DataError: other layers, another number of channels, or a width that is not 2 to 8.
    """
    odd = min(set(policy.bits) ^ set(n_weights), default=None)
    if odd is not None:
        raise DataError(f"bit policy: layer {odd} is in the policy or in the network, not in both")
    for layer, bits in policy.bits.items():
        if len(bits) != len(n_weights[layer]) or set(bits) - set("2345678"):
            raise DataError(
                f"bit policy: {layer} has {len(bits)} widths of {''.join(sorted(set(bits)))}, expected "
                f"{len(n_weights[layer])} digits from 2 to 8"
            )


def save_policy(policy: BitPolicy, path: Path) -> None:
    """Writes JSON, complete or not at all."""
    write_bytes(path, codec.dumps(SCHEMA, policy).encode())


def load_policy(path: Path) -> BitPolicy:
    """Reads what ``save_policy`` wrote.

    Raises:
        DataError: absent, or not such a document.
    """
    if not path.is_file():
        raise DataError(f"bit policy {path}: no such file; `fer-host search` makes one")
    try:
        return codec.loads(SCHEMA, BitPolicy, read_regular(path))
    except SchemaError as error:
        raise DataError(f"bit policy {path}: {error}; `fer-host search` makes one") from error

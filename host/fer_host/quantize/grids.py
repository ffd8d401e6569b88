"""Weights on their grids, as they ship: integers, steps and widths, and the rest of the folded network in float.

The network is rebuilt from them to the bit: a weight is its integer times its step, in float32.
"""

from __future__ import annotations

import dataclasses
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from safetensors import safe_open
from safetensors.torch import save
from torch import nn

from fer_edge.contract import codec
from fer_host.errors import WeightsError
from fer_host.files.artifacts import write_bytes
from fer_host.quantize.fold import quantized_layers
from fer_host.quantize.policy import BitPolicy, compression, policy_bytes, weights_per_channel

SCHEMA = "fer-edge/tuned/1"
_PARTS = ("integers", "scale", "bits")


@dataclass(frozen=True)
class Tuning:
    """Where tuned weights come from.

    Attributes:
        recipe: whose network.
        source_sha256: of the float weights that were tuned.
        policy: the widths, by whom and for which budget; its ``bits`` are left empty, the file holds them.
        effective_bytes: by the rule of ``policy.effective_bytes``.
        compression: float bytes over effective bytes.
        minutes: of tuning; 0: none.
        accuracy_float: of the source on the validation rows, ...
        accuracy_before: ... on the grids without tuning, ...
        accuracy: ... and tuned.
    """

    recipe: str
    source_sha256: str
    policy: BitPolicy
    effective_bytes: float
    compression: float
    minutes: float
    accuracy_float: float
    accuracy_before: float
    accuracy: float


@dataclass(frozen=True)
class LayerGrid:
    """One layer: integers (C, ...) int8, scale (C,) float32, bits (C,) uint8."""

    integers: NDArray[np.int8]
    scale: NDArray[np.float32]
    bits: NDArray[np.uint8]

    @property
    def weight(self) -> NDArray[np.float32]:
        """(C, ...) what the integers stand for."""
        return self.integers.astype(np.float32) * self.scale.reshape(-1, *[1] * (self.integers.ndim - 1))

    @property
    def mean_bits(self) -> float:
        """Bits per weight."""
        return float(self.bits.mean())


@dataclass(frozen=True)
class TunedNetwork:
    """Tuned weights in memory; ``network`` is folded and holds the dequantized ones."""

    network: nn.Module
    layers: dict[str, LayerGrid]
    tuning: Tuning


def tuning_of(
    recipe: str,
    source_sha256: str,
    policy: BitPolicy,
    network: nn.Module,
    minutes: float,
    accuracies: tuple[float, float, float],
) -> Tuning:
    """The record of a finished tuning; ``accuracies`` are float, before and after."""
    counts = weights_per_channel(network)
    return Tuning(
        recipe,
        source_sha256,
        dataclasses.replace(policy, bits={}),
        round(policy_bytes(policy, counts), 1),
        round(compression(policy, counts), 4),
        round(minutes, 1),
        *(round(value, 5) for value in accuracies),
    )


def save_tuned(network: nn.Module, grids: dict[str, dict[str, torch.Tensor]], tuning: Tuning, path: Path) -> None:
    """Writes safetensors: ``<layer>.weight.integers|scale|bits``, every other tensor by its own name.

    Args:
        network: folded, or folded and parametrized; gives biases and what else is not a layer's weight.
        grids: by layer; see ``finetune.grids``.
        tuning: the record, kept as metadata.
        path: the file.
    """
    state: dict[str, torch.Tensor] = {}
    for name, grid in grids.items():
        state |= {f"{name}.weight.{part}": grid[part].contiguous() for part in _PARTS}
    for key, value in network.state_dict().items():
        layer, _, rest = key.rpartition(".")
        in_grid = (layer in grids and rest == "weight") or ".parametrizations." in key
        if not in_grid and not key.endswith("num_batches_tracked"):
            state[key] = value.contiguous()
    write_bytes(path, save(state, {"tuning": codec.dumps(SCHEMA, tuning)}))


def read_tuning(path: Path) -> Tuning:
    """The record alone, without the weights.

    Raises:
        WeightsError: not a file that ``save_tuned`` wrote.
    """
    try:
        with safe_open(path, "pt") as file:
            return codec.loads(SCHEMA, Tuning, (file.metadata() or {})["tuning"])
    except Exception as error:  # safetensors raises its own kind, and KeyError comes from another file
        raise WeightsError(
            f"tuned weights {path}: cannot be read ({error}); `fer-host qat` makes such a file"
        ) from error


def load_tuned(folded: nn.Module, path: Path) -> TunedNetwork:
    """Puts tuned weights into a folded network of the same shapes.

    Args:
        folded: changed; see ``fold_batch_norms``.
        path: a file by ``save_tuned``.

    Raises:
        WeightsError: it is no such file, or does not fit the network.
    """
    tuning = read_tuning(path)
    with safe_open(path, "pt") as file:
        state = {key: file.get_tensor(key) for key in file.keys()}  # noqa: SIM118  # no mapping
    layers = {}
    for name in quantized_layers(folded):
        try:
            parts: list[Any] = [state.pop(f"{name}.weight.{part}").numpy() for part in _PARTS]
        except TypeError as error:
            raise WeightsError(f"tuned weights {path}: {name} has a type that is none of ours ({error})") from error
        except KeyError as error:
            raise WeightsError(
                f"tuned weights {path}: lack {error.args[0]}; expected those of {tuning.recipe}"
            ) from None
        layers[name] = LayerGrid(*parts)
        _check_grid(path, name, layers[name])
        state[f"{name}.weight"] = torch.from_numpy(layers[name].weight)
    try:
        result = folded.load_state_dict(state, strict=False)
    except RuntimeError as error:
        raise WeightsError(f"tuned weights {path}: {str(error).splitlines()[-1].strip()}") from error
    missing = [key for key in result.missing_keys if not key.endswith("num_batches_tracked")]
    if missing or result.unexpected_keys:
        odd = (missing or result.unexpected_keys)[0]
        raise WeightsError(f"tuned weights {path}: {odd} is in the file or in the network, not in both")
    return TunedNetwork(folded.eval(), layers, tuning)


def _check_grid(path: Path, name: str, grid: LayerGrid) -> None:
    n = len(grid.integers) if grid.integers.ndim else 0
    shapes = grid.scale.shape == grid.bits.shape == (n,) and grid.integers.ndim >= 2
    types = [array.dtype.name for array in (grid.integers, grid.scale, grid.bits)] == ["int8", "float32", "uint8"]
    usable = shapes and types and bool(np.isfinite(grid.scale).all() and (grid.scale > 0).all())
    if usable and grid.bits.min() >= 2 and grid.bits.max() <= 8:
        low = -(2 ** (grid.bits.astype(np.int64) - 1))
        rows = grid.integers.reshape(n, -1).astype(np.int64)
        if (rows.min(axis=1) >= low).all() and (rows.max(axis=1) < -low).all():
            return
    raise WeightsError(
        f"tuned weights {path}: {name} is no grid; expected int8 integers within their widths, finite float32 steps "
        "above zero and uint8 widths from 2 to 8, one per channel"
    )


def format_tuning(tuning: Tuning) -> str:
    """One line for a terminal."""
    return json.dumps(
        {
            "allocator": tuning.policy.allocator,
            "compression": tuning.compression,
            "effective_kib": round(tuning.effective_bytes / 1024, 1),
            "float": tuning.accuracy_float,
            "before": tuning.accuracy_before,
            "tuned": tuning.accuracy,
            "minutes": tuning.minutes,
        }
    )

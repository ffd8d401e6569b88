"""Traces on disk: measured once for a network and its images, with the time that took."""

from __future__ import annotations

import time
from pathlib import Path

import torch
from safetensors import safe_open
from safetensors.torch import save
from torch import nn

from fer_host.files.artifacts import write_bytes
from fer_host.quantize.traces import exact

_SECONDS = "seconds"  # in the metadata


def keep_traces(path: Path, network: nn.Module, inputs: torch.Tensor) -> None:
    """Measures the exact traces and writes them as safetensors, one (C,) tensor per layer.

    Args:
        path: the file.
        network: folded.
        inputs: (N, C, H, W).
    """
    started = time.perf_counter()
    found = exact(network, inputs, quiet=False)
    tensors = {name: torch.from_numpy(values) for name, values in found.traces.items()}
    note = {"n": str(found.n), "change": f"{found.change:.4g}", _SECONDS: f"{time.perf_counter() - started:.1f}"}
    write_bytes(path, save(tensors, note))


def is_kept(path: Path) -> bool:
    """Whether there are traces that say how long they took; older ones do not, and are measured again."""
    if not path.is_file():
        return False
    with safe_open(path, "pt") as file:
        return _SECONDS in (file.metadata() or {})


def seconds_of(path: Path) -> float:
    """What measuring kept traces took."""
    with safe_open(path, "pt") as file:
        return float(file.metadata()[_SECONDS])

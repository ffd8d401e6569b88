"""One converted network: what the stages hand on."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from fer_host.quantize.placed import PlacedLayer


@dataclass(frozen=True)
class Converted:
    """One converted network.

    Attributes:
        path: the tflite or ONNX file.
        conditions: digest of all that its accuracy depends on: weights, preprocess, and of an int8 file the ranges.
        placed: the tuned layers that a mixed file holds; empty for every other.
        reference: the float file that a mixed one was made from; None: the bundle's own.
    """

    path: Path
    conditions: str
    placed: tuple[PlacedLayer, ...] = ()
    reference: Path | None = None

"""One operator of a network, as a latency table names it; ``of_tflite`` and ``of_torch`` find them."""

from __future__ import annotations

import math
from dataclasses import dataclass


@dataclass(frozen=True)
class Operator:
    """One operator of a network.

    Attributes:
        op: tflite's name, e.g. ``CONV_2D``.
        attrs: as ``fer-edge/latency/1`` has them; ``kernel``, ``stride`` and ``pad`` decide about time.
        in_shape: (1, H, W, C) of the first input, before a padding that belongs to the operator (``pad`` "1").
        out_shape: of the first output.
        dtype: activations, then weights where they differ: ``int8``, ``float32``, ``float32/int8``.
    """

    op: str
    attrs: tuple[tuple[str, str], ...]
    in_shape: tuple[int, ...]
    out_shape: tuple[int, ...]
    dtype: str

    @property
    def kernel_area(self) -> int:
        """Taps per channel; 1 for what has no kernel."""
        height, _, width = dict(self.attrs).get("kernel", "1x1").partition("x")
        return int(height) * int(width)

    @property
    def macs(self) -> int:
        """Multiplications; for operators without weights, the number of outputs."""
        size = math.prod(self.out_shape)
        if self.op == "CONV_2D":
            return size * self.kernel_area * self.in_shape[-1]
        if self.op == "FULLY_CONNECTED":
            return size * self.in_shape[-1]
        return size * self.kernel_area

    @property
    def n_inputs(self) -> int:
        """Activations read."""
        return math.prod(self.in_shape)

    @property
    def n_outputs(self) -> int:
        """Activations written."""
        return math.prod(self.out_shape)

    @property
    def n_values(self) -> int:
        """Activations read and written."""
        return self.n_inputs + self.n_outputs

    @property
    def n_weights(self) -> int:
        """Weights read."""
        if self.op == "CONV_2D":
            return self.kernel_area * self.in_shape[-1] * self.out_shape[-1]
        if self.op == "FULLY_CONNECTED":
            return self.in_shape[-1] * self.out_shape[-1]
        return self.kernel_area * self.out_shape[-1] if self.op == "DEPTHWISE_CONV_2D" else 0

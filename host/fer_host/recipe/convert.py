"""What a recipe's bundle holds, and how far a variant may fall below float: its ``[convert]`` table."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal, get_args

from fer_edge.contract.errors import SchemaError

VariantName = Literal["float32", "dynamic", "int8", "mixed", "onnx", "onnx_fp16", "onnx_int8"]
VARIANTS: tuple[VariantName, ...] = get_args(VariantName)
ONNX_VARIANTS = ("onnx", "onnx_fp16", "onnx_int8")
# of a network that nobody has measured on a board: the flagship's, see recipes/hawqc_mbv2.toml
TOLERANCE_P = {"float32": 0.0001, "dynamic": 0.05, "int8": 0.15}
# where a recipe names none: of halves, which some kernels add up in halves too
_TOLERANCE_HALF = 0.02


@dataclass(frozen=True)
class ConvertConfig:
    """What the bundle holds and how far a variant may fall below float.

    Attributes:
        variants: those to convert, float32 first.
        default_variant: the one that the device takes unless told otherwise.
        accuracy_drop: largest loss of accuracy (fraction) that the data gate lets through.
        tolerance_p: by variant, the golden tolerance of a probability with a board's default kernels.
        calibration_set: the shipped set whose ranges are used where no other is asked for; empty: none ships.
        accuracy_drop_mixed: likewise for a mixed variant, whose weights are tuned.
        calibration_percentile: of the inputs' own extremes, what an activation's range reaches, 50 to 100. 100 is the
            outermost; less, for a network that a few inputs drive far out, gives those up for the others' resolution.
        keep_float: operators that stay in float in an int8 file, as ``convert`` names them, e.g. "012.CONV_2D".
    """

    variants: tuple[VariantName, ...] = ("float32", "dynamic", "int8")
    default_variant: VariantName = "int8"
    accuracy_drop: float = 0.02
    tolerance_p: dict[str, float] = field(default_factory=lambda: dict(TOLERANCE_P))
    calibration_set: str = ""
    accuracy_drop_mixed: float = 0.015
    calibration_percentile: float = 100.0
    keep_float: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if not 50 <= self.calibration_percentile <= 100:
            raise SchemaError("calibration_percentile", f"found {self.calibration_percentile:g}, expected 50 to 100")

    def tolerance_of(self, variant: str) -> float:
        """Golden tolerance; where none is named, a mixed file has int8's, an ONNX file that of its numbers."""
        own = {"onnx": self.tolerance_p["float32"], "onnx_fp16": _TOLERANCE_HALF}
        return self.tolerance_p.get(variant, own.get(variant, self.tolerance_p["int8"]))

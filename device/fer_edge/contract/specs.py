"""What goes into a network and how: crop geometry, input, tensors, detector, as frozen dataclasses of the manifest."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Literal

from fer_edge.contract.bounds import AXIS_MOST as _LARGEST_AXIS
from fer_edge.contract.bounds import CROP_PX as _CROP_PX
from fer_edge.contract.bounds import NORM_MOST as _LARGEST_NORM
from fer_edge.contract.bounds import PYRAMID_FACTOR as _PYRAMID_FACTOR
from fer_edge.contract.bounds import SCALE_MOST as _LARGEST_SCALE
from fer_edge.contract.bounds import STD_LEAST as _SMALLEST_STD
from fer_edge.contract.errors import SchemaError

Normalize = Literal["fixed", "standardize", "stretch"]
Landmark = Literal["right_eye", "left_eye", "nose", "mouth"]
LANDMARKS: tuple[Landmark, ...] = ("right_eye", "left_eye", "nose", "mouth")


def _not_in(low: float, high: float) -> str:
    return f"expected values of {low:g} to {high:g}"


def require(ok: bool, path: str, problem: str) -> None:
    """Raises SchemaError at ``path`` unless ``ok``."""
    if not ok:
        raise SchemaError(path, problem)


@dataclass(frozen=True)
class InputSpec:
    """From an aligned crop to the network's input; see ``preprocess``.

    Attributes:
        color: "gray" (BT.601 luma, one channel), "gray3" (the same copied to three channels) or "rgb".
        source_px: side that a crop is first reduced to, so that it carries no more detail than training images did.
        interpolation: how the reduced crop is enlarged to the network's size.
        mean: per channel, of values in 0..1, in R, G, B order.
        std: per channel, likewise; none is zero.
        normalize: how each crop's own light is taken out before ``mean`` and ``std``, see ``preprocess``; None, which
            a manifest leaves out, is "fixed": not at all.
    """

    color: Literal["gray", "gray3", "rgb"]
    source_px: int
    interpolation: Literal["bilinear", "area"]
    mean: tuple[float, ...]
    std: tuple[float, ...]
    normalize: Normalize | None = None

    @property
    def channels(self) -> int:
        """Of the network's input."""
        return 1 if self.color == "gray" else 3

    def __post_init__(self) -> None:
        for name, values in (("mean", self.mean), ("std", self.std)):
            require(len(values) == self.channels, name, f"found {len(values)} values, expected {self.channels}")
        require(8 <= self.source_px <= 1024, "source_px", f"found {self.source_px}, expected 8 to 1024")
        require(all(abs(value) <= _LARGEST_NORM for value in self.mean), "mean", _not_in(-_LARGEST_NORM, _LARGEST_NORM))
        inside = all(_SMALLEST_STD <= value <= _LARGEST_NORM for value in self.std)
        require(inside, "std", _not_in(_SMALLEST_STD, _LARGEST_NORM))


@dataclass(frozen=True)
class AlignSpec:
    """Crop geometry: where each landmark comes to lie in the crop.

    Attributes:
        landmarks: names, the subject's own right and left.
        template: (x, y) in crop pixels for each of ``landmarks``; pixel centers are at .5.
        crop_hw: (height, width) of the crop in px.
    """

    landmarks: tuple[Landmark, ...]
    template: tuple[tuple[float, float], ...]
    crop_hw: tuple[int, int]

    def __post_init__(self) -> None:
        require(len(self.landmarks) >= 2, "landmarks", "found fewer than two")
        require(len(set(self.landmarks)) == len(self.landmarks), "landmarks", "found a name twice")
        require(len(self.template) == len(self.landmarks), "template", "expected one point per landmark")
        low, high = _CROP_PX
        require(
            all(low <= side <= high for side in self.crop_hw), "crop_hw", f"found {self.crop_hw}; {_not_in(low, high)}"
        )
        reach = 4.0 * max(self.crop_hw)  # landmarks may lie outside the crop, not far away
        inside = all(abs(value) <= reach for point in self.template for value in point)
        require(inside, "template", _not_in(-reach, reach))


@dataclass(frozen=True)
class DetectorSpec:
    """A face detector in the bundle: what it is, the roles of its files, its thresholds.

    ``int8`` are the roles of the same networks quantized, where the bundle has them, ``onnx`` those of the same
    networks for onnxruntime: they find the same faces.
    """

    id: Literal["blazeface_short", "blazeface_full", "mtcnn"]
    files: tuple[str, ...]
    thresholds: dict[str, float]
    int8: tuple[str, ...] | None = None
    onnx: tuple[str, ...] | None = None

    def __post_init__(self) -> None:
        expected = 3 if self.id == "mtcnn" else 1
        for name, roles in (("files", self.files), ("int8", self.int8), ("onnx", self.onnx)):
            n = expected if roles is None else len(roles)
            require(n == expected, name, f"found {n}, expected {expected} for {self.id}")
        (low, high), factor = _PYRAMID_FACTOR, self.thresholds.get("factor")
        if self.id == "mtcnn" and factor is not None:
            require(low <= factor <= high, "thresholds.factor", f"found {factor:.12g}, expected {low:g} to {high:g}")

    @property
    def roles(self) -> tuple[str, ...]:
        """Of all its files, in every form."""
        return tuple(dict.fromkeys((*self.files, *(self.int8 or ()), *(self.onnx or ()))))

    @property
    def format(self) -> Literal["tflite", "onnx"]:
        """Of the networks in ``files``."""
        return "onnx" if self.files == self.onnx else "tflite"

    @property
    def names(self) -> tuple[str, ...]:
        """Of its forms: its id alone is the float one, with ``.int8`` or ``.onnx`` behind it those that there are."""
        others = (("int8", self.int8), ("onnx", None if self.format == "onnx" else self.onnx))
        return (self.id, *(f"{self.id}.{form}" for form, roles in others if roles is not None))

    def named(self, name: str) -> DetectorSpec | None:
        """The form of this name, its files in ``files``; None: it is no name of this detector's."""
        if name == self.id:
            return self
        if name not in self.names:
            return None
        if name.endswith(".onnx"):
            return replace(self, files=self.onnx or (), int8=None)
        return replace(self, files=self.int8 or (), int8=None, onnx=None)


def named_detector(specs: tuple[DetectorSpec, ...], name: str) -> DetectorSpec:
    """The form of this name.

    Raises:
        SchemaError: none of these has it.
    """
    found = next((form for form in (spec.named(name) for spec in specs) if form is not None), None)
    if found is None:
        known = ", ".join(each for spec in specs for each in spec.names)
        raise SchemaError("detector", f"found {name!r}, this bundle has {known}")
    return found


@dataclass(frozen=True)
class TensorSpec:
    """A network's input or output tensor; real value = (stored - zero_point) * scale where dtype is an integer."""

    name: str
    shape: tuple[int, ...]
    dtype: Literal["float32", "int8"]
    scale: float = 1.0
    zero_point: int = 0

    def __post_init__(self) -> None:
        require(0 < self.scale <= _LARGEST_SCALE, "scale", f"found {self.scale}, expected above zero, at most 1e6")
        fits = all(1 <= size <= _LARGEST_AXIS for size in self.shape)
        require(fits, "shape", f"found {self.shape}, expected sizes of 1 to {_LARGEST_AXIS}")

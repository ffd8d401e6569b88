"""Whether a detector for onnxruntime finds the faces here that its tflite form finds: ``fer-edge verify`` asks."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from fer_edge.contract.manifest import Manifest
from fer_edge.contract.specs import DetectorSpec
from fer_edge.detectors import make_detector
from fer_edge.detectors.network import Engine, open_interpreter
from fer_edge.errors import VerifyError
from fer_edge.tracking.track import iou
from fer_edge.types import RgbImage

LEAST_IOU = 0.9
MOST_PICTURES = 4
_ROOM = 3  # side of the black picture around a crop, in sides of the crop


@dataclass(frozen=True)
class ComparedDetector:
    """One form that passed: faces that both found, the least overlap of two boxes, and what computed it.

    ``least_iou`` is None where neither found a face. ``lacks`` is why that is not what was meant, "" where it is.
    """

    detector: str
    n_faces: int
    least_iou: float | None
    runs_on: str
    lacks: str


def compare_detectors(
    manifest: Manifest, read: Callable[[str], bytes], crops: NDArray[np.uint8], threads: int = 1
) -> Iterator[ComparedDetector]:
    """Every detector with a form for onnxruntime, against its tflite form on the same pictures.

    Args:
        manifest: of the bundle.
        read: gives the content of a file by its role.
        crops: (n, h, w, 3) RGB uint8 of faces, the golden ones.
        threads: of the kernels.

    Raises:
        VerifyError: one finds other faces; found and limit.
        RunnerError: one does not run.
    """
    pictures = [_with_room(crop) for crop in crops[:MOST_PICTURES]]
    for spec in (manifest.detector, *manifest.other_detectors):
        other = spec.named(f"{spec.id}.onnx")
        if other is not None:
            yield _compared(spec, other, read, pictures, threads)


def _compared(
    spec: DetectorSpec, other: DetectorSpec, read: Callable[[str], bytes], pictures: list[RgbImage], threads: int
) -> ComparedDetector:
    name = f"{spec.id}.onnx"
    detectors = [make_detector(form, read, threads=threads) for form in (spec, other)]
    overlaps: list[float] = []
    for picture in pictures:
        expected, found = (detector.detect(picture) for detector in detectors)
        least = min((iou(a.box, b.box) for a, b in zip(expected, found, strict=False)), default=1.0)
        if len(expected) != len(found) or least < LEAST_IOU:
            raise VerifyError(
                f"detector {name}: found {len(found)} faces, overlap at least {least:.2f}, expected {len(expected)} "
                f"faces and {LEAST_IOU:g}; update onnxruntime, or take {spec.id}"
            )
        overlaps += [iou(a.box, b.box) for a, b in zip(expected, found, strict=True)]
    runs_on = open_interpreter(read(other.files[0]), f"detector {name}", Engine(threads, "onnx")).runs_on
    return ComparedDetector(name, len(overlaps), min(overlaps, default=None), str(runs_on), runs_on.lacks)


def _with_room(crop: NDArray[np.uint8]) -> RgbImage:
    height, width = crop.shape[:2]
    picture = np.zeros((_ROOM * height, _ROOM * width, 3), dtype=np.uint8)
    picture[height : 2 * height, width : 2 * width] = crop
    return picture

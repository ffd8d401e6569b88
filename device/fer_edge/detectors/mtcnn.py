"""MTCNN: P-Net over a pyramid proposes, R-Net refuses, O-Net decides and gives five landmarks.

Zhang et al. 2016 (arXiv 1604.02878). The networks see pictures with x and y exchanged, as they were trained (MATLAB).
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Sequence
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from fer_edge.classifier.runtime import invoke
from fer_edge.contract.bounds import PICTURE_SIZES as MAX_SIZES
from fer_edge.detectors.network import DEFAULT, Engine, open_interpreter
from fer_edge.detectors.pyramid import (
    CELL_PX,
    Doubles,
    best_of,
    boxes_from_map,
    moved,
    probabilities,
    pyramid_scales,
    squared,
    suppress,
)
from fer_edge.errors import BundleError, RunnerError
from fer_edge.types import FaceBox, FaceDetector, RgbImage

THRESHOLDS = ("pnet", "rnet", "onet", "nms_scale", "nms", "factor")
NETWORKS = ("pnet", "rnet", "onet")
MIN_FACE_PX = 20  # smallest face looked for
SHORT_SIDE_PX = 600  # larger pictures are reduced to this (the thesis app's)
R_PX, O_PX = 24, 48
_CHANNELS = {"pnet": 6, "rnet": 6, "onet": 16}


class Mtcnn(FaceDetector):
    """The cascade; finds faces of ``min_face_px`` and more in pictures whose shorter side is at most 600 px.

    Args:
        models: contents of the files of P-Net, R-Net, O-Net, in this order.
        thresholds: ``pnet``, ``rnet``, ``onet`` (least probability after each), ``nms_scale`` and ``nms`` (overlap
            from which two boxes are one, within a scale and after each network), ``factor`` (pyramid).
        engine: what computes them; ``models`` are in its format.
        min_face_px: smallest side of a face looked for, at least 12.

    Raises:
        BundleError: not three files, or a threshold is missing, unknown or out of 0..1.
        RunnerError: a network cannot be loaded or is not this detector's.
    """

    limits: dict[str, float]
    min_face_px: float

    def __init__(
        self,
        models: Sequence[bytes],
        thresholds: dict[str, float],
        engine: Engine = DEFAULT,
        min_face_px: float = MIN_FACE_PX,
    ) -> None:
        if set(thresholds) != set(THRESHOLDS) or not all(0 < value < 1 for value in thresholds.values()):
            raise BundleError(
                f"detector mtcnn: found thresholds {thresholds}, expected {', '.join(THRESHOLDS)} in 0..1"
            )
        if len(models) != len(NETWORKS):
            raise BundleError(f"detector mtcnn: found {len(models)} files, expected {', '.join(NETWORKS)}")
        self.limits = dict(thresholds)
        self.min_face_px = max(CELL_PX, min_face_px)
        self._pnet = _Resizable(models[0], engine)
        self._rnet, self._onet = refiners((models[1], models[2]), engine)

    def detect(self, image: RgbImage, near: Sequence[FaceBox] = ()) -> list[FaceBox]:
        """Faces in (h, w, 3) RGB uint8, in px of that picture, best score first; searched everywhere every time."""
        height, width = image.shape[:2]
        by = min(1.0, SHORT_SIDE_PX / min(height, width))
        if by < 1:
            size = (max(1, round(width * by)), max(1, round(height * by)))
            image = np.asarray(cv2.resize(image, size, interpolation=cv2.INTER_AREA), dtype=np.uint8)
        boxes, scores, landmarks = self._decide(image, self._refuse(image, self._propose(image)))
        ratio = np.array([width / image.shape[1], height / image.shape[0]])  # both sides were rounded
        return [_face(*row, ratio) for row in zip(boxes, scores, landmarks, strict=True)]

    def _propose(self, image: RgbImage) -> Doubles:
        """Square boxes (k, 4) in whole px from P-Net at every scale."""
        height, width = image.shape[:2]
        found = []
        for scale in pyramid_scales(height, width, self.min_face_px, self.limits["factor"]):
            size = (int(np.ceil(width * scale)), int(np.ceil(height * scale)))
            output = self._pnet(cv2.resize(image, size, interpolation=cv2.INTER_AREA))
            boxes, scores, offsets = boxes_from_map(output, scale, self.limits["pnet"])
            kept = suppress(boxes, scores, self.limits["nms_scale"])
            found.append(np.concatenate([boxes[kept], scores[kept, None], offsets[kept]], axis=1))
        if not found:
            return np.zeros((0, 4))
        rows = np.concatenate(found)
        rows = rows[best_of(rows[:, 4])]
        rows = rows[suppress(rows[:, :4], rows[:, 4], self.limits["nms"])]
        return np.asarray(np.fix(squared(moved(rows[:, :4], rows[:, 5:], ends=0))))

    def _refuse(self, image: RgbImage, boxes: Doubles) -> Doubles:
        """Those boxes that R-Net takes for faces, corrected and square again, in whole px."""
        output = self._rnet.over(image, boxes, R_PX)
        scores = probabilities(output[:, :2])
        taken = np.nonzero(scores > self.limits["rnet"])[0]
        kept = taken[suppress(boxes[taken], scores[taken], self.limits["nms"])]
        return np.asarray(np.fix(squared(moved(boxes[kept], output[kept, 2:6].astype(np.float64)))))

    def _decide(self, image: RgbImage, boxes: Doubles) -> tuple[Doubles, Doubles, Doubles]:
        """O-Net's boxes (k, 4), scores (k,) and landmarks (k, 5, 2) in px counted from 0, best first."""
        output = self._onet.over(image, boxes, O_PX).astype(np.float64)
        scores = probabilities(output[:, :2].astype(np.float32))
        taken = np.nonzero(scores > self.limits["onet"])[0]
        boxes, scores, output = boxes[taken], scores[taken], output[taken]
        side = boxes[:, 2:] - boxes[:, :2] + 1
        landmarks = output[:, 6:].reshape(-1, 2, 5).transpose(0, 2, 1) * side[:, None] + boxes[:, None, :2] - 1
        boxes = moved(boxes, output[:, 2:6])
        kept = suppress(boxes, scores, self.limits["nms"], of_smaller=True)
        return boxes[kept], scores[kept], landmarks[kept]


class Refiner:
    """R-Net or O-Net: one box at a time, because a batch's memory would be planned anew for every number of boxes."""

    channels: int

    def __init__(self, model: bytes, name: str, engine: Engine) -> None:
        self._what = f"detector mtcnn {name}"
        self._interpreter = open_interpreter(model, self._what, engine)
        self.channels = _CHANNELS[name]
        self._input, self._output = _checked(self._interpreter, name)

    def over(self, image: RgbImage, boxes: Doubles, side: int) -> NDArray[np.float32]:
        """(k, channels) for boxes (k, 4) in whole px, each cut out and scaled to ``side``."""
        outputs = np.zeros((len(boxes), self.channels), dtype=np.float32)
        for i, box in enumerate(boxes.astype(int)):
            part = _cut(image, box)
            if part is not None:
                self._interpreter.set_tensor(
                    self._input, _turned(cv2.resize(part, (side, side), interpolation=cv2.INTER_AREA))
                )
                invoke(self._interpreter, self._what)
                outputs[i] = self._interpreter.get_tensor(self._output)[0]
        return outputs


def refiners(models: tuple[bytes, bytes], engine: Engine = DEFAULT) -> tuple[Refiner, Refiner]:
    """R-Net and O-Net by themselves.

    Args:
        models: contents of their files.
        engine: what computes them; ``models`` are in its format.

    Raises:
        RunnerError: a network cannot be loaded or is not this detector's.
    """
    return Refiner(models[0], "rnet", engine), Refiner(models[1], "onet", engine)


class _Resizable:
    """P-Net for pictures of any size, one interpreter per size: resizing one would plan its memory anew each time.

    onnxruntime takes every size as it comes.
    """

    def __init__(self, model: bytes, engine: Engine) -> None:
        self._model, self._engine = model, engine
        self._by_size: OrderedDict[tuple[int, int], tuple[Any, int, int]] = OrderedDict()
        self._first = open_interpreter(model, "detector mtcnn pnet", engine)
        _checked(self._first, "pnet")

    def __call__(self, image: NDArray[Any]) -> NDArray[np.float32]:
        """(w', h', 6) for a picture (h, w, 3) RGB uint8."""
        size = image.shape[:2]
        if size not in self._by_size:
            while len(self._by_size) >= MAX_SIZES:
                self._by_size.popitem(last=False)
            interpreter = self._first
            if not self._engine.takes_any_size:
                interpreter = open_interpreter(
                    self._model, "detector mtcnn pnet", self._engine, input_shape=(1, size[1], size[0], 3)
                )
            self._by_size[size] = (interpreter, *_indices(interpreter))
        self._by_size.move_to_end(size)
        interpreter, source, result = self._by_size[size]
        interpreter.set_tensor(source, _turned(image))
        invoke(interpreter, "detector mtcnn pnet")
        return np.asarray(interpreter.get_tensor(result)[0])


def _turned(image: NDArray[Any]) -> NDArray[np.float32]:
    """(h, w, 3) uint8 -> (1, w, h, 3) float32 in about -1..1."""
    turned = np.ascontiguousarray(image.transpose(1, 0, 2), dtype=np.float32)
    turned -= np.float32(127.5)
    turned *= np.float32(1 / 128)
    return turned[None]


def _cut(image: RgbImage, box: NDArray[np.int64]) -> RgbImage | None:
    """The part of the picture in a box (4,) of whole px counted from 1; black outside, None if nothing is inside."""
    height, width = image.shape[:2]
    x0, y0, x1, y1 = (int(value) for value in (box[0] - 1, box[1] - 1, box[2], box[3]))
    left, top, right, bottom = max(x0, 0), max(y0, 0), min(x1, width), min(y1, height)
    if left >= right or top >= bottom:
        return None
    part = image[top:bottom, left:right]
    if (left, top, right, bottom) == (x0, y0, x1, y1):
        return part
    canvas = np.zeros((y1 - y0, x1 - x0, 3), dtype=np.uint8)
    canvas[top - y0 : bottom - y0, left - x0 : right - x0] = part
    return canvas


def _face(box: Doubles, score: float, landmarks: Doubles, ratio: Doubles) -> FaceBox:
    """A FaceBox in px of the original picture, pixel centers at .5; the mouth is the mean of its two corners."""
    corner0, corner1 = (box[:2] - 1) * ratio, box[2:] * ratio
    (x0, y0), (x1, y1) = corner0.tolist(), corner1.tolist()
    eye_right, eye_left, nose, *mouth = ((landmarks + 0.5) * ratio).tolist()
    middle = ((mouth[0][0] + mouth[1][0]) / 2, (mouth[0][1] + mouth[1][1]) / 2)
    marks = {
        "right_eye": (eye_right[0], eye_right[1]),
        "left_eye": (eye_left[0], eye_left[1]),
        "nose": (nose[0], nose[1]),
        "mouth": middle,
    }
    return FaceBox((x0, y0, x1 - x0, y1 - y0), marks, float(score))


def _indices(interpreter: Any) -> tuple[int, int]:
    return int(interpreter.get_input_details()[0]["index"]), int(interpreter.get_output_details()[0]["index"])


def _checked(interpreter: Any, name: str) -> tuple[int, int]:
    """The tensors' indices, if the network is the one that ``name`` says."""
    inputs, outputs = interpreter.get_input_details(), interpreter.get_output_details()
    sides = {"rnet": (R_PX, R_PX), "onet": (O_PX, O_PX)}.get(name)
    shape, channels = tuple(inputs[0]["shape"]), int(outputs[0]["shape"][-1])
    fits = shape[0] == 1 and shape[3:] == (3,) and sides in (None, shape[1:3]) and channels == _CHANNELS[name]
    if len(inputs) != 1 or len(outputs) != 1 or not fits:
        raise RunnerError(
            f"detector mtcnn {name}: found input {shape} and {channels} channels of output, "
            f"expected {sides or 'any'} px, 3 channels in, {_CHANNELS[name]} out; rebuild the bundle"
        )
    return _indices(interpreter)

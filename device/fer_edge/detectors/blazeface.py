"""BlazeFace, short and full range: one look of the network at a square region of a picture.

Bazarevsky et al. 2019 (arXiv 1907.05047); anchors, decoding, thresholds as in MediaPipe's face_detection_short_range
and face_detection_full_range.
"""

from __future__ import annotations

from typing import NamedTuple

import cv2
import numpy as np
from numpy.typing import NDArray

from fer_edge.classifier.runtime import invoke, open_interpreter
from fer_edge.detectors.nms import Candidates, Floats, weighted_nms
from fer_edge.errors import BundleError, RunnerError
from fer_edge.types import FaceBox, RgbImage

SCORE_LIMIT = 100.0  # logits are clipped to +- this before the sigmoid (MediaPipe: score_clipping_thresh)
KEYPOINTS = ("right_eye", "left_eye", "nose", "mouth", "right_ear", "left_ear")
PAD_VALUE = 0  # of what lies outside the picture (MediaPipe: BORDER_ZERO)
THRESHOLDS = ("score", "nms_iou")


class Network(NamedTuple):
    """What differs between the networks.

    Attributes:
        id: as in the manifest.
        input_px: side of the network's input.
        strides: (px between anchors, anchors at each place), in the order of the outputs.
        second_look: side of the region for a second look, in sides of the face's box: the share of the picture that
            faces have in what the network was made for.
    """

    id: str
    input_px: int
    strides: tuple[tuple[int, int], ...]
    second_look: float


SHORT = Network("blazeface_short", 128, ((8, 2), (16, 6)), 2.0)  # 512 + 384 = 896 anchors
FULL = Network("blazeface_full", 192, ((4, 1),), 3.0)  # 2304 anchors
NETWORKS = {spec.id: spec for spec in (SHORT, FULL)}


class Region(NamedTuple):
    """A square of the picture in px; it may reach beyond the picture's edges."""

    x: float
    y: float
    side: float


def anchor_centers(spec: Network = SHORT) -> Floats:
    """(anchors, 2) centers (x, y) in px of the network's input, in the order of its outputs.

    MediaPipe's SsdAnchorsCalculator with fixed anchor size: row by row, all anchors of a place one after another.
    """
    grids = []
    for stride, repeats in spec.strides:
        centers = (np.arange(spec.input_px // stride) + 0.5) * stride
        y, x = np.meshgrid(centers, centers, indexing="ij")
        grids.append(np.repeat(np.stack([x, y], axis=-1).reshape(-1, 2), repeats, axis=0))
    return np.asarray(np.concatenate(grids), dtype=np.float32)


def sigmoid(logits: Floats) -> Floats:
    """Scores 0..1 of clipped logits, in float64 inside so that exp(100) does not overflow."""
    clipped = np.clip(logits.astype(np.float64), -SCORE_LIMIT, SCORE_LIMIT)
    return np.asarray(1 / (1 + np.exp(-clipped)), dtype=np.float32)


class BlazeFace:
    """A single-shot face detector.

    Short range finds faces that fill about a fifth or more of the region it looks at, full range smaller ones (and
    large ones worse).

    Args:
        model: content of face_detection_short_range.tflite or face_detection_full_range.tflite.
        thresholds: ``score`` (least score, 0..1) and ``nms_iou`` (overlap from which two boxes are one face).
        threads: of the interpreter.
        spec: which of the two.

    Raises:
        BundleError: a threshold is missing, unknown or out of 0..1.
        RunnerError: the network cannot be loaded or is not this detector.
    """

    score: float
    nms_iou: float

    def __init__(self, model: bytes, thresholds: dict[str, float], threads: int = 1, spec: Network = SHORT) -> None:
        if set(thresholds) != set(THRESHOLDS) or not all(0 <= value <= 1 for value in thresholds.values()):
            raise BundleError(f"detector thresholds: found {thresholds}, expected {' and '.join(THRESHOLDS)} in 0..1")
        self.score = thresholds["score"]
        self.nms_iou = thresholds["nms_iou"]
        self.spec = spec
        self._anchors = anchor_centers(spec)
        self._interpreter = open_interpreter(model, f"detector {spec.id}", threads)
        outputs = {tuple(d["shape"]): d["index"] for d in self._interpreter.get_output_details()}
        self._input = self._interpreter.get_input_details()[0]
        boxes, scores = (1, len(self._anchors), 4 + 2 * len(KEYPOINTS)), (1, len(self._anchors), 1)
        shape = (1, spec.input_px, spec.input_px, 3)
        if tuple(self._input["shape"]) != shape or set(outputs) != {boxes, scores}:
            raise RunnerError(
                f"detector {spec.id}: found input {tuple(self._input['shape'])} and outputs {sorted(outputs)}, "
                f"expected {shape} and {sorted([boxes, scores])}; rebuild the bundle"
            )
        self._boxes_index, self._scores_index = outputs[boxes], outputs[scores]

    def detect(self, image: RgbImage, border: float = 0.0) -> list[FaceBox]:
        """Faces in one look at the whole picture, best score first.

        Args:
            image: (h, w, 3) RGB uint8.
            border: blank margin on every side as a share of the longer side; 0.5 gives room around a face that fills
                the picture (without it the landmarks of tight crops are biased, see crop-geometry in the docs).
        """
        found = self.look(image, whole_region(image, border))
        return to_face_boxes(weighted_nms(found, self.nms_iou))

    def look(self, image: RgbImage, region: Region, score: float | None = None) -> Candidates:
        """Raw candidates (several a face) in one region, in px of the picture.

        Args:
            image: (h, w, 3) RGB uint8.
            region: what to look at; parts outside the picture are black.
            score: least score, instead of the threshold.
        """
        self._interpreter.set_tensor(self._input["index"], _network_input(image, region, self.spec.input_px)[None])
        invoke(self._interpreter, f"detector {self.spec.id}")
        scores = sigmoid(self._interpreter.get_tensor(self._scores_index)[0, :, 0])
        keep = scores >= (self.score if score is None else score)
        raw = self._interpreter.get_tensor(self._boxes_index)[0, keep].reshape(-1, 2 + len(KEYPOINTS), 2)
        return _decode(raw, scores[keep], self._anchors[keep], region, region.side / self.spec.input_px)


def whole_region(image: RgbImage, border: float = 0.0) -> Region:
    """The square around the whole picture with a margin of ``border`` times the longer side."""
    height, width = image.shape[:2]
    side = max(height, width) * (1 + 2 * border)
    return Region((width - side) / 2, (height - side) / 2, side)


def _network_input(image: RgbImage, region: Region, input_px: int) -> Floats:
    """(input_px, input_px, 3) float32 in -1..1: the region scaled down by area mean (or up by linear interpolation)."""
    height, width = image.shape[:2]
    x0, y0 = max(0, round(region.x)), max(0, round(region.y))
    x1, y1 = min(width, round(region.x + region.side)), min(height, round(region.y + region.side))
    canvas = np.full((input_px, input_px, 3), PAD_VALUE, dtype=np.uint8)
    if x1 > x0 and y1 > y0:
        scale = input_px / region.side
        left, top = round((x0 - region.x) * scale), round((y0 - region.y) * scale)
        right = max(left + 1, round((x1 - region.x) * scale))
        bottom = max(top + 1, round((y1 - region.y) * scale))
        left, right, top, bottom = (min(max(v, 0), input_px) for v in (left, right, top, bottom))
        if right > left and bottom > top:
            method = cv2.INTER_AREA if scale < 1 else cv2.INTER_LINEAR
            canvas[top:bottom, left:right] = cv2.resize(
                image[y0:y1, x0:x1], (right - left, bottom - top), interpolation=method
            )
    return canvas.astype(np.float32) / np.float32(127.5) - np.float32(1)


def _decode(raw: Floats, scores: Floats, anchors: Floats, region: Region, scale: float) -> Candidates:
    """Network output to picture px.

    Args:
        raw: (k, 8, 2): center and size of the box, six keypoints; px of the input, relative to the anchor but the size.
        scores: (k,).
        anchors: (k, 2) px of the input.
        region: where the input lay in the picture.
        scale: px of the picture per px of the input.
    """
    points = raw + anchors[:, None]
    center, half = points[:, 0], raw[:, 1] / 2
    points[:, 0], points[:, 1] = center - half, center + half
    points = points * np.float32(scale) + np.array([region.x, region.y], dtype=np.float32)
    valid = (half > 0).all(axis=1) & np.isfinite(points).all(axis=(1, 2))
    return Candidates(points[valid].astype(np.float32), scores[valid])


def to_face_boxes(candidates: Candidates) -> list[FaceBox]:
    """Candidates (each one face) as FaceBox with the four canonical landmarks; the ears are left out."""
    faces = []
    for points, score in zip(candidates.points.astype(float), candidates.scores, strict=True):
        (x0, y0), (x1, y1) = points[:2]
        marks = {name: (float(x), float(y)) for name, (x, y) in zip(KEYPOINTS[:4], points[2:6], strict=True)}
        faces.append(FaceBox((float(x0), float(y0), float(x1 - x0), float(y1 - y0)), marks, float(score)))
    return faces


def square_around(points: NDArray[np.float32], factor: float) -> Region:
    """The square with ``factor`` times the longer side of a candidate's box (k of ``Candidates.points``), centered."""
    (x0, y0), (x1, y1) = points[:2].astype(float)
    side = max(x1 - x0, y1 - y0) * factor
    return Region((x0 + x1 - side) / 2, (y0 + y1 - side) / 2, side)

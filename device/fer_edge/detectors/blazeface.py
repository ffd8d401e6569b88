"""BlazeFace, short and full range: one look of the network at a square region of a picture.

Bazarevsky et al. 2019 (arXiv 1907.05047); anchors, decoding, thresholds as in MediaPipe's face_detection_short_range
and face_detection_full_range.
"""

from __future__ import annotations

import math
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from fer_edge.classifier.runtime import invoke
from fer_edge.detectors.letterbox import Halves, Region, fill, whole_region
from fer_edge.detectors.network import DEFAULT, Engine, open_interpreter
from fer_edge.detectors.nms import Candidates, Floats, weighted_nms
from fer_edge.errors import BundleError, RunnerError
from fer_edge.types import FaceBox, RgbImage

SCORE_LIMIT = 100.0  # logits are clipped to +- this before the sigmoid (MediaPipe: score_clipping_thresh)
KEYPOINTS = ("right_eye", "left_eye", "nose", "mouth", "right_ear", "left_ear")
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
        model: content of face_detection_short_range.tflite or face_detection_full_range.tflite, or of another form.
        thresholds: ``score`` (least score, 0..1) and ``nms_iou`` (overlap from which two boxes are one face).
        engine: what computes it; ``model`` is in its format.
        spec: which of the two.

    Raises:
        BundleError: a threshold is missing, unknown or out of 0..1.
        RunnerError: the network cannot be loaded or is not this detector.
    """

    score: float
    nms_iou: float

    def __init__(
        self, model: bytes, thresholds: dict[str, float], engine: Engine = DEFAULT, spec: Network = SHORT
    ) -> None:
        if set(thresholds) != set(THRESHOLDS) or not all(0 <= value <= 1 for value in thresholds.values()):
            raise BundleError(f"detector thresholds: found {thresholds}, expected {' and '.join(THRESHOLDS)} in 0..1")
        self.score = thresholds["score"]
        self.nms_iou = thresholds["nms_iou"]
        self.spec = spec
        self._what = f"detector {spec.id}"
        self._anchors = anchor_centers(spec)
        self._interpreter = open_interpreter(model, self._what, engine)
        outputs = {tuple(d["shape"]): d for d in self._interpreter.get_output_details()}
        source = self._interpreter.get_input_details()[0]
        boxes, scores = (1, len(self._anchors), 4 + 2 * len(KEYPOINTS)), (1, len(self._anchors), 1)
        shape = (1, spec.input_px, spec.input_px, 3)
        if tuple(source["shape"]) != shape or set(outputs) != {boxes, scores}:
            raise RunnerError(
                f"{self._what}: found input {tuple(source['shape'])} and outputs {sorted(outputs)}, "
                f"expected {shape} and {sorted([boxes, scores])}; rebuild the bundle"
            )
        self._boxes, self._scores = (_Stored(outputs[which], self._what) for which in (boxes, scores))
        self._input, self._input_type = source["index"], np.dtype(source["dtype"])
        if self._input_type not in (np.float32, np.int8):
            raise RunnerError(f"{self._what}: found input {self._input_type}, expected float32 or int8")
        self._canvas = np.zeros(shape, dtype=np.uint8)
        self._values = np.zeros(shape, dtype=np.float32)

    def detect(self, image: RgbImage, border: float = 0.0) -> list[FaceBox]:
        """Faces in one look at the whole picture, best score first.

        Args:
            image: (h, w, 3) RGB uint8.
            border: blank margin on every side as a share of the longer side; 0.5 gives room around a face that fills
                the picture (without it the landmarks of tight crops are biased, see crop-geometry in the docs).
        """
        found = self.look(Halves(image), whole_region(image, border))
        return to_face_boxes(weighted_nms(found, self.nms_iou))

    def look(self, picture: Halves, region: Region, score: float | None = None) -> Candidates:
        """Raw candidates (several a face) in one region, in px of the picture.

        Args:
            picture: what is looked at.
            region: what to look at; parts outside the picture are black.
            score: least score, instead of the threshold.
        """
        shown = fill(self._canvas[0], picture, region)
        self._interpreter.set_tensor(self._input, self._prepared())
        invoke(self._interpreter, self._what)
        least = self.score if score is None else score
        logits = self._scores.real(self._interpreter.get_tensor(self._scores.index)[0, :, 0])
        likely = np.flatnonzero(logits >= _logit(least))  # the exact test follows, on these few
        scores = sigmoid(logits[likely])
        keep = scores >= least
        if not keep.any():
            return NOTHING
        likely = likely[keep]
        raw = self._boxes.real(self._interpreter.get_tensor(self._boxes.index)[0, likely])
        points = raw.reshape(-1, 2 + len(KEYPOINTS), 2)
        return _decode(points, scores[keep], self._anchors[likely], shown, shown.side / self.spec.input_px)

    def _prepared(self) -> NDArray[Any]:
        """The canvas as the network takes it: -1..1, in int8 half a step above, where no value shares a step."""
        if self._input_type == np.int8:
            return (self._canvas ^ np.uint8(128)).view(np.int8)
        np.divide(self._canvas, np.float32(127.5), out=self._values, dtype=np.float32)
        self._values -= np.float32(1)
        return self._values


class _Stored:
    """An output tensor: where it is and what its numbers stand for."""

    def __init__(self, details: dict[str, Any], what: str) -> None:
        self.index: int = details["index"]
        dtype, (scale, zero_point) = np.dtype(details["dtype"]), details["quantization"]
        if dtype not in (np.float32, np.int8):
            raise RunnerError(f"{what}: found output {dtype}, expected float32 or int8")
        self._scale = None if dtype == np.float32 else np.float32(scale)
        self._zero_point = np.float32(zero_point)

    def real(self, stored: NDArray[Any]) -> Floats:
        """Real values, float32; a copy of its own."""
        values: Floats = stored.astype(np.float32)
        return values if self._scale is None else (values - self._zero_point) * self._scale


def _logit(probability: float) -> float:
    """A logit a little below the one whose sigmoid is ``probability``, which may be 0 or 1."""
    inside = min(max(probability, 1e-9), 1 - 1e-9)
    return math.log(inside / (1 - inside)) - 0.01


def _decode(raw: Floats, scores: Floats, anchors: Floats, region: Region, scale: float) -> Candidates:
    """Network output to picture px.

    Args:
        raw: (k, 8, 2): center and size of the box, six keypoints; px of the input, relative to the anchor but the
            size.
        scores: (k,).
        anchors: (k, 2) px of the input.
        region: where the input lay in the picture.
        scale: px of the picture per px of the input.
    """
    half = raw[:, 1] / 2
    points = raw + anchors[:, None]
    points[:, 1] = points[:, 0] + half
    points[:, 0] -= half
    points *= np.float32(scale)
    points += np.array([region.x, region.y], dtype=np.float32)
    if (half > 0).all() and np.isfinite(points).all():
        return Candidates(points, scores)
    valid = (half > 0).all(axis=1) & np.isfinite(points).all(axis=(1, 2))
    return Candidates(points[valid], scores[valid])


NOTHING = Candidates(np.zeros((0, 2 + len(KEYPOINTS), 2), dtype=np.float32), np.zeros(0, dtype=np.float32))


def to_face_boxes(candidates: Candidates) -> list[FaceBox]:
    """Candidates (each one face) as FaceBox with the four canonical landmarks; the ears are left out."""
    faces = []
    for points, score in zip(candidates.points.tolist(), candidates.scores.tolist(), strict=True):
        (x0, y0), (x1, y1) = points[:2]
        marks = {name: (x, y) for name, (x, y) in zip(KEYPOINTS[:4], points[2:6], strict=True)}
        faces.append(FaceBox((x0, y0, x1 - x0, y1 - y0), marks, score))
    return faces

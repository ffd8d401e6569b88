"""The arithmetic of MTCNN: pyramid, boxes from P-Net's map, suppression, regression. Pure functions on arrays.

Boxes are (k, 4) x0, y0, x1, y1 in whole px counted from 1, both ends inside, as in the authors' MATLAB code
(Zhang et al. 2016, arXiv 1604.02878) and every port of it.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from fer_edge.contract.bounds import MTCNN_WINDOWS

Doubles = NDArray[np.float64]
CELL_PX = 12  # P-Net's window
STRIDE_PX = 2  # between windows


def pyramid_scales(height: int, width: int, min_face_px: float, factor: float) -> list[float]:
    """Scales at which faces from ``min_face_px`` up to the whole picture fill P-Net's window, largest scale first."""
    scale = CELL_PX / min_face_px
    side = min(height, width) * scale
    scales = []
    while side >= CELL_PX:
        scales.append(scale)
        scale *= factor
        side *= factor
    return scales


def probabilities(logits: NDArray[np.float32]) -> Doubles:
    """(..., 2) logits of no face, face -> (...) probability of a face; the softmax of two, without overflow."""
    difference = np.clip(logits[..., 0].astype(np.float64) - logits[..., 1], -500, 500)
    return np.asarray(1 / (1 + np.exp(difference)))


def boxes_from_map(output: NDArray[np.float32], scale: float, least: float) -> tuple[Doubles, Doubles, Doubles]:
    """P-Net's map at one scale as boxes.

    Args:
        output: (w, h, 6): two logits and four offsets for each window; x runs along the first axis.
        scale: of the picture that P-Net saw.
        least: probability.

    Returns:
        Boxes (k, 4), probabilities (k,), offsets (k, 4); k is bounded, the best stay.
    """
    found = probabilities(output[..., :2])
    x, y = np.nonzero(found >= least)
    best = best_of(found[x, y])
    x, y = x[best], y[best]
    corner = np.stack([x, y], axis=1) * STRIDE_PX
    boxes = np.concatenate([np.fix((corner + 1) / scale), np.fix((corner + CELL_PX) / scale)], axis=1)
    return boxes, found[x, y], output[x, y, 2:6].astype(np.float64)


def best_of(scores: Doubles) -> NDArray[np.int64]:
    """Indices of the best scores (k,), in their order: all, or so many that each may be compared with each."""
    if len(scores) <= MTCNN_WINDOWS:
        return np.arange(len(scores))
    return np.sort(np.argsort(-scores, kind="stable")[:MTCNN_WINDOWS])


def suppress(boxes: Doubles, scores: Doubles, limit: float, of_smaller: bool = False) -> NDArray[np.int64]:
    """Non-maximum suppression: indices of the boxes kept, best first.

    Args:
        boxes: (k, 4).
        scores: (k,).
        limit: a box that overlaps a better one by more than this share goes.
        of_smaller: the share of the smaller of the two areas instead of their union.
    """
    area = (boxes[:, 2] - boxes[:, 0] + 1) * (boxes[:, 3] - boxes[:, 1] + 1)
    rest = np.argsort(-scores, kind="stable")
    kept = []
    while len(rest):
        best, rest = rest[0], rest[1:]
        kept.append(best)
        corner0, corner1 = np.maximum(boxes[best, :2], boxes[rest, :2]), np.minimum(boxes[best, 2:], boxes[rest, 2:])
        both = np.prod(np.maximum(corner1 - corner0 + 1, 0), axis=1)
        whole = np.minimum(area[best], area[rest]) if of_smaller else area[best] + area[rest] - both
        rest = rest[both <= limit * whole]
    return np.array(kept, dtype=np.int64)


def moved(boxes: Doubles, offsets: Doubles, ends: int = 1) -> Doubles:
    """Boxes corrected by offsets in shares of their own width and height.

    Args:
        boxes: (k, 4).
        offsets: (k, 4).
        ends: 1 where a side counts both end px, as after R-Net and O-Net; 0 after P-Net (so in every port).
    """
    side = boxes[:, 2:] - boxes[:, :2] + ends
    return np.asarray(boxes + offsets * np.tile(side, 2))


def squared(boxes: Doubles) -> Doubles:
    """The squares around the boxes' centers with their longer side."""
    side = boxes[:, 2:] - boxes[:, :2]
    longer = side.max(axis=1, keepdims=True)
    corner = boxes[:, :2] + side / 2 - longer / 2
    return np.concatenate([corner, corner + longer], axis=1)

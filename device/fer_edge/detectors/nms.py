"""Weighted non-maximum suppression: overlapping candidates become one face. Pure functions on arrays."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float32]


@dataclass(frozen=True)
class Candidates:
    """Raw detections in px of the picture.

    Attributes:
        points: (k, 2 + landmarks, 2) of (x, y): top-left corner, bottom-right corner, landmarks.
        scores: (k,) in 0..1.
    """

    points: Floats
    scores: Floats

    def __len__(self) -> int:
        return len(self.scores)

    def take(self, index: NDArray[np.int64] | NDArray[np.bool_]) -> Candidates:
        """Those at ``index`` (indices or a mask)."""
        return Candidates(self.points[index], self.scores[index])

    @property
    def boxes(self) -> Floats:
        """(k, 4) corners x0, y0, x1, y1."""
        return self.points[:, :2].reshape(-1, 4)


def concatenate(parts: list[Candidates]) -> Candidates:
    """All candidates of several non-empty lists of candidates."""
    return Candidates(np.concatenate([p.points for p in parts]), np.concatenate([p.scores for p in parts]))


def overlap(box: Floats, boxes: Floats) -> tuple[Floats, Floats]:
    """Overlap of one box (4,) with boxes (k, 4), corners.

    Returns:
        Intersection over union (k,), and intersection over the smaller of the two areas (k,).
    """
    size = np.minimum(box[2:], boxes[:, 2:]) - np.maximum(box[:2], boxes[:, :2])
    both = np.prod(np.clip(size, 0, None), axis=1)
    area = np.prod(np.clip(box[2:] - box[:2], 0, None))
    areas = np.prod(np.clip(boxes[:, 2:] - boxes[:, :2], 0, None), axis=1)
    tiny = np.float32(1e-12)
    return both / np.maximum(area + areas - both, tiny), both / np.maximum(np.minimum(area, areas), tiny)


def weighted_nms(candidates: Candidates, iou: float, contained: float = 1.1) -> Candidates:
    """Merges what overlaps the best remaining candidate by their score-weighted mean, best score first.

    As MediaPipe's NonMaxSuppressionCalculator with ``algorithm: WEIGHTED``: the mean keeps the best one's score.

    Args:
        candidates: any number.
        iou: candidates that overlap the best one by more than this are merged into it.
        contained: candidates that lie inside the best one (or it in them) by more than this share of the smaller area
            are dropped without being merged; above 1 none is.
    """
    order = np.argsort(-candidates.scores, kind="stable")
    rest = candidates.take(order)
    points, scores = [], []
    while len(rest):
        same, inside = overlap(rest.boxes[0], rest.boxes)
        merged = same > iou
        merged[0] = True  # also where its own area is zero
        weights = rest.scores[merged]
        points.append((rest.points[merged] * weights[:, None, None]).sum(axis=0) / weights.sum())
        scores.append(rest.scores[0])
        rest = rest.take(~(merged | (inside > contained)))
    if not points:
        return candidates
    return Candidates(np.stack(points).astype(np.float32), np.array(scores, dtype=np.float32))

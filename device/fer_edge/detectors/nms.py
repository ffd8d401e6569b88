"""Weighted non-maximum suppression: overlapping candidates become one face. Pure functions on arrays."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float32]
_TINY = np.float32(1e-12)


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
    if len(parts) == 1:
        return parts[0]
    return Candidates(np.concatenate([p.points for p in parts]), np.concatenate([p.scores for p in parts]))


def _shares(best: int, low: Floats, high: Floats, areas: Floats) -> tuple[Floats, Floats]:
    """As ``overlap``, of one of the boxes with all: corners (k, 2) and their areas (k,)."""
    size = np.maximum(np.minimum(high[best], high) - np.maximum(low[best], low), 0)
    both = size[:, 0] * size[:, 1]
    smaller = np.maximum(np.minimum(areas[best], areas), _TINY)
    return both / np.maximum(areas[best] + areas - both, _TINY), both / smaller


def _areas(low: Floats, high: Floats) -> Floats:
    size = np.maximum(high - low, 0)
    return np.asarray(size[:, 0] * size[:, 1])


def overlap(box: Floats, boxes: Floats) -> tuple[Floats, Floats]:
    """Overlap of one box (4,) with boxes (k, 4), corners.

    Returns:
        Intersection over union (k,), and intersection over the smaller of the two areas (k,).
    """
    every = np.concatenate([box[None], boxes])
    low, high = every[:, :2], every[:, 2:]
    union, inside = _shares(0, low, high, _areas(low, high))
    return union[1:], inside[1:]


def weighted_nms(candidates: Candidates, iou: float, contained: float = 1.1) -> Candidates:
    """Merges what overlaps the best remaining candidate by their score-weighted mean, best score first.

    As MediaPipe's NonMaxSuppressionCalculator with ``algorithm: WEIGHTED``: the mean keeps the best one's score.

    Args:
        candidates: any number.
        iou: candidates that overlap the best one by more than this are merged into it.
        contained: candidates that lie inside the best one (or it in them) by more than this share of the smaller area
            are dropped without being merged; above 1 none is.
    """
    if len(candidates) < 2:
        return candidates
    rest = candidates.take(np.argsort(-candidates.scores, kind="stable"))
    low, high = rest.points[:, 0], rest.points[:, 1]
    areas = _areas(low, high)
    points, scores = [], []
    while len(rest):
        same, inside = _shares(0, low, high, areas)
        merged = same > iou
        merged[0] = True  # also where its own area is zero
        weights = rest.scores[merged]
        points.append((rest.points[merged] * weights[:, None, None]).sum(axis=0) / weights.sum())
        scores.append(rest.scores[0])
        left = ~(merged | (inside > contained))
        if not left.any():
            break
        rest, low, high, areas = rest.take(left), low[left], high[left], areas[left]
    return Candidates(np.asarray(points, dtype=np.float32), np.asarray(scores, dtype=np.float32))

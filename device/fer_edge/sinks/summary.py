"""What a frame says as a whole, for sinks that show no single face: how many faces, and which expression leads."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from fer_edge.types import FaceReading


@dataclass(frozen=True)
class FaceSummary:
    """A frame's faces taken together.

    Args:
        faces: how many.
        dominant: label with the highest mean probability; None without a face.
        probability: that mean; None without a face.
        probabilities: mean over the faces, by label; empty without a face.
        counts: faces by their own label.
    """

    faces: int
    dominant: str | None
    probability: float | None
    probabilities: dict[str, float]
    counts: dict[str, int]


def summarize_faces(faces: Sequence[FaceReading]) -> FaceSummary:
    """Each face counts the same, however large it is."""
    if not faces:
        return FaceSummary(0, None, None, {}, {})
    names = faces[0].probabilities
    means = {name: sum(face.probabilities[name] for face in faces) / len(faces) for name in names}
    dominant = max(means, key=lambda name: means[name])
    counts: dict[str, int] = {}
    for face in faces:
        counts[face.label] = counts.get(face.label, 0) + 1
    return FaceSummary(len(faces), dominant, means[dominant], means, counts)

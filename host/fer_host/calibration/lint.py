"""Is a calibration set fit for its purpose? Pure checks over crops; a hopeless set is refused in one line."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from fer_host.errors import DataError
from fer_host.files.artifacts import sha256_bytes

MIN_FACES = 16  # fewer say too little of the faces to come; see the curve in calibration/README.md
ADVISED_FACES = 100
# 1st and 99th percentile of the mean and of the standard deviation over FER2013's Training images (gray, 0..255),
# printed by `fer-host geometry`
BRIGHTNESS = (52.0, 203.0)
CONTRAST = (25.5, 87.3)
_REMEDY = "add photos with one clear face each, or leave CALIB out to use the shipped ranges"


@dataclass(frozen=True)
class LintReport:
    """What was found in a set of ``n_photos``; ``warnings`` are for the reader, one line each."""

    n_photos: int
    n_faces: int
    n_unreadable: int
    n_without_face: int
    n_duplicates: int
    n_light_outside: int
    labels: dict[str, int]
    warnings: tuple[str, ...]


def lint(
    crops: list[NDArray[np.uint8]],
    labels: list[str | None],
    *,
    n_photos: int,
    n_unreadable: int,
    n_without_face: int,
    source: str,
    remedy: str = _REMEDY,
) -> LintReport:
    """Checks gray or RGB crops (h, w[, 3]) uint8; ``source`` and ``remedy`` are for the message of a refusal.

    Raises:
        DataError: too few usable faces; says why, found, expected, remedy.
    """
    digests = [sha256_bytes(crop.tobytes()) for crop in crops]
    n_distinct = len(set(digests))
    if n_distinct < MIN_FACES:
        raise DataError(
            f"calibration {source}: {n_distinct} different faces in {n_photos} photos "
            f"({n_unreadable} unreadable, {n_without_face} without a face), expected at least {MIN_FACES}; {remedy}"
        )
    gray = [crop if crop.ndim == 2 else crop @ np.array([0.299, 0.587, 0.114]) for crop in crops]
    light = np.array([[image.mean(), image.std()] for image in gray])
    outside = (
        (light[:, 0] < BRIGHTNESS[0])
        | (light[:, 0] > BRIGHTNESS[1])
        | (light[:, 1] < CONTRAST[0])
        | (light[:, 1] > CONTRAST[1])
    )
    counts = Counter(label for label in labels if label)
    report = LintReport(
        n_photos=n_photos,
        n_faces=len(crops),
        n_unreadable=n_unreadable,
        n_without_face=n_without_face,
        n_duplicates=len(crops) - n_distinct,
        n_light_outside=int(outside.sum()),
        labels=dict(sorted(counts.items())),
        warnings=(),
    )
    return replace(report, warnings=_warnings(report))


def _warnings(report: LintReport) -> tuple[str, ...]:
    lines = []
    if report.n_faces < ADVISED_FACES:
        lines.append(f"{report.n_faces} faces; {ADVISED_FACES} or more give steadier ranges")
    if report.n_unreadable:
        lines.append(f"{report.n_unreadable} files could not be read as photos and were left out")
    if report.n_without_face > report.n_photos * 0.1:
        lines.append(f"no face found in {report.n_without_face} of {report.n_photos} photos; they were left out")
    if report.n_duplicates:
        lines.append(f"{report.n_duplicates} faces are exact copies of others")
    if report.n_light_outside > report.n_faces * 0.1:
        lines.append(
            f"{report.n_light_outside} of {report.n_faces} faces are darker, brighter, flatter or harsher than 98% of "
            f"training images (mean {BRIGHTNESS[0]:g} to {BRIGHTNESS[1]:g}, "
            f"deviation {CONTRAST[0]:g} to {CONTRAST[1]:g})"
        )
    if len(report.labels) > 1:
        least, most = min(report.labels.values()), max(report.labels.values())
        if most > 10 * least:
            lines.append(f"unbalanced: from {least} to {most} faces a label")
    elif report.labels:
        lines.append("all faces have one label; other expressions may fall outside the ranges")
    return tuple(lines)

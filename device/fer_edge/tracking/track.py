"""Faces that stay themselves: which face of this frame is which of the last, and when to look for faces again.

Pure functions over small frozen dataclasses; ``tracker.py`` does what is decided here.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from fer_edge.contract.limits import Limited, within
from fer_edge.tracking.neutral import Neutral
from fer_edge.tracking.smooth import Expression
from fer_edge.types import FaceBox, Point

Box = tuple[float, float, float, float]  # x, y, width, height in px


@dataclass(frozen=True)
class TrackSettings(Limited):
    """How faces are followed through a video and how calm their labels are.

    Attributes:
        enabled: False detects on every frame, numbers no face and smooths nothing.
        detect_every: most frames from one detection to the next; 1 detects on every frame.
        detect_within_s: most seconds from one detection to the next, so that a new face is soon seen.
        drift: distance between where a face was followed to and where the detector sees it, in eye distances, above
            which detections come twice as often; below half of it they come less often.
        same_face_iou: least overlap of a detection with the predicted box of a face that it continues.
        lost_s: how long a face that the detector no longer sees is still followed.
        min_face_px: a face whose box is smaller than this, in px, is left out: it has too few pixels to tell its
            expression. In a video of a crowd, far faces vanish; 0 keeps them all.
        smooth_s: time constant of the smoothing of probabilities; 0 smooths nothing.
        label_lead: least difference of probabilities by which another label replaces the shown one.
        uncertain_below: a face whose largest probability is below this is marked uncertain.
        shift: say how far a face is from its own neutral, from when a second of that was seen; True unless told.
    """

    enabled: bool = True
    detect_every: int = within(10, 1, 1000, "frames")
    detect_within_s: float = within(1.0, 0.01, 60, "s")
    drift: float = within(0.15, 0, 10)
    same_face_iou: float = within(0.3, 0.01, 1)
    lost_s: float = within(0.5, 0, 60, "s")
    min_face_px: float = within(24.0, 0, 10_000, "px")
    smooth_s: float = within(0.3, 0, 60, "s")
    label_lead: float = within(0.1, 0, 1)
    uncertain_below: float = within(0.35, 0, 1)
    shift: bool = True


@dataclass(frozen=True)
class Track:
    """One face over time.

    Attributes:
        id: its number; never given again.
        face: where it is in the newest frame.
        t_s: of that frame.
        seen_s: when the detector last saw it.
        speed: of its center, px/s along x and y.
        expression: None before the classifier saw it.
        neutral: its own, as far as it was seen.
    """

    id: int
    face: FaceBox
    t_s: float
    seen_s: float
    speed: Point = (0.0, 0.0)
    expression: Expression | None = None
    neutral: Neutral | None = None


@dataclass(frozen=True)
class Pace:
    """When the detector runs.

    Attributes:
        every: frames from one detection to the next, as it is now.
        since: frames since the last detection.
        last_s: time of the last detection.
    """

    every: int = 1
    since: int = 0
    last_s: float = float("-inf")


def is_due(pace: Pace, t_s: float, any_track: bool, settings: TrackSettings) -> bool:
    """True where this frame should be searched for faces: the pace says so, or there is no face to follow.

    A clock that jumped back makes it due as well.
    """
    elapsed_s = t_s - pace.last_s
    return not any_track or pace.since + 1 >= pace.every or not 0 <= elapsed_s < settings.detect_within_s


def is_search_due(searched_s: float, t_s: float) -> bool:
    """True where a detection should look everywhere, not only where faces are expected: new ones are seen by then.

    Args:
        searched_s: when it last looked everywhere; a clock that jumped back makes it due as well.
        t_s: of the frame.
    """
    return not 0 <= t_s - searched_s < SEARCH_WITHIN_S


def next_pace(pace: Pace, t_s: float, drift: float, load: float, settings: TrackSettings) -> Pace:
    """The pace after a detection.

    Args:
        pace: before it.
        t_s: of the frame that was searched.
        drift: largest over the faces, see ``TrackSettings.drift``; infinite where a face was lost.
        load: share of the time between frames that the last frames took to read; near 1, frames are being dropped.
        settings: the limits.
    """
    if drift > settings.drift:
        every = pace.every // 2
    elif drift < settings.drift / 2:
        every = pace.every + max(1, pace.every // 2)
    else:
        every = pace.every
    if load > BUSY:  # a late frame is worse than a face followed less well
        every = max(every, pace.every + 1)
    return Pace(min(max(every, 1), settings.detect_every), 0, t_s)


BUSY = 0.8  # share of the time between frames
SEARCH_WITHIN_S = 0.2  # from one look at the whole picture to the next, where a detector runs more often


def iou(a: Box, b: Box) -> float:
    """Intersection over union of two boxes, 0 where a box has no area."""
    width = min(a[0] + a[2], b[0] + b[2]) - max(a[0], b[0])
    height = min(a[1] + a[3], b[1] + b[3]) - max(a[1], b[1])
    if width <= 0 or height <= 0:
        return 0.0
    both = width * height
    return min(1.0, both / (a[2] * a[3] + b[2] * b[3] - both))  # rounding, where areas are tiny


def predicted(track: Track, t_s: float) -> FaceBox:
    """Where a face should be at ``t_s``, at constant velocity; no further than half its box from where it was."""
    x, y, width, height = track.face.box
    elapsed_s = max(0.0, t_s - track.t_s)
    dx = min(max(track.speed[0] * elapsed_s, -width / 2), width / 2)
    dy = min(max(track.speed[1] * elapsed_s, -height / 2), height / 2)
    marks = {name: (px + dx, py + dy) for name, (px, py) in track.face.landmarks.items()}
    return FaceBox((x + dx, y + dy, width, height), marks, track.face.score)


def match(expected: Sequence[Box], found: Sequence[Box], least_iou: float) -> list[tuple[int, int]]:
    """Pairs (index of expected, index of found), best overlap first, each index once, none below ``least_iou``."""
    overlaps = [(iou(a, b), i, j) for i, a in enumerate(expected) for j, b in enumerate(found)]
    pairs: list[tuple[int, int]] = []
    taken: tuple[set[int], set[int]] = set(), set()
    for overlap, i, j in sorted(overlaps, key=lambda row: (-row[0], row[1], row[2])):
        if overlap >= least_iou and overlap > 0 and i not in taken[0] and j not in taken[1]:
            pairs.append((i, j))
            taken[0].add(i)
            taken[1].add(j)
    return pairs


def moved_to(track: Track, face: FaceBox, t_s: float, seen: bool) -> Track:
    """The track with its face in a new frame; the speed is the mean of the old and the new one."""
    elapsed_s = t_s - track.t_s
    speed = track.speed
    if elapsed_s > 0:
        (ax, ay), (bx, by) = center(track.face.box), center(face.box)
        speed = (speed[0] + (bx - ax) / elapsed_s) / 2, (speed[1] + (by - ay) / elapsed_s) / 2
    return replace(track, face=face, t_s=t_s, seen_s=t_s if seen else track.seen_s, speed=speed)


def drift_between(followed: FaceBox, seen: FaceBox) -> float:
    """Mean distance of two faces' landmarks, in eye distances of the second; infinite where the eyes coincide."""
    (ax, ay), (bx, by) = seen.landmarks["right_eye"], seen.landmarks["left_eye"]
    eyes = ((ax - bx) ** 2 + (ay - by) ** 2) ** 0.5
    pairs = [(followed.landmarks[name], at) for name, at in seen.landmarks.items()]
    mean = sum(((p[0] - q[0]) ** 2 + (p[1] - q[1]) ** 2) ** 0.5 for p, q in pairs) / len(pairs)
    return mean / eyes if eyes > 0 else float("inf")


def is_large_enough(face: FaceBox, min_px: float) -> bool:
    """True where the box reaches ``min_px`` in width or height."""
    return max(face.box[2], face.box[3]) >= min_px


def center(box: Box) -> Point:
    """Middle of a box."""
    return box[0] + box[2] / 2, box[1] + box[3] / 2

"""Does what ``track`` decides: follows faces, says when the detector is due, keeps each face's expression."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence
from dataclasses import replace

from fer_edge.errors import LandmarkError
from fer_edge.tracking.follow import Appearance, appearance, follow
from fer_edge.tracking.neutral import Neutral, learned, shift
from fer_edge.tracking.smooth import is_uncertain, smoothed
from fer_edge.tracking.track import (
    Pace,
    Track,
    TrackSettings,
    drift_between,
    is_due,
    is_large_enough,
    is_search_due,
    match,
    moved_to,
    next_pace,
    predicted,
)
from fer_edge.types import FaceBox, FaceReading, Frame, RgbImage


class Tracker:
    """The faces of one video. Not for photos, and not for two videos at once.

    Args:
        settings: see ``TrackSettings``.
    """

    settings: TrackSettings

    def __init__(self, settings: TrackSettings | None = None) -> None:
        self.settings = settings or TrackSettings()
        self.reset()

    def reset(self) -> None:
        """Forgets all faces, as after the source was lost; numbers are not given again."""
        self._tracks: list[Track] = []
        self._too_small: tuple[FaceBox, ...] = ()
        self._seen: dict[int, Appearance] = {}
        self._pace = Pace()
        self._load = 0.0
        self._last_s: float | None = None
        self._searched_s = float("-inf")
        self._ids = getattr(self, "_ids", itertools.count(1))

    @property
    def faces(self) -> list[FaceBox]:
        """All faces that are followed, where they are in the newest frame."""
        return [track.face for track in self._tracks]

    @property
    def too_small(self) -> tuple[FaceBox, ...]:
        """Faces below ``min_face_px``, where the last search saw them; they are neither followed nor read."""
        return self._too_small

    @property
    def pace(self) -> Pace:
        """How often the detector runs, as it is now."""
        return self._pace

    def follow(self, frame: Frame) -> bool:
        """Moves every face into a new frame; True where the frame must be searched by the detector."""
        t_s = frame.t_s
        if is_due(self._pace, t_s, bool(self._tracks), self.settings):
            return True
        followed = [self._followed(track, frame.image, t_s) for track in self._tracks]
        kept = [track for track in followed if track is not None]
        if len(kept) < len(followed):
            return True  # the detector tells what became of it
        self._tracks = kept
        self._pace = Pace(self._pace.every, self._pace.since + 1, self._pace.last_s)
        return False

    def expected(self, frame: Frame) -> list[FaceBox]:
        """Where each face should be in a frame that is due, small ones too; none where all of it is to be searched."""
        if not self._tracks or is_search_due(self._searched_s, frame.t_s):
            self._searched_s = frame.t_s
            return []
        return [*(predicted(track, frame.t_s) for track in self._tracks), *self._too_small]

    def correct(self, frame: Frame, faces: Sequence[FaceBox]) -> None:
        """Takes what the detector saw in the frame.

        Faces that go on keep their number; new ones get one; those not seen are followed for a while.
        """
        t_s, image, least_px = frame.t_s, frame.image, self.settings.min_face_px
        self._too_small = tuple(face for face in faces if not is_large_enough(face, least_px))
        faces = [face for face in faces if is_large_enough(face, least_px)]
        follows = self.settings.detect_every > 1  # else there is nothing to learn from following as well
        guesses = [self._followed(track, image, t_s) if follows else None for track in self._tracks]
        expected = [
            guess.face if guess is not None else predicted(track, t_s)
            for guess, track in zip(guesses, self._tracks, strict=True)
        ]
        pairs = dict(match([f.box for f in expected], [f.box for f in faces], self.settings.same_face_iou))
        drift = max((drift_between(expected[i], faces[j]) for i, j in pairs.items()), default=0.0)
        tracks = []
        for i, (track, guess) in enumerate(zip(self._tracks, guesses, strict=True)):
            if i in pairs:
                tracks.append(moved_to(track, faces[pairs[i]], t_s, seen=True))
            elif guess is not None and 0 <= t_s - track.seen_s < self.settings.lost_s:
                tracks.append(guess)
                drift = float("inf")
        for j in sorted(set(range(len(faces))) - set(pairs.values())):
            tracks.append(Track(next(self._ids), faces[j], t_s, t_s))
        self._tracks = tracks
        self._remember(image, t_s)
        self._pace = next_pace(self._pace, t_s, drift, self._load, self.settings)

    def readings(
        self,
        frame: Frame,
        labels: Sequence[str],
        classify: Callable[[list[FaceBox]], list[list[float]]],
        wanted: Callable[[FaceBox], bool] = lambda _: True,
        baseline: Sequence[float] | None = None,
    ) -> tuple[FaceReading, ...]:
        """Every face that is wanted with its smoothed expression; one that is not loses what was smoothed.

        Args:
            frame: the one last followed.
            labels: names of the probabilities.
            classify: gives the probabilities of several faces in this frame.
            wanted: whether a face is to be read; the others are followed, and not classified.
            baseline: log-odds of the neutral of whoever is seen; None learns each face's own.
        """
        readings, settings = [], self.settings
        chosen = [i for i, track in enumerate(self._tracks) if wanted(track.face)]
        found = classify([self._tracks[i].face for i in chosen])
        self._tracks = [
            track if i in chosen else replace(track, expression=None, neutral=None)
            for i, track in enumerate(self._tracks)
        ]
        for i, new in zip(chosen, found, strict=True):
            track = self._tracks[i]
            expression = smoothed(track.expression, new, frame.t_s, settings.smooth_s, settings.label_lead)
            self._tracks[i] = track = replace(
                track,
                expression=expression,
                neutral=learned(track.neutral, new, labels, frame.t_s) if settings.shift and baseline is None else None,
            )
            by_name = dict(zip(labels, expression.probabilities, strict=True))
            uncertain = is_uncertain(expression.probabilities, settings.uncertain_below)
            shifted = self._shift(track.neutral, expression.probabilities, labels, baseline)
            face = FaceReading(track.face, labels[expression.label], by_name, track.id, uncertain, shift=shifted)
            readings.append(face)
        return tuple(readings)

    def _shift(
        self,
        neutral: Neutral | None,
        probabilities: Sequence[float],
        labels: Sequence[str],
        baseline: Sequence[float] | None,
    ) -> dict[str, float] | None:
        """By label, against the baseline, else against the face's own neutral once that is known."""
        if baseline is None and neutral is not None and neutral.is_known:
            baseline = neutral.log_odds
        if baseline is None or not self.settings.shift:
            return None
        return dict(zip(labels, shift(probabilities, baseline), strict=True))

    def took(self, frame: Frame, seconds: float) -> None:
        """Tells how long a frame took to read, for the load: the mean of the last few frames' shares.

        Where no frame can be late there is none, however slow the machine is: a file gives the same every time.
        """
        if not frame.can_be_late:
            return
        if self._last_s is not None and frame.t_capture_s > self._last_s:
            share = min(2.0, seconds / (frame.t_capture_s - self._last_s))
            self._load += (share - self._load) / 8
        self._last_s = frame.t_capture_s

    def _followed(self, track: Track, image: RgbImage, t_s: float) -> Track | None:
        """The track in a new frame; None where the face cannot be followed, or its middle has left the picture."""
        seen = self._seen.get(track.id)
        face = None if seen is None else follow(image, seen, track.face)
        if face is None:
            return None
        x, y, width, height = face.box
        inside = 0 <= x + width / 2 <= image.shape[1] and 0 <= y + height / 2 <= image.shape[0]
        return moved_to(track, face, t_s, seen=False) if inside else None

    def _remember(self, image: RgbImage, t_s: float) -> None:
        """Keeps how each face looks that the detector saw now; forgets those that are gone."""
        kept = {}
        for track in self._tracks:
            if track.seen_s == t_s:
                try:
                    kept[track.id] = appearance(image, track.face)
                except LandmarkError:  # it cannot be followed; the detector will be asked again
                    continue
            elif track.id in self._seen:
                kept[track.id] = self._seen[track.id]
        self._seen = kept

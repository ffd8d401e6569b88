"""Read this first: what happens to a frame. Detect or follow → align → preprocess → infer → smooth → reading."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from fer_edge.classifier.crop import crop_face
from fer_edge.classifier.runner import VariantRunner, open_runner
from fer_edge.contract.answer import answer
from fer_edge.contract.bundle import Bundle
from fer_edge.contract.labels import LabelSet
from fer_edge.contract.manifest import Manifest, Variant
from fer_edge.contract.preprocess import preprocess
from fer_edge.detectors import make_detector
from fer_edge.detectors.doubt import DoubtingDetector, opinion_of
from fer_edge.detectors.network import Engine
from fer_edge.setting.setting import Setting, setting_for
from fer_edge.tracking.neutral import shift
from fer_edge.tracking.track import TrackSettings
from fer_edge.tracking.tracker import Tracker
from fer_edge.tracking.zones import Zones, ZoneSettings
from fer_edge.types import FaceBox, FaceDetector, FaceReading, Frame, FrameReading, RgbImage

STAGES = ("detect", "align", "infer")  # of a photo; a video's frames have "track" too, and "detect" in some only


class Pipeline:
    """Reads the expressions in one frame after another.

    Args:
        manifest: says how faces are cut and prepared, and names the labels.
        variant: the classifier's variant that ``runner`` runs.
        detector: finds faces.
        runner: classifies them.
        tracker: for the frames of one video; None treats each frame as a photo.
        zones: where faces are read; everywhere unless told.
        baseline: log-odds by label of the neutral of whoever is seen; None learns each face's own in a video, and has
            none in a photo.
    """

    zones: Zones

    def __init__(
        self,
        manifest: Manifest,
        variant: Variant,
        detector: FaceDetector,
        runner: VariantRunner,
        tracker: Tracker | None = None,
        zones: Zones | None = None,
        baseline: tuple[float, ...] | None = None,
    ) -> None:
        self.manifest = manifest
        self.variant = variant
        self.detector = detector
        self.runner = runner
        self.tracker = tracker
        self.labels: LabelSet = manifest.label_set()
        self.zones = zones or Zones()
        self.baseline = baseline
        self._resting = tracker  # while it is switched off

    def retrack(self, settings: TrackSettings) -> None:
        """Takes other settings of tracking while running; a face's number is never given again, also after a time off.

        Not for photos. Following is quicker with one OpenCV thread, ``cv2.setNumThreads(1)``, which is the program's
        to decide.
        """
        if not settings.enabled:
            self.tracker, self._resting = None, self.tracker or self._resting
        elif self.tracker is not None:
            self.tracker.settings = settings
        else:
            self.tracker = self._resting or Tracker()
            self.tracker.reset()
            self.tracker.settings = settings

    def read_frame(self, frame: Frame) -> FrameReading:
        """All faces of a frame with their expressions, and the ms that each stage took."""
        if self.tracker is not None:
            return self._read_video_frame(frame, self.tracker)
        stage_ms: dict[str, float] = {}
        before = self.detector.left_out
        with _timed(stage_ms, "detect"):
            found = self.detector.detect(frame.image)
        faces = [face for face in found if self._in_zone(frame, face)[0]]
        readings = self._classified(frame, faces, stage_ms)
        return self._reading(frame, readings, found, stage_ms, self.detector.left_out - before)

    def read_faces(self, frame: Frame, faces: list[FaceBox]) -> FrameReading:
        """The expressions of faces that somebody else found, wherever they are; no other is looked for.

        Raises:
            LandmarkError: a landmark is missing, or they coincide.
        """
        stage_ms: dict[str, float] = {}
        return FrameReading(frame, self._classified(frame, faces, stage_ms), stage_ms)

    def _classified(self, frame: Frame, faces: list[FaceBox], stage_ms: dict[str, float]) -> tuple[FaceReading, ...]:
        names, own = self.manifest.labels, self.baseline
        return tuple(
            FaceReading(
                face,
                names[int(np.argmax(row))],
                dict(zip(names, row, strict=True)),
                shift=None if own is None else dict(zip(names, shift(row, own), strict=True)),
            )
            for face, row in zip(faces, self.classify(frame.image, faces, stage_ms), strict=True)
        )

    def _in_zone(self, frame: Frame, face: FaceBox) -> tuple[bool, str | None]:
        return self.zones.place(face.box, frame.image.shape[:2])

    def _reading(
        self,
        frame: Frame,
        readings: tuple[FaceReading, ...],
        found: list[FaceBox],
        stage_ms: dict[str, float],
        left_out: int,
        too_small: tuple[FaceBox, ...] = (),
    ) -> FrameReading:
        """With the zone of each face, and where the finds are that were not read, as the last search saw them."""
        zones = [self._in_zone(frame, reading.face)[1] for reading in readings]
        named = tuple(
            reading if zone is None else replace(reading, zone=zone)
            for reading, zone in zip(readings, zones, strict=True)
        )
        outside = (*(face for face in found if not self._in_zone(frame, face)[0]), *too_small, *self.detector.refused)
        return FrameReading(frame, named, stage_ms, left_out=left_out, outside=outside)

    def _read_video_frame(self, frame: Frame, tracker: Tracker) -> FrameReading:
        """As ``read_frame``: the tracker says whether to search, and smooths what the classifier says."""
        started = time.perf_counter()
        stage_ms: dict[str, float] = {}
        before = self.detector.left_out
        with _timed(stage_ms, "track"):
            due = tracker.follow(frame)
        if due:
            with _timed(stage_ms, "detect"):
                expected = tracker.expected(frame)
                known = (*expected, *self.detector.refused) if expected else ()
                faces = self.detector.detect(frame.image, known)
            with _timed(stage_ms, "track"):
                tracker.correct(frame, faces)

        def classify(faces: list[FaceBox]) -> list[list[float]]:
            return self.classify(frame.image, faces, stage_ms)

        def wanted(face: FaceBox) -> bool:
            return self._in_zone(frame, face)[0]

        readings = tracker.readings(frame, self.manifest.labels, classify, wanted, self.baseline)
        tracker.took(frame, time.perf_counter() - started)
        left_out = self.detector.left_out - before
        return self._reading(frame, readings, tracker.faces, stage_ms, left_out, tracker.too_small)

    def classify(self, image: RgbImage, faces: list[FaceBox], stage_ms: dict[str, float]) -> list[list[float]]:
        """Each face's probabilities, in the order of the manifest's labels; adds the times to ``stage_ms``."""
        if not faces:
            return []
        with _timed(stage_ms, "align"):
            crops = [crop_face(image, face.landmarks, self.manifest.align) for face in faces]
            own = self.manifest.input, self.variant.input_hw
            prepared = [preprocess(crop, *own, shared=True) for crop in crops]
            inputs = np.stack(prepared) if len(prepared) > 1 else prepared[0][None]
        with _timed(stage_ms, "infer"):
            return self.answer(inputs)

    def answer(self, inputs: NDArray[np.float32]) -> list[list[float]]:
        """The probabilities of prepared crops (N, H, W, channels), in the order of the manifest's labels."""
        probabilities: list[list[float]] = answer(self.runner(inputs), self.labels).tolist()
        return probabilities


def open_pipeline(
    bundle: Bundle,
    setting: Setting | None = None,
    tiles: tuple[int, ...] = (),
    tracking: TrackSettings | None = None,
    zones: ZoneSettings | None = None,
    baseline: tuple[float, ...] | None = None,
) -> Pipeline:
    """A pipeline from a checked bundle.

    Args:
        bundle: see ``open_bundle``.
        setting: how it runs; None takes the defaults, see ``setting_for``.
        tiles: see ``make_detector``.
        tracking: for the frames of one video; None (or not ``enabled``) treats each frame as a photo.
        zones: where faces are read; None: everywhere.
        baseline: see ``Pipeline``.

    Raises:
        SchemaError: no such variant or detector.
        RunnerError: no interpreter here can run it.
    """
    manifest = bundle.manifest
    setting = setting or setting_for(manifest)
    variant = manifest.variant(setting.variant)
    runner = open_runner(bundle.read(variant.file), variant, setting.threads, setting.provider)
    spec = manifest.find_detector(setting.detector)
    detector = make_detector(spec, bundle.read, tiles, setting.threads, setting.min_score, setting.provider)
    engine = Engine(setting.threads, spec.format, setting.provider)
    if spec.id != "mtcnn":  # which asks both of the networks that give the second opinion anyway
        detector = DoubtingDetector(detector, opinion_of(manifest, bundle.read, engine=engine))
    looked_at = None if zones is None else Zones.of(zones)
    pipeline = Pipeline(manifest, variant, detector, runner, zones=looked_at, baseline=baseline)
    if tracking is not None:
        pipeline.retrack(tracking)
    return pipeline


_watching: list[Callable[[str, float, float], None]] = []


@contextmanager
def watched_stages(watch: Callable[[str, float, float], None]) -> Iterator[None]:
    """Inside, ``watch`` is told each stage of any pipeline at its end: name, start, end (``time.perf_counter``)."""
    _watching.append(watch)
    try:
        yield
    finally:
        _watching.remove(watch)


class _timed:  # noqa: N801  # used as `with _timed(…):`; a third of the cost of contextlib's
    """Adds the ms that its block takes to ``stage_ms[name]``."""

    __slots__ = ("_name", "_stage_ms", "_started")

    def __init__(self, stage_ms: dict[str, float], name: str) -> None:
        self._stage_ms, self._name = stage_ms, name

    def __enter__(self) -> None:
        self._started = time.perf_counter()

    def __exit__(self, *_: object) -> None:
        ended = time.perf_counter()
        self._stage_ms[self._name] = self._stage_ms.get(self._name, 0.0) + (ended - self._started) * 1000
        for watch in _watching:
            watch(self._name, self._started, ended)

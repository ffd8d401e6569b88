"""Read this first: what happens to a frame. Detect → align → preprocess → infer → reading."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np

from fer_edge.contract.bundle import Bundle
from fer_edge.contract.manifest import Manifest, Variant
from fer_edge.contract.preprocess import preprocess, softmax
from fer_edge.crop import crop_face
from fer_edge.detectors import make_detector
from fer_edge.runner import LiteRunner
from fer_edge.types import FaceBox, FaceDetector, FaceReading, Frame, FrameReading, RgbImage, Runner

STAGES = ("detect", "align", "infer")


class Pipeline:
    """Reads the expressions in one frame after another.

    Args:
        manifest: says how faces are cut and prepared, and names the labels.
        variant: the classifier's variant that ``runner`` runs.
        detector: finds faces.
        runner: classifies them.
    """

    def __init__(self, manifest: Manifest, variant: Variant, detector: FaceDetector, runner: Runner) -> None:
        self.manifest = manifest
        self.variant = variant
        self.detector = detector
        self.runner = runner

    def read_frame(self, frame: Frame) -> FrameReading:
        """All faces of a frame with their expressions, and the ms that each stage took."""
        stage_ms: dict[str, float] = {}
        with _timed(stage_ms, "detect"):
            faces = self.detector.detect(frame.image)
        readings = tuple(self.read_face(frame.image, face, stage_ms) for face in faces)
        return FrameReading(frame, readings, stage_ms)

    def read_face(self, image: RgbImage, face: FaceBox, stage_ms: dict[str, float]) -> FaceReading:
        """One face's expression; adds the time to ``stage_ms``."""
        with _timed(stage_ms, "align"):
            crop = crop_face(image, face.landmarks, self.manifest.align)
            inputs = preprocess(crop, self.manifest.input, self.variant.input_hw)[None]
        with _timed(stage_ms, "infer"):
            probabilities = softmax(self.runner(inputs))[0]
        names = self.manifest.labels
        by_name = {name: float(p) for name, p in zip(names, probabilities, strict=True)}
        return FaceReading(face, names[int(np.argmax(probabilities))], by_name)


def open_pipeline(
    bundle: Bundle, variant_id: str | None = None, threads: int = 1, tiles: tuple[int, ...] = ()
) -> Pipeline:
    """A pipeline from a checked bundle.

    Args:
        bundle: see ``open_bundle``.
        variant_id: of the classifier; None takes the bundle's default.
        threads: of both interpreters.
        tiles: see ``make_detector``.

    Raises:
        SchemaError: no such variant.
        RunnerError: no interpreter here can run it.
    """
    manifest = bundle.manifest
    variant = manifest.variant(variant_id)
    runner = LiteRunner(bundle.read(variant.file), variant, threads)
    return Pipeline(manifest, variant, make_detector(manifest.detector, bundle.read, tiles, threads), runner)


@contextmanager
def _timed(stage_ms: dict[str, float], name: str) -> Iterator[None]:
    started = time.perf_counter()
    yield
    stage_ms[name] = stage_ms.get(name, 0.0) + (time.perf_counter() - started) * 1000

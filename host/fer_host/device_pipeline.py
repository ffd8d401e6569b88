"""The device's own code, as the host uses it: the one module through which fer_host reaches beyond the contract.

Evaluation, calibration, golden vectors and crop measurement run exactly what the board runs.
"""

from __future__ import annotations

import argparse
import os
from collections.abc import Callable
from pathlib import Path

from fer_edge import cli
from fer_edge.classifier.crop import crop_face
from fer_edge.classifier.onnx_interpreter import OnnxInterpreter
from fer_edge.classifier.runner import LiteRunner, VariantRunner, open_runner
from fer_edge.classifier.runtime import open_interpreter
from fer_edge.contract.specs import AlignSpec
from fer_edge.detectors import PHOTO_TILES, make_detector
from fer_edge.detectors.blazeface import NETWORKS as BLAZEFACES
from fer_edge.detectors.doubt import DoubtingDetector, SecondOpinion
from fer_edge.detectors.letterbox import Halves, Region, fill, square_around, whole_region
from fer_edge.errors import ImageError, RunnerError, SourceError
from fer_edge.pictures.formats import SUFFIXES
from fer_edge.pictures.photo import decode_photo, read_photo
from fer_edge.sources import open_source
from fer_edge.tracking.track import TrackSettings, iou
from fer_edge.types import FaceBox, FaceDetector, RgbImage

PHOTO_SUFFIXES = tuple(SUFFIXES)

__all__ = [
    "BLAZEFACES",
    "PHOTO_SUFFIXES",
    "PHOTO_TILES",
    "DoubtingDetector",
    "FaceBox",
    "FaceDetector",
    "Halves",
    "ImageError",
    "LiteRunner",
    "OnnxInterpreter",
    "Region",
    "RgbImage",
    "RunnerError",
    "SecondOpinion",
    "SourceError",
    "TrackSettings",
    "VariantRunner",
    "crop_face",
    "decode_photo",
    "device_parser",
    "face_cropper",
    "fill",
    "iou",
    "largest_face",
    "make_detector",
    "open_interpreter",
    "open_runner",
    "open_source",
    "photo_files",
    "read_photo",
    "square_around",
    "whole_region",
]


def device_parser() -> argparse.ArgumentParser:
    """Of ``fer-edge``, with all its commands and flags."""
    return cli.make_parser()


def photo_files(folder: Path) -> list[Path]:
    """All photos below a folder, sorted by path."""
    found = []
    for place, _, names in os.walk(folder):  # a tenth of the time that Path.rglob takes over a million files
        above = Path(place).relative_to(folder).parts
        found += [(*above, name) for name in names if _is_photo(place, name)]
    return [folder.joinpath(*parts) for parts in sorted(found)]


def _is_photo(place: str, name: str) -> bool:
    return os.path.splitext(name)[1].lower() in PHOTO_SUFFIXES and os.path.isfile(os.path.join(place, name))


def largest_face(detector: FaceDetector, image: RgbImage) -> FaceBox | None:
    """The face with the largest box, None where there is none."""
    faces = detector.detect(image)
    return max(faces, key=lambda face: face.box[2] * face.box[3]) if faces else None


def face_cropper(detector: FaceDetector, align: AlignSpec) -> Callable[[RgbImage], RgbImage | None]:
    """A function from a photo (h, w, 3) RGB to the aligned crop of its largest face, None where there is none."""

    def crop(image: RgbImage) -> RgbImage | None:
        face = largest_face(detector, image)
        return None if face is None else crop_face(image, face.landmarks, align)

    return crop

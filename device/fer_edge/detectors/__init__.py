"""Face detectors behind one protocol; ``make_detector`` makes the one a manifest names. Start with ``blazeface.py``."""

from __future__ import annotations

from collections.abc import Callable

from fer_edge.contract.specs import DetectorSpec
from fer_edge.detectors.blazeface import NETWORKS, BlazeFace
from fer_edge.detectors.mtcnn import MIN_FACE_PX, Mtcnn
from fer_edge.detectors.network import Engine
from fer_edge.detectors.search import SearchingDetector
from fer_edge.types import FaceDetector

PHOTO_TILES = (2, 3)  # for what is not live: photos and clips can wait, so small faces are worth ten times the looks
LIVE_MIN_FACE_PX = 2 * MIN_FACE_PX  # MTCNN's smallest face without tiles: a quarter of the work


def make_detector(
    spec: DetectorSpec,
    read: Callable[[str], bytes],
    tiles: tuple[int, ...] = (),
    threads: int = 1,
    min_score: float | None = None,
    provider: str | None = None,
) -> FaceDetector:
    """A detector of a bundle.

    Args:
        spec: one of the manifest's detectors.
        read: gives the content of a file by its role (``Bundle.read``).
        tiles: grids of overlapping tiles that BlazeFace searches besides the whole picture; (2, 3) finds small faces.
            MTCNN's own pyramid finds them; it starts at smaller faces where tiles are asked for.
        threads: of the interpreters.
        min_score: least score of a face instead of the manifest's, 0..1 (MTCNN: of its last network).
        provider: of onnxruntime, for a form of its own; None takes the best of this board.

    Raises:
        BundleError: files or thresholds that are not this detector's.
        RunnerError: a network cannot be loaded or is not this detector's.
    """
    thresholds = dict(spec.thresholds)
    if min_score is not None:
        thresholds["onet" if spec.id == "mtcnn" else "score"] = min_score
    engine = Engine(threads, spec.format, provider)
    if spec.id == "mtcnn":
        least_px = MIN_FACE_PX if tiles else LIVE_MIN_FACE_PX
        return Mtcnn([read(role) for role in spec.files], thresholds, engine, least_px)
    detector = BlazeFace(read(spec.files[0]), thresholds, engine, NETWORKS[spec.id])
    return SearchingDetector(detector, tiles)

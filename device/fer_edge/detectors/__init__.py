"""Face detectors behind one protocol; ``make_detector`` makes the one that a manifest names."""

from __future__ import annotations

from collections.abc import Callable

from fer_edge.contract.manifest import DetectorSpec
from fer_edge.detectors.blazeface import BlazeFace
from fer_edge.detectors.search import SearchingDetector
from fer_edge.errors import BundleError

PHOTO_TILES = (2, 3)  # for what is not live: photos and clips can wait, so small faces are worth ten times the looks


def make_detector(
    spec: DetectorSpec, read: Callable[[str], bytes], tiles: tuple[int, ...] = (), threads: int = 1
) -> SearchingDetector:
    """The detector of a bundle.

    Args:
        spec: the manifest's ``detector``.
        read: gives the content of a file by its role (``Bundle.read``).
        tiles: grids of overlapping tiles that are searched besides the whole picture; (2, 3) finds small faces.
        threads: of the interpreter.

    Raises:
        BundleError: a detector that this fer-edge does not know.
    """
    if spec.id != "blazeface_short":
        raise BundleError(f"detector {spec.id}: not known to this fer-edge, expected blazeface_short; update fer-edge")
    return SearchingDetector(BlazeFace(read(spec.files[0]), spec.thresholds, threads), tiles)

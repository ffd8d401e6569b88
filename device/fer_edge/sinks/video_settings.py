"""What can be set of the annotated video; apart from ``video``, which imports OpenCV."""

from __future__ import annotations

from dataclasses import dataclass

from fer_edge.contract.limits import Limited, checked

SUFFIXES = (".mp4", ".webm")


def _path(path: str) -> str:
    fine = not path or path.lower().endswith(SUFFIXES)
    return "" if fine else f"found {path!r}, expected a name that ends in {' or '.join(SUFFIXES)}"


@dataclass(frozen=True)
class AnnotateSettings(Limited):
    """The ``[annotate]`` table.

    Args:
        path: video to write of a clip, with boxes and labels: a name that ends in .mp4 or .webm; "" writes none.
    """

    path: str = checked("", _path)

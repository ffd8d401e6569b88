"""What can be set of the annotated video; apart from ``video``, which imports OpenCV."""

from __future__ import annotations

from dataclasses import dataclass

from fer_edge.contract.errors import SchemaError

SUFFIXES = (".mp4", ".webm")


@dataclass(frozen=True)
class AnnotateSettings:
    """The ``[annotate]`` table.

    Args:
        path: video to write of a clip, with boxes and labels: a name that ends in .mp4 or .webm; "" writes none.
    """

    path: str = ""

    def __post_init__(self) -> None:
        if self.path and not self.path.lower().endswith(SUFFIXES):
            raise SchemaError("path", f"found {self.path!r}, expected a name that ends in {' or '.join(SUFFIXES)}")

"""The faces of an evaluation, one after the other: in memory, or read from their files by workers when needed."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import overload

import numpy as np
from numpy.typing import NDArray

from fer_host.data.ahead import Ahead
from fer_host.data.damage import name_unreadable
from fer_host.data.unread import Unread
from fer_host.device_pipeline import ImageError

Face = NDArray[np.uint8]
_PIECE = 16  # faces that a worker reads at a time
_FACE_BYTES = 300 * 300 * 3  # about that of a published crop


@dataclass(frozen=True)
class StreamedCrops(Sequence[Face]):
    """Faces in their own size, (h, w, 3) RGB, each read when it is asked for.

    Attributes:
        rows: whose pictures are faces.
        chosen: (n,) of them.
        change: what is done to each.
    """

    rows: Unread
    chosen: NDArray[np.int64]
    change: Callable[[Face], Face] = lambda face: face

    def __len__(self) -> int:
        return len(self.chosen)

    @overload
    def __getitem__(self, key: int) -> Face: ...
    @overload
    def __getitem__(self, key: slice) -> Sequence[Face]: ...
    def __getitem__(self, key: int | slice) -> Face | Sequence[Face]:
        if isinstance(key, slice):
            return replace(self, chosen=self.chosen[key])
        face = self.rows.open(int(self.chosen[key]), None)
        assert face is not None, "crops are not cut"
        return self.change(face)

    def read(self) -> Iterator[Face | None]:
        """All of them, decoded ahead; None for each that cannot be read, which is named and counted."""
        starts = range(0, len(self), _PIECE)
        for faces, problems in Ahead(self._piece, starts, _PIECE * _FACE_BYTES):
            name_unreadable(problems, "left out")
            yield from faces

    def _piece(self, start: int) -> tuple[list[Face | None], list[str]]:
        faces: list[Face | None] = []
        problems = []
        for row in self.chosen[start : start + _PIECE]:
            try:
                face = self.rows.opened(int(row), None)
                faces.append(None if face is None else self.change(face))
            except ImageError as error:
                faces.append(None)
                problems.append(str(error))
        return faces, problems


def each(crops: Sequence[Face]) -> Iterator[Face | None]:
    """All faces in order; None for one that cannot be read."""
    return crops.read() if isinstance(crops, StreamedCrops) else iter(crops)


def changed(crops: Sequence[Face], change: Callable[[Face], Face]) -> Sequence[Face]:
    """The same faces with something done to each."""
    return replace(crops, change=change) if isinstance(crops, StreamedCrops) else [change(crop) for crop in crops]


def some(crops: Sequence[Face], keep: NDArray[np.int64]) -> Sequence[Face]:
    """The faces with these indices."""
    return replace(crops, chosen=crops.chosen[keep]) if isinstance(crops, StreamedCrops) else [crops[i] for i in keep]

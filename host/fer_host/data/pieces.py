"""All pictures in their order, some at a time, for who looks at each once: from memory, or decoded ahead."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import torch
from numpy.typing import NDArray

from fer_host.data.ahead import Ahead
from fer_host.data.damage import name_unreadable
from fer_host.data.streamed import Images, Streamed
from fer_host.device_pipeline import ImageError

Piece = tuple[NDArray[np.uint8], NDArray[np.bool_]]


def pieces(images: Images, n: int) -> Iterator[Piece]:
    """Parts (n, h, w) or (n, h, w, 3), the last one shorter, and which of them could be read; the others are gray.

    What cannot be read is named and counted (``damage``).
    """
    if not isinstance(images, Streamed):
        for start in range(0, len(images), n):
            some = images[start : start + n]
            yield some, np.ones(len(some), dtype=bool)
        return
    starts = range(0, len(images), n)
    size = n * int(np.prod(images.shape[1:]))
    made = Ahead(lambda start: _piece(images, start, n), starts, size) if len(starts) > 1 else _alone(images, n)
    for part, problems in made:
        name_unreadable(problems.values(), "left out")
        readable = np.ones(len(part), dtype=bool)
        readable[list(problems)] = False
        yield part.numpy(), readable


def which_read(images: Images) -> NDArray[np.bool_]:
    """(N,) bool: the pictures that can be read; those in memory can, others are tried."""
    if not isinstance(images, Streamed):
        return np.ones(len(images), dtype=bool)
    return np.concatenate([readable for _, readable in pieces(images, 64)] or [np.zeros(0, dtype=bool)])


def _alone(images: Streamed, n: int) -> Iterator[tuple[torch.Tensor, dict[int, str]]]:
    if len(images):
        yield _piece(images, 0, n)


def _piece(images: Streamed, start: int, n: int) -> tuple[torch.Tensor, dict[int, str]]:
    rows = range(start, min(len(images), start + n))
    part, problems = np.full((len(rows), *images.shape[1:]), 127, dtype=np.uint8), {}
    for at, row in enumerate(rows):
        try:
            part[at] = images.face(row)
        except ImageError as error:
            problems[at] = str(error)
    return torch.from_numpy(part), problems

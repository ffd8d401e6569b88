"""A camera that fails on demand, behind the protocol that the real ones implement (fer_edge/sources/live.py)."""

from __future__ import annotations

import time
from dataclasses import dataclass, field

import numpy as np

from fer_edge.errors import SourceError
from fer_edge.sources.live import Camera, LiveSource
from fer_edge.sources.open import parse_uri
from fer_edge.sources.synthetic import SyntheticSource
from fer_edge.types import RgbImage

NAME = "standin://0"


@dataclass
class World:
    """What is the matter with the camera; changed by a script while it runs."""

    plugged: bool = True
    holder: str = ""  # another program that has the camera
    stalled: bool = False  # read() does not come back
    broken: bool = False  # frames come, and are no pictures
    size: tuple[int, int] = (320, 240)  # width, height
    fps: float = 10.0
    opened: int = 0
    tries: list[float] = field(default_factory=list)  # monotonic times of opening, to see that nothing is a busy loop


class StandIn(Camera):
    """One opened camera of a ``World``: drawn faces at its rate."""

    def __init__(self, world: World) -> None:
        self.world, self.description = world, "stand-in"
        self._drawn: dict[tuple[int, int], SyntheticSource] = {}
        self._index, self._closed = 0, False

    def open(self) -> None:
        """As a USB camera: absent, or held by another program."""
        world = self.world
        world.tries.append(time.monotonic())
        if not world.plugged:
            raise SourceError(f"source {NAME}: no such device; plug the camera in")
        if world.holder:
            raise SourceError(f"source {NAME}: busy; {world.holder} holds it; stop it first")
        world.opened += 1

    def read(self) -> tuple[RgbImage, float]:
        """A frame at the world's rate, or what the world has in store."""
        world = self.world
        time.sleep(1 / world.fps)
        while world.stalled and world.plugged and not self._closed:
            time.sleep(0.02)
        if not world.plugged:
            raise SourceError(f"source {NAME}: lost after {self._index} frames; plug the camera in")
        self._index += 1
        if world.broken:
            return np.zeros((0, world.size[0], 3), np.uint8), time.monotonic()
        width, height = world.size
        if world.size not in self._drawn:
            self._drawn[world.size] = SyntheticSource(parse_uri(f"synthetic://?width={width}&height={height}"))
        return self._drawn[world.size].draw(self._index), time.monotonic()

    def close(self) -> None:
        """Frees it; a stalled read does not come back by this (as with real drivers), but by the world's change."""


def opener(world: World):  # type: ignore[no-untyped-def]  # the benchmarks are not checked strictly
    """What ``Launcher`` calls to open the camera."""
    return lambda: LiveSource(StandIn(world), NAME)

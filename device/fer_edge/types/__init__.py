"""What flows from room to room and what they ask of each other. Start with ``frames.py``, then ``protocols.py``."""

from __future__ import annotations

from fer_edge.types.frames import FaceBox, FaceReading, Frame, FrameReading, Point, RgbImage, box_inside
from fer_edge.types.protocols import FaceDetector, FrameSource, Runner, Sink
from fer_edge.types.status import State, Status

__all__ = [
    "FaceBox",
    "FaceDetector",
    "FaceReading",
    "Frame",
    "FrameReading",
    "FrameSource",
    "Point",
    "RgbImage",
    "Runner",
    "Sink",
    "State",
    "Status",
    "box_inside",
]

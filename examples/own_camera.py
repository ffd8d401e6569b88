"""Your own camera loop: OpenCV captures, fer-edge reads; what changes is said.

python own_camera.py            the first camera
python own_camera.py clip.mp4   a file
"""

from __future__ import annotations

import sys
from collections.abc import Iterator

import cv2
from cv2.typing import MatLike

import fer_edge


def captured(what: int | str) -> Iterator[MatLike]:
    """Frames in OpenCV's BGR until there are no more."""
    capture = cv2.VideoCapture(what)
    try:
        while True:
            ok, image = capture.read()
            if not ok:
                return
            yield image
    finally:
        capture.release()


def say(what: str, face: fer_edge.Face, reading: fer_edge.Reading) -> None:
    """A line for each face that came or went, and for each new expression."""
    print(f"frame {reading.index}: face {face.track} {what}: {face.label}", flush=True)


def main(what: int | str) -> None:
    """Reads until the camera ends."""
    with fer_edge.open_reader() as reader:
        for reading in reader.follow(captured(what), order="bgr", on_change=say):
            if reading.age_s > 0.5:
                print(f"slow: {reading.age_s:.1f} s", flush=True)


if __name__ == "__main__":
    main(sys.argv[1] if len(sys.argv) > 1 else 0)

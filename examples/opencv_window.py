"""The live picture with boxes in a window; q ends it.

    python opencv_window.py                          the first camera
    python opencv_window.py rtsp://user@host/stream  any source of fer-edge

Windows need OpenCV with a display: `pip install opencv-python` in place of `opencv-python-headless`, or Debian's
`python3-opencv`. Where there is none, cv2.imshow raises cv2.error.
"""

from __future__ import annotations

import sys

import cv2

import fer_edge


def main(uri: str | None) -> None:
    """Shows each frame until q is pressed or the source ends."""
    with fer_edge.open_reader() as reader, fer_edge.open_source(uri) as frames:
        for reading in reader.follow(frames):
            drawn = fer_edge.annotate(reading.image, reading)
            cv2.imshow("fer-edge", drawn[:, :, ::-1])  # a window takes BGR
            if cv2.waitKey(1) == ord("q"):
                break


if __name__ == "__main__":
    main(sys.argv[1] if len(sys.argv) > 1 else None)

"""OpenCV's switches for the whole process, thrown for the time of an opening and then as they were."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager

import cv2

FFMPEG_OPTIONS = "OPENCV_FFMPEG_CAPTURE_OPTIONS"
RTSP_OVER_TCP = "rtsp_transport;tcp"  # over UDP a lossy network gives gray smears instead of an error
WARNING = 3  # opencv2/core/utils/logger.defines.hpp


@contextmanager
def opencv_warns() -> Iterator[None]:
    """Inside, OpenCV prints its warnings; nothing happens where this OpenCV cannot be told."""
    if not hasattr(cv2, "setLogLevel") or not hasattr(cv2, "getLogLevel"):
        yield
        return
    before = cv2.getLogLevel()
    cv2.setLogLevel(WARNING)
    try:
        yield
    finally:
        cv2.setLogLevel(before)


@contextmanager
def rtsp_over_tcp() -> Iterator[None]:
    """Inside, streams are opened over TCP: OpenCV takes this from the environment alone. A user's own value stays."""
    if FFMPEG_OPTIONS in os.environ:
        yield
        return
    os.environ[FFMPEG_OPTIONS] = RTSP_OVER_TCP
    try:
        yield
    finally:
        os.environ.pop(FFMPEG_OPTIONS, None)

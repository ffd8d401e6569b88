"""OpenCV's switches for the whole process, thrown for the time of an opening and then as they were."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager

import cv2
import numpy as np
from numpy.typing import NDArray

FFMPEG_OPTIONS = "OPENCV_FFMPEG_CAPTURE_OPTIONS"
RTSP_OVER_TCP = "rtsp_transport;tcp"  # over UDP a lossy network gives gray smears instead of an error
# OpenCV gives its decoders as many threads as there are cores, and each holds pictures; 4.6 cannot be told
ONE_THREAD = (cv2.CAP_PROP_N_THREADS, 1) if hasattr(cv2, "CAP_PROP_N_THREADS") else ()
WARNING = 3  # opencv2/core/utils/logger.defines.hpp


def rgb_of(bgr: NDArray[np.uint8], in_place: bool = False) -> NDArray[np.uint8]:
    """A picture (h, w, 3) in R, G, B: a fortieth of the time that NumPy takes to turn the last axis round.

    Args:
        bgr: contiguous, B, G, R; no longer that where the work is done in place.
        in_place: nobody else has it, and no second picture is made.
    """
    if in_place and bgr.flags.writeable and bgr.flags.c_contiguous:
        return np.asarray(cv2.cvtColor(bgr, cv2.COLOR_BGR2RGB, dst=bgr), dtype=np.uint8)
    return np.asarray(cv2.cvtColor(np.ascontiguousarray(bgr), cv2.COLOR_BGR2RGB), dtype=np.uint8)


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

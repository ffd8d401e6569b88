"""What ``fer-edge`` does to its own process, and nothing else does: a program that imports fer_edge stays as it was.

Environment, memory, OpenCV's threads, where C libraries print, and how to leave when a camera's driver hangs.
"""

from __future__ import annotations

import os
import sys
import threading
import traceback
from collections.abc import Iterator
from contextlib import contextmanager

from fer_edge.contract.bounds import PHOTO_PIXELS
from fer_edge.contract.process import replace_streams
from fer_edge.program import allocator, threads

# Read by the libraries when they are loaded or open something; a user's own value stays.
ENVIRONMENT = {
    "OPENCV_IO_MAX_IMAGE_PIXELS": str(PHOTO_PIXELS),  # one that claims to be larger is refused before it is decoded
    "OPENCV_LOG_LEVEL": "FATAL",  # our own line says what is wrong; OpenCV's beside it confuse
    "OPENCV_FFMPEG_LOGLEVEL": "-8",  # likewise FFmpeg's
    "OPENCV_FFMPEG_CAPTURE_OPTIONS": "rtsp_transport;tcp",  # as sources/opencv.py, but once and for all threads
    "OPENCV_VIDEOIO_V4L_SELECT_TIMEOUT": "3",  # s; OpenCV's own is 10
    "OPENBLAS_NUM_THREADS": "1",  # NumPy's matrices here are small; where no thread can be started, OpenBLAS hangs
    "LIBCAMERA_LOG_LEVELS": "*:WARN",  # without a page of INFO at each start
}


@contextmanager
def owned() -> Iterator[None]:
    """Inside, the process is fer-edge's: to be entered before OpenCV is imported.

    At the end a camera's driver that hangs does not keep the process alive; systemd then starts a new one.
    """
    for name, value in ENVIRONMENT.items():
        os.environ.setdefault(name, value)
    threading.excepthook = threads.hook
    allocator.keep_little()
    try:
        yield
    finally:
        _leave_if_stuck(sys.exc_info()[1])


def one_opencv_thread() -> None:
    """For following faces: their small pictures take less time than waking OpenCV's threads for them."""
    import cv2

    cv2.setNumThreads(1)


def keep_streams_clean() -> None:
    """Keeps stdout and stderr for us, and sends what C libraries print on stdout to stderr.

    Argus' chatter would stand between our JSON lines; and while ``contract.descriptors.captured`` has file descriptor
    2, our own lines must still come through.
    """
    try:
        out, err = os.dup(1), os.dup(2)
    except OSError:  # closed
        return
    replace_streams(out, err)
    os.dup2(err, 1)


def _leave_if_stuck(error: BaseException | None) -> None:
    """Leaves at once, with status 2, where a driver hangs: it also hangs the libraries' own clean-up at exit."""
    live = sys.modules.get("fer_edge.sources.live")
    if live is None or not live.end_all():
        return
    if isinstance(error, Exception):
        traceback.print_exception(error)
    for stream in (sys.stdout, sys.stderr):
        try:
            stream.flush()
        except (OSError, ValueError):
            continue
    os._exit(2)

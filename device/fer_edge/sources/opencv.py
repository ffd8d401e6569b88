"""How much OpenCV itself says on stderr."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import cv2

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

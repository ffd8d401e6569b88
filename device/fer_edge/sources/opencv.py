"""How much OpenCV itself says on stderr."""

from __future__ import annotations

from typing import Literal

import cv2

LEVELS = {"FATAL": 1, "ERROR": 2, "WARNING": 3}  # opencv2/core/utils/logger.defines.hpp


def opencv_log_level(name: Literal["FATAL", "ERROR", "WARNING"]) -> None:
    """Sets OpenCV's log level; nothing happens where this OpenCV cannot."""
    if hasattr(cv2, "setLogLevel"):
        cv2.setLogLevel(LEVELS[name])

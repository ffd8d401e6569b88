"""Stands for ROS 2's Python packages, which no package index of the tests has: what examples/ros2_node.py calls.

It hands pictures to the node in another thread, as an executor does. It cannot tell whether a real rclpy agrees.
"""

from __future__ import annotations

import logging
import sys
import time
from collections.abc import Callable
from types import ModuleType, SimpleNamespace
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray


class Logger:
    def warning(self, text: str, once: bool = False) -> None:
        logging.getLogger("ros").warning(text)


class Node:
    def __init__(self, name: str) -> None:
        self.published: list[str] = []
        self.callbacks: dict[str, Callable[[Any], None]] = {}

    def create_publisher(self, kind: type[Any], topic: str, depth: int) -> SimpleNamespace:
        assert isinstance(kind(data="x").data, str)
        return SimpleNamespace(publish=lambda message: self.published.append(message.data))

    def create_subscription(self, kind: type[Any], topic: str, callback: Callable[[Any], None], qos: object) -> None:
        self.callbacks[topic] = callback

    def get_logger(self) -> Logger:
        return Logger()

    def get_clock(self) -> SimpleNamespace:
        return SimpleNamespace(now=lambda: SimpleNamespace(nanoseconds=time.time_ns()))

    def destroy_node(self) -> None: ...


def image(picture: NDArray[np.uint8], encoding: str, padding: int = 0) -> SimpleNamespace:
    """A sensor_msgs/Image; its rows may be longer than the picture's."""
    height, width = picture.shape[:2]
    rows = np.zeros((height, width * 3 + padding), np.uint8)
    rows[:, : width * 3] = picture.reshape(height, -1)
    seconds = time.time()
    stamp = SimpleNamespace(sec=int(seconds), nanosec=int(seconds % 1 * 1e9))
    return SimpleNamespace(
        header=SimpleNamespace(stamp=stamp),
        height=height,
        width=width,
        step=rows.shape[1],
        encoding=encoding,
        data=rows.tobytes(),
    )


def put_in_place(monkeypatch: pytest.MonkeyPatch) -> None:
    message = type("Message", (SimpleNamespace,), {})
    contents: dict[str, dict[str, object]] = {
        "rclpy": {"init": lambda: None, "spin": lambda node: None, "try_shutdown": lambda: None},
        "rclpy.node": {"Node": Node},
        "rclpy.qos": {"qos_profile_sensor_data": object()},
        "sensor_msgs": {},
        "sensor_msgs.msg": {"Image": message},
        "std_msgs": {},
        "std_msgs.msg": {"String": message},
    }
    for name, names in contents.items():
        module = ModuleType(name)
        vars(module).update(names)
        monkeypatch.setitem(sys.modules, name, module)

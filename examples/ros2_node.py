"""A ROS 2 node: sensor_msgs/Image on /image in, one JSON line a frame on /faces out (std_msgs/String).

    ros2 run v4l2_camera v4l2_camera_node --ros-args -r image_raw:=/image     # a camera
    python ros2_node.py

Pictures come as messages, not from a source: a generator hands them to `follow`, which runs in a thread of its own,
with one place for the newest picture, so that the executor never waits and no old picture is read.
"""

from __future__ import annotations

import contextlib
import json
import queue
import threading
import time
from collections.abc import Iterator

import numpy as np
import rclpy
from rclpy.node import Node
from rclpy.qos import qos_profile_sensor_data
from sensor_msgs.msg import Image
from std_msgs.msg import String

import fer_edge

ENCODINGS = {"rgb8": "rgb", "bgr8": "bgr"}


class Faces(Node):
    """Reads the newest picture of /image."""

    def __init__(self) -> None:
        super().__init__("fer_edge")
        self._reader = fer_edge.open_reader()
        self._newest: queue.Queue[fer_edge.Frame | None] = queue.Queue(maxsize=1)
        self._faces = self.create_publisher(String, "/faces", 10)
        self.create_subscription(Image, "/image", self._on_image, qos_profile_sensor_data)
        self._thread = threading.Thread(target=self._read, name="faces", daemon=True)
        self._thread.start()

    def _on_image(self, message: Image) -> None:
        order = ENCODINGS.get(message.encoding)
        if order is None:
            self.get_logger().warning(f"encoding {message.encoding!r}, expected rgb8 or bgr8", once=True)
            return
        rows = np.frombuffer(message.data, np.uint8).reshape(message.height, message.step)
        picture = rows[:, : 3 * message.width].reshape(message.height, message.width, 3)
        stamp = message.header.stamp
        age_s = self.get_clock().now().nanoseconds / 1e9 - (stamp.sec + stamp.nanosec / 1e9)
        rgb = picture if order == "rgb" else picture[:, :, ::-1]
        self._put(fer_edge.Frame(rgb, t_capture_s=time.monotonic() - age_s, source="/image", can_be_late=True))

    def _put(self, frame: fer_edge.Frame | None) -> None:
        while True:
            try:
                return self._newest.put_nowait(frame)
            except queue.Full:  # the newest wins
                with contextlib.suppress(queue.Empty):
                    self._newest.get_nowait()

    def _frames(self) -> Iterator[fer_edge.Frame]:
        while (frame := self._newest.get()) is not None:
            yield frame

    def _read(self) -> None:
        for reading in self._reader.follow(self._frames()):
            self._faces.publish(String(data=json.dumps(reading.to_dict())))

    def destroy_node(self) -> None:
        """Ends the thread too."""
        self._put(None)
        self._thread.join()
        super().destroy_node()


def main() -> None:
    """Spins until Ctrl-C."""
    rclpy.init()
    node = Faces()
    try:
        rclpy.spin(node)
    except KeyboardInterrupt:
        pass
    finally:
        node.destroy_node()
        rclpy.try_shutdown()


if __name__ == "__main__":
    main()

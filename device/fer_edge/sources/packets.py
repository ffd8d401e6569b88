"""A clip's packets, read ahead of its decoder: before which one the pictures' size changes."""

from __future__ import annotations

import cv2

from fer_edge.contract.bounds import FEW_FAILURES as MOST_FAILURES
from fer_edge.sources.headers import codec_of, is_shown, size_mark
from fer_edge.sources.opencv import ONE_THREAD

AHEAD = 64  # packets; a decoder holds back fewer frames than these (16 threads, 16 to put in order)


class PacketWatch:
    """Packets in the order of decoding, undecoded.

    Args:
        place: a file's path.
    """

    codec: bytes
    shown: int
    packet: bytes
    stamp_ms: float
    ended: bool
    changed: bool

    def __init__(self, place: str) -> None:
        self._capture = cv2.VideoCapture(place, cv2.CAP_FFMPEG, [cv2.CAP_PROP_FORMAT, -1, *ONE_THREAD])
        self._capture.set(cv2.CAP_PROP_ORIENTATION_AUTO, 0)  # 4.6 turns the packet's bytes
        self.codec = b""
        self.shown = 0  # packets before the present one that give a picture
        self.packet, self.stamp_ms = b"", 0.0
        self._mark = b""
        self._is_next = False
        self.ended = not self._capture.isOpened()
        self.changed = False

    def advance(self, frames: int) -> bool:
        """Reads on to well behind so many frames; True where the size changes, and ``packet`` is the first after it."""
        while not (self.ended or self.changed) and self.shown < frames + AHEAD:
            self.step()
        return self.changed

    def step(self) -> bool:
        """Takes the next packet; False at the end. ``changed`` says that it begins another size."""
        self.shown += self._is_next
        self._is_next = False
        self.changed = False
        for _ in range(MOST_FAILURES):
            if self._capture.grab():
                break
        else:
            self.ended = True
            return False
        is_key = bool(self._capture.get(cv2.CAP_PROP_LRF_HAS_KEY_FRAME))
        self.stamp_ms = float(self._capture.get(cv2.CAP_PROP_POS_MSEC))
        ok, data = self._capture.retrieve()
        self.packet = data.tobytes() if ok and data is not None else b""
        self._is_next = is_shown(self.codec, self.packet)
        if is_key:
            self.codec = self.codec or codec_of(self.packet)
            mark = size_mark(self.codec, self.packet)
            self.changed = bool(mark and self._mark and mark != self._mark)
            self._mark = mark or self._mark
        return True

    def close(self) -> None:
        """Frees the file."""
        self._capture.release()

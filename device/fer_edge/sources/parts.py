"""Pictures of clips and streams; where a clip's change their size, each size gets a decoder of its own.

OpenCV (4.6 to 4.11) keeps the size of the first picture and then gives old or half-filled ones. A decoder that begins
with the new size is right, but OpenCV can begin only where a file does: so it is given the packets as an IVF file,
through a pipe.
"""

from __future__ import annotations

import contextlib
import os
import struct
from collections import deque

import cv2
import numpy as np
from numpy.typing import NDArray

from fer_edge.contract.bounds import FEW_FAILURES
from fer_edge.program.threads import OnceThread
from fer_edge.sources.headers import HEVC
from fer_edge.sources.jpegs import RAW_IS_UNTIMED
from fer_edge.sources.packets import PacketWatch

BgrImage = NDArray[np.uint8]  # (height, width, 3)
HELD_BACK = 20  # frames that a decoder may hold back when a key frame's packet has been read
SLACK = 8  # frames that may have been lost without a word before a change of size


class ClipPictures:
    """A clip's pictures: the file's own decoder up to a change of size, and after it for the time stamps alone.

    Args:
        capture: open on the file, nothing read yet.
        place: the file's path.
    """

    stamp_ms: float

    def __init__(self, capture: cv2.VideoCapture, place: str) -> None:
        self.capture, self._packets = capture, PacketWatch(place)
        self._parts: _Parts | None = None
        self._taken = 0  # packets that gave a picture, or failed to
        self.stamp_ms = 0.0
        self.damaged = False
        self._lost = 0
        self._whole_at: deque[int] = deque(maxlen=HELD_BACK)
        self._before: BgrImage | None = None  # the last picture before a change of size

    @property
    def lost(self) -> int:
        """Frames about a change of size that never came."""
        return self._lost + (self._parts.lost if self._parts is not None else 0)

    @property
    def is_whole(self) -> bool:
        """Whether the last picture needs no other: an intra frame, or (before 4.10) some frames behind a key packet."""
        if hasattr(cv2, "CAP_PROP_FRAME_TYPE"):
            return int(self.capture.get(cv2.CAP_PROP_FRAME_TYPE)) == ord("I")
        return self._taken in self._whole_at

    def read(self) -> BgrImage | None:
        """The next picture, B, G, R; None at the end or for a damaged one."""
        before_ms, is_there = self.stamp_ms, self.capture.grab()
        self.stamp_ms = float(self.capture.get(cv2.CAP_PROP_POS_MSEC)) if is_there else 0.0
        if self._parts is None and self._packets.advance(self._taken) and self._is_behind(before_ms):
            self._lost += max(0, self._packets.shown - self._taken)
            self._parts = _Parts(self._packets)
        self._taken += 1
        if not is_there:
            self._whole_at.clear()  # it may have been the key frame
        elif self.capture.get(cv2.CAP_PROP_LRF_HAS_KEY_FRAME):
            self._whole_at.append(self._taken + HELD_BACK)
        if self._parts is not None:
            picture = self._parts.read()
            if picture is not None or self._parts.given:
                return picture
            self._parts.close()  # no size but damage: the file's own decoder is still right
            self._parts = None
        ok, data = self.capture.retrieve() if is_there else (False, None)
        picture = np.asarray(data, dtype=np.uint8) if ok and data is not None and data.ndim == 3 else None
        return None if RAW_IS_UNTIMED and picture is not None and self._is_stale(picture) else picture

    def close(self) -> None:
        """Frees the file; safe to call twice."""
        if self._parts is not None:
            self._parts.close()
        self._packets.close()
        self.capture.release()

    def _is_stale(self, picture: BgrImage) -> bool:
        """4.6 takes the new height for the old size's last frames: where it is more, the last picture comes again."""
        before, self._before = self._before, picture.copy() if self._packets.changed else None
        return self._is_near() and before is not None and np.array_equal(before, picture)

    def _is_near(self) -> bool:
        first = self._packets.shown
        return self._packets.changed and self._taken > first - min(SLACK, first // 2)

    def _is_behind(self, before_ms: float) -> bool:
        """Whether the frame just decoded has the new size: by its number, or near it by the key frame's stamp."""
        if self._taken >= self._packets.shown:
            return True
        same = not RAW_IS_UNTIMED and abs(self.stamp_ms - self._packets.stamp_ms) < 0.5
        return self._is_near() and (same or 0 < self.stamp_ms < before_ms)  # 0 says nothing, see Stamps


class StreamPictures:
    """What OpenCV makes of a stream, which can be read only once.

    Args:
        capture: open.
    """

    lost = 0
    damaged = False

    @property
    def is_whole(self) -> bool:
        """Whether the last picture needs no other, as far as OpenCV says: the last packet's is a key frame."""
        return bool(self.capture.get(cv2.CAP_PROP_LRF_HAS_KEY_FRAME))

    def __init__(self, capture: cv2.VideoCapture) -> None:
        self.capture = capture

    @property
    def stamp_ms(self) -> float:
        """The last picture's, as OpenCV gives it."""
        return float(self.capture.get(cv2.CAP_PROP_POS_MSEC))

    def read(self) -> BgrImage | None:
        """The next picture, B, G, R; None at the end or for a damaged one."""
        ok, data = self.capture.read()
        return np.asarray(data, dtype=np.uint8) if ok and data is not None and data.ndim == 3 else None

    def close(self) -> None:
        """Ends the connection; safe to call twice."""
        self.capture.release()


class _Parts:
    """From the present packet to the end, one size after another."""

    def __init__(self, packets: PacketWatch) -> None:
        self._packets = packets
        self._part: _Part | None = _Part(packets)
        self.given = self.lost = 0

    def read(self) -> BgrImage | None:
        while self._part is not None:
            picture = self._part.read()
            if picture is not None:
                self.given += 1
                return picture
            self._part.close()
            if self.given:
                self.lost += max(0, self._part.fed - self._part.given)
            self._part = _Part(self._packets) if self.given and self._packets.changed else None
        return None

    def close(self) -> None:
        if self._part is not None:
            self._part.close()
            self._part = None


class _Part:
    """Packets of one size: a thread writes them into a pipe, OpenCV reads it."""

    def __init__(self, packets: PacketWatch) -> None:
        self.fed = self.given = 0
        reading, self._writing = os.pipe()
        self._thread = OnceThread("packets", lambda: self._feed(packets))
        self._thread.start()
        try:
            self._capture = cv2.VideoCapture(f"/proc/self/fd/{reading}", cv2.CAP_FFMPEG, [])
        finally:
            os.close(reading)

    def read(self) -> BgrImage | None:
        """The next picture of this size, past damaged packets."""
        for _ in range(FEW_FAILURES):
            ok, data = self._capture.read()
            if ok and data is not None and data.ndim == 3:
                self.given += 1
                return np.asarray(data, dtype=np.uint8)
        return None

    def close(self) -> None:
        self._capture.release()
        self._thread.join()

    def _feed(self, packets: PacketWatch) -> None:
        with contextlib.suppress(BrokenPipeError), open(self._writing, "wb", buffering=0) as pipe:
            in_ivf = packets.codec != HEVC  # FFmpeg knows no HEVC there, but as it is
            if in_ivf:  # width and height 0: they are looked for; times are numbers and not used
                pipe.write(struct.pack("<4sHH4sHHIIII", b"DKIF", 0, 32, packets.codec, 0, 0, 25, 1, 0, 0))
            first = packets.shown
            while True:
                self.fed = packets.shown - first + 1
                head = struct.pack("<IQ", len(packets.packet), self.fed) if in_ivf else b""
                pipe.write(head + packets.packet)
                if not packets.step() or packets.changed:
                    return

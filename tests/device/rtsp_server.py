"""A small RTSP camera for tests: one MJPEG stream over TCP (RFC 2326 interleaved, RFC 2435 for JPEG in RTP)."""

from __future__ import annotations

import re
import socket
import struct
import threading
import time

import cv2
import numpy as np


class RtspServer:
    """Serves one moving picture to any number of clients; ``stop`` drops them as a camera does that loses its power."""

    def __init__(
        self, port: int = 0, size: tuple[int, int] = (160, 128), login: str = "", h264: list[list[bytes]] | None = None
    ) -> None:
        self.h264 = h264  # frames, each its NAL units (RFC 6184), instead of JPEGs
        self.size, self.login = size, login  # login: as in the Authorization header, e.g. "Basic dXNlcjpwYXNz"
        self.muted = False  # connections stay, frames do not come
        self._socket = socket.socket()
        self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        self._socket.bind(("127.0.0.1", port))
        self._socket.listen()
        self.port: int = self._socket.getsockname()[1]
        self._clients: list[socket.socket] = []
        self._stopped = False
        threading.Thread(target=self._accept, daemon=True).start()

    def stop(self) -> None:
        """No power."""
        self._stopped = True
        for client in [self._socket, *self._clients]:
            try:
                client.shutdown(socket.SHUT_RDWR)
            except OSError:
                continue
            finally:
                client.close()

    def _accept(self) -> None:
        while not self._stopped:
            try:
                client, _ = self._socket.accept()
            except OSError:
                return
            self._clients.append(client)
            threading.Thread(target=self._talk, args=(client,), daemon=True).start()

    def _talk(self, client: socket.socket) -> None:
        buffer = b""
        try:
            while data := client.recv(4096):
                buffer += data
                while b"\r\n\r\n" in buffer:
                    request, _, buffer = buffer.partition(b"\r\n\r\n")
                    self._answer(client, request.decode(errors="replace").lstrip("$"))
        except OSError:
            return

    def _answer(self, client: socket.socket, request: str) -> None:
        method = request.split(" ", 1)[0]
        number = re.search(r"CSeq: *(\d+)", request, re.IGNORECASE)
        head, body = f"CSeq: {number[1] if number else 0}\r\n", ""
        if self.login and self.login not in request and method != "OPTIONS":
            client.sendall(f'RTSP/1.0 401 Unauthorized\r\n{head}WWW-Authenticate: Basic realm="x"\r\n\r\n'.encode())
            return
        if method == "OPTIONS":
            head += "Public: OPTIONS, DESCRIBE, SETUP, PLAY, TEARDOWN\r\n"
        elif method == "DESCRIBE":
            media = ("m=video 0 RTP/AVP 96", "a=rtpmap:96 H264/90000", "a=fmtp:96 packetization-mode=1")
            media = media if self.h264 else ("m=video 0 RTP/AVP 26",)
            lines = ("v=0", "o=- 0 0 IN IP4 127.0.0.1", "s=x", "t=0 0", *media, "a=control:track", "")
            body = "\r\n".join(lines)
            head += f"Content-Base: rtsp://127.0.0.1:{self.port}/x/\r\n"
            head += f"Content-Type: application/sdp\r\nContent-Length: {len(body)}\r\n"
        elif method == "SETUP":
            head += "Transport: RTP/AVP/TCP;unicast;interleaved=0-1\r\nSession: 1\r\n"
        elif method == "PLAY":
            head += "Session: 1\r\nRange: npt=0-\r\n"
        client.sendall(f"RTSP/1.0 200 OK\r\n{head}\r\n{body}".encode())
        if method == "PLAY":
            threading.Thread(target=self._play, args=(client,), daemon=True).start()

    def _play(self, client: socket.socket) -> None:
        sequence = 0
        for number in range(10**9):
            time.sleep(0.05)
            if self.muted:
                continue
            if self.h264 is not None:
                packets = h264_packets(self.h264[number % len(self.h264)], sequence, number * 4500)
                sequence += len(packets)
                if not _sent(client, packets):
                    return
                continue
            width, height = self.size
            picture = np.full((height, width, 3), (40, 90, 200), np.uint8)  # B, G, R
            cv2.rectangle(picture, (number % width, 0), (number % width + 20, 20), (255, 255, 255), -1)
            packets = rtp_packets(cv2.imencode(".jpg", picture)[1].tobytes(), self.size, sequence, number * 4500)
            sequence += len(packets)
            if not _sent(client, packets):
                return


def _sent(client: socket.socket, packets: list[bytes]) -> bool:
    try:
        for packet in packets:
            client.sendall(struct.pack(">cBH", b"$", 0, len(packet)) + packet)
    except OSError:
        return False
    return True


def h264_packets(units: list[bytes], sequence: int, stamp: int) -> list[bytes]:
    """One frame's NAL units as RTP packets, long ones in fragments (FU-A)."""
    parts: list[bytes] = []
    for unit in units:
        if len(unit) <= 1200:
            parts.append(unit)
            continue
        pieces = [unit[at : at + 1200] for at in range(1, len(unit), 1200)]
        for i, piece in enumerate(pieces):
            edge = (0x80 if i == 0 else 0) | (0x40 if i == len(pieces) - 1 else 0)
            parts.append(bytes([unit[0] & 0xE0 | 28, edge | unit[0] & 0x1F]) + piece)
    packets = []
    for i, part in enumerate(parts):
        last = 0x80 if i == len(parts) - 1 else 0
        packets.append(struct.pack(">BBHII", 0x80, last | 96, (sequence + i) & 0xFFFF, stamp & 0xFFFFFFFF, 7) + part)
    return packets


def rtp_packets(jpeg: bytes, size: tuple[int, int], sequence: int, stamp: int) -> list[bytes]:
    """A baseline 4:2:0 JPEG with the standard Huffman tables, as RTP packets with its own quantization tables."""
    tables, at = b"", 2
    while True:
        marker, length = jpeg[at + 1], int.from_bytes(jpeg[at + 2 : at + 4], "big")
        segment = jpeg[at + 4 : at + 2 + length]
        at += 2 + length
        while marker == 0xDB and segment:
            tables, segment = tables + segment[1:65], segment[65:]
        if marker == 0xDA:
            break
    scan, packets, offset = jpeg[at:-2], [], 0
    while offset < len(scan):
        head = struct.pack(">I", offset) + bytes([1, 255, size[0] // 8, size[1] // 8])  # type 1: 4:2:0; Q 255: in band
        if offset == 0:
            head += struct.pack(">BBH", 0, 0, len(tables)) + tables
        part = scan[offset : offset + 1200]
        offset += len(part)
        last = 0x80 if offset >= len(scan) else 0
        rtp = struct.pack(">BBHII", 0x80, last | 26, (sequence + len(packets)) & 0xFFFF, stamp & 0xFFFFFFFF, 7)
        packets.append(rtp + head + part)
    return packets

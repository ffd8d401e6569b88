"""What a compressed picture says of its codec and its size, read from a packet's first bytes; nothing is decoded.

A packet is as OpenCV hands it over undecoded: H.264 and HEVC with start codes (ISO/IEC 14496-10, Annex B).
"""

from __future__ import annotations

from collections.abc import Iterator

from fer_edge.contract.bounds import PACKET_HEAD_BYTES as FIRST_BYTES

START = b"\0\0\1"
# names of codecs as Microsoft's RIFF has them, which FFmpeg knows in an IVF file
H264, HEVC, VP8, VP9, AV1, MPEG2, MPEG4 = b"H264", b"HEVC", b"VP80", b"VP90", b"AV01", b"mpg2", b"FMP4"
_VP9_SIZE_AT = {0: 4, 1: 7, 2: 5}  # by profile: bits of depth and color before the size


def codec_of(packet: bytes) -> bytes:
    """The codec of a key frame's packet; empty where it is none of these."""
    if len(packet) > 10 and packet[3:6] == b"\x9d\x01\x2a" and not packet[0] & 1:
        return VP8
    if _vp9_key_profile(packet) is not None:
        return VP9
    if packet[:2] in (b"\x12\0", b"\x0a\x0a", b"\x0a\x0b", b"\x0a\x0c", b"\x0a\x0d", b"\x0a\x0e", b"\x0a\x0f"):
        return AV1
    unit, *others = [*_units(packet)][:2] or [b""]
    if unit[:1] == b"\xb3":  # the same code begins a group of MPEG-4's
        return MPEG4 if others and others[0][0] == 0xB6 else MPEG2
    if unit[:1] and (unit[0] in (0xB0, 0xB6) or unit[0] <= 0x04):  # 0x05 and more begin an H.264 unit
        return MPEG4
    if unit[1:2] == b"\1" and unit[:1] in (b"\x40", b"\x42", b"\x46"):
        return HEVC
    if unit[:1] and unit[0] & 0x9F in (5, 6, 7, 9):
        return H264
    return b""


def size_mark(codec: bytes, packet: bytes) -> bytes:
    """Bytes that are others where a key frame's pictures have another size; empty where the packet does not say."""
    if codec == VP8:
        return packet[6:10] if packet[3:6] == b"\x9d\x01\x2a" else b""
    if codec == VP9:
        profile = _vp9_key_profile(packet)
        if profile not in _VP9_SIZE_AT:
            return b""
        bits = int.from_bytes(packet[4:10], "big") >> 16 - _VP9_SIZE_AT[profile]
        return (bits & 0xFFFFFFFF).to_bytes(4, "big")
    if codec == AV1:
        return _av1_sequence(packet)
    for unit in _units(packet):
        kind = unit[0]
        if codec == H264 and kind & 0x1F == 7:
            return unit
        if codec == HEVC and kind >> 1 == 33:
            return unit
        if codec == MPEG2 and kind == 0xB3:
            return unit[1:4]
        if codec == MPEG4 and 0x20 <= kind <= 0x2F:
            return unit
    return b""


def is_shown(codec: bytes, packet: bytes) -> bool:
    """Whether a packet gives a picture of its own: VP8 has some that only others refer to (RFC 6386, 9.1)."""
    return codec != VP8 or bool(packet[:1] and packet[0] & 0x10)


def _units(packet: bytes) -> Iterator[bytes]:
    """What stands between start codes, as far as parameters reach."""
    for unit in packet[:FIRST_BYTES].split(START)[1:]:
        stripped = unit.rstrip(b"\0")
        if stripped:
            yield stripped


def _vp9_key_profile(packet: bytes) -> int | None:
    """The profile of a key frame (VP9 6.2, uncompressed header); None for other packets."""
    first = packet[0] if packet else 0
    is_key = first >> 6 == 2 and not first & 0b1100 and packet[1:4] == b"\x49\x83\x42"
    return (first >> 5 & 1 | first >> 3 & 2) if is_key else None


def _av1_sequence(packet: bytes) -> bytes:
    """The first sequence header (AV1 5.5), whole."""
    at = 0
    while at + 2 <= len(packet):
        kind, extended, sized = packet[at] >> 3 & 15, packet[at] >> 2 & 1, packet[at] >> 1 & 1
        at += 1 + extended
        length, shift = 0, 0
        while sized and at < len(packet) and shift < 32:
            length |= (packet[at] & 0x7F) << shift
            shift += 7
            at += 1
            if not packet[at - 1] & 0x80:
                break
        if kind == 1 or not sized:
            return packet[at : at + length] if kind == 1 else b""
        at += length
    return b""

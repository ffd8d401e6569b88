"""What is done to sound files: bytes changed where they matter, values replaced by odd ones."""

from __future__ import annotations

import json
from typing import Any

import numpy as np

# what breaks readers: numbers at limits, other types, things too long or too deep, text that is none; "@huge@" becomes
# a number of 5,000 digits, which no writer of JSON would write
ODD: tuple[Any, ...] = (
    *(None, True, -1, 0, 1, 2**31, 2**63, -(2**63), 10**40, 1e308, -0.0, 1e-320, float("nan"), float("inf")),
    *("", "\0", "../../etc/passwd", "/", "é\u202e\ud800", "\x1b[2J\r", "x" * 5000, "int8", "Infinity", "1"),
    *([], {}, [[]], {"": None}, [0] * 300, "@huge@", -1e300, "-", ".", "a\nb"),
)
_WORDS = (b"\xff\xff\xff\xff", b"\0\0\0\0", b"\x7f\xff\xff\xff", b"\0\0\0\1", b"\xff\xff\xff\x7f", b"\0\0\1\0")


def one_of(rng: np.random.Generator, values: Any) -> Any:
    """Any of a sequence, as it is."""
    return values[int(rng.integers(0, len(values)))]


def damage_bytes(rng: np.random.Generator, content: bytes, head: int, most: int = 8, tail: int = 0) -> bytes:
    """Bytes changed, cut out, doubled, zeroed, cut off: two thirds within ``head`` bytes of the beginning or ``tail``
    of the end, where sizes, counts and types stand.
    """
    data = bytearray(content)
    for _ in range(int(rng.integers(1, most))):
        size = len(data)
        low, high = (0, size) if rng.integers(0, 3) == 0 else (0, min(size, head))
        if tail and rng.integers(0, 2):
            low, high = max(0, size - tail), size
        at, n = int(rng.integers(low, max(low + 1, high))), int(rng.integers(1, 60))
        kind = int(rng.integers(0, 9))
        if kind <= 3:
            data[at : at + 1] = bytes([int(rng.choice([0, 1, 127, 128, 255, int(rng.integers(0, 256))]))])
        elif kind == 4:
            data[at : at + 4] = one_of(rng, _WORDS)
        elif kind == 5:
            data[at : at + 20 * n] = bytes([int(rng.choice([0, 255]))]) * len(data[at : at + 20 * n])
        elif kind == 6:
            del data[at : at + n]
        elif kind == 7:
            data[at:at] = data[max(0, at - n) : at]
        elif rng.integers(0, 3) == 0 and size > 1:
            del data[max(1, at) :]
    return bytes(data)


def damage_text(rng: np.random.Generator, content: bytes) -> bytes:
    """Bytes changed, cut out, doubled or cut off, and what confuses parsers of text put between."""
    data = bytearray(content)
    pieces = (b"[", b"{", b'"', b"\\", b"\xff\xfe", b"9" * 400, b"[" * 3000, b"\xef\xbb\xbf", b"\0", b"\\ud800")
    for _ in range(int(rng.integers(1, 6))):
        at, n = (int(rng.integers(0, len(data) + 1)), int(rng.integers(1, 40)))
        kind = int(rng.integers(0, 5))
        if kind == 0:
            data[at : at + n] = rng.integers(0, 256, n, dtype=np.uint8).tobytes()
        elif kind == 1:
            del data[at : at + n]
        elif kind == 2:
            data[at:at] = data[at : at + n]
        elif kind == 3:
            data[at:at] = one_of(rng, pieces)
        elif len(data) > 1:
            del data[max(1, at) :]
    return bytes(data)


def damage_tree(rng: np.random.Generator, document: Any) -> Any:
    """A value at some place replaced by an odd one, removed, renamed, or doubled."""
    places: list[tuple[Any, Any]] = []

    def walk(node: Any) -> None:
        for key in list(node) if isinstance(node, dict) else range(len(node)) if isinstance(node, list) else ():
            places.append((node, key))
            walk(node[key])

    copy = json.loads(json.dumps(document))
    walk(copy)
    for _ in range(int(rng.integers(1, 4))):
        node, key = places[int(rng.integers(0, len(places)))]
        kind = int(rng.integers(0, 6))
        if key not in node if isinstance(node, dict) else key >= len(node):
            continue
        if kind <= 2:
            node[key] = one_of(rng, ODD)
        elif kind == 3:
            other, place = places[int(rng.integers(0, len(places)))]
            if place in other if isinstance(other, dict) else place < len(other):
                node[key] = json.loads(json.dumps(other[place]))  # a value that is right elsewhere
        elif kind == 4:
            del node[key]
        elif isinstance(node, dict):
            node[f"{key}x"] = node.pop(key)
        else:
            node.append(node[key])
    return copy


def damage_json(rng: np.random.Generator, document: Any) -> bytes:
    """A document with other values, or its text with other bytes."""
    if rng.integers(0, 3):
        text = json.dumps(damage_tree(rng, document), ensure_ascii=bool(rng.integers(0, 2)))
        text = text.replace('"@huge@"', "9" * 5000)
        return text.encode("utf-8", "surrogatepass" if rng.integers(0, 2) else "replace")
    return damage_text(rng, json.dumps(document).encode())

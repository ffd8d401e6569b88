"""Damaged manifests, configurations, readings and photos: whatever comes in, it is read or refused in one line.

``benchmarks/fuzz.py`` runs many cases, a test fewer; the same seed gives the same cases.
"""

from __future__ import annotations

import hashlib
import json
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import cv2
import numpy as np
from hostile import encoded

from fer_edge import config
from fer_edge.contract import manifest
from fer_edge.contract.reading import dump_line, load_line
from fer_edge.contract.specs import DetectorSpec
from fer_edge.errors import EdgeError
from fer_edge.pictures.photo import decode_photo
from fer_edge.sinks.web.upload import check_photo
from fer_edge.types import FaceBox, FaceReading, Frame, FrameReading

MAX_BYTES, MAX_PIXELS = 20_000_000, 50_000_000
# what breaks readers: numbers at limits, other types, things too long or too deep, text that is none
ODD: tuple[Any, ...] = (
    *(None, True, -1, 0, 1, 2**31, 2**63, -(2**63), 10**40, 1e308, -0.0, 1e-320, float("nan"), float("inf")),
    *("", "\0", "../../etc/passwd", "/", "é\u202e\ud800", "x" * 5000, "int8", "Infinity", "1"),
    *([], {}, [[]], {"": None}, [0] * 300),
)


@dataclass
class Outcome:
    """What came of the cases."""

    cases: int = 0
    read: Counter[str] = field(default_factory=Counter)
    refused: Counter[str] = field(default_factory=Counter)
    slowest_s: float = 0.0
    failures: list[str] = field(default_factory=list)


def damage_text(rng: np.random.Generator, content: bytes) -> bytes:
    """Bytes changed, cut out, doubled or cut off."""
    data = bytearray(content)
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
            data[at:at] = (b"[", b"{", b'"', b"\\", b"\xff\xfe", b"9" * 400, b"[" * 3000)[int(rng.integers(0, 7))]
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
        kind = int(rng.integers(0, 5))
        if key not in node if isinstance(node, dict) else key >= len(node):
            continue
        if kind <= 2:
            node[key] = ODD[int(rng.integers(0, len(ODD)))]
        elif kind == 3:
            del node[key]
        elif isinstance(node, dict):
            node[f"{key}x"] = node.pop(key)
        else:
            node.append(node[key])
    return copy


def a_manifest(labels: tuple[str, ...] = ("anger", "happiness")) -> dict[str, Any]:
    """A small valid manifest, as a document."""
    from device_helpers import ALIGN, INPUT, THRESHOLDS, tiny_variant

    from fer_edge.contract.labels import EMOTIONS8

    digest = hashlib.sha256(b"x").hexdigest()
    roles = ("network/float32", "network/int8", "detector", "golden")
    files = {role: manifest.FileEntry(f"{role.replace('/', '-')}.bin", "none", 1, digest, 1, digest) for role in roles}
    made = manifest.Manifest(
        model_id="tiny",
        version="0.1.0",
        recipe_sha256="a" * 64,
        weights_sha256="b" * 64,
        labels=EMOTIONS8,
        input=INPUT,
        align=ALIGN,
        detector=DetectorSpec("blazeface_short", ("detector",), THRESHOLDS),
        default_variant="int8",
        variants=(tiny_variant("float32"), tiny_variant("int8")),
        files=files,
        golden=manifest.Golden("golden", 4, 0.05, {"float32": 1e-3, "int8": 0.05}),
        licenses=(manifest.License("detector", "Apache-2.0", "MediaPipe"),),
        provenance=manifest.Provenance("0" * 40, 7, {"tensorflow": "2.19.1"}),
    )
    return dict(json.loads(manifest.dumps(made)))


def a_reading() -> str:
    frame = Frame(np.zeros((480, 640, 3), np.uint8), 3, 12.5, "synthetic://")
    face = FaceReading(
        FaceBox((1, 2, 30, 40), {"nose": (3.0, 4.0)}, 0.9), "anger", {"anger": 0.75, "happiness": 0.25}, 3, False
    )
    return dump_line(FrameReading(frame, (face, face), {"detect": 1.25}).to_doc())


def read_photo_content(content: bytes) -> None:
    """As the web page does."""
    check_photo(content, MAX_BYTES, MAX_PIXELS)
    photo = decode_photo(content, "photo")
    assert photo.image.dtype == np.uint8
    assert photo.image.ndim == 3


def read_config(content: bytes) -> None:
    config.decode(config.parse(content, "fuzz.toml"))


def fuzz(n: int, seed: int, image: Any) -> Outcome:
    """Runs ``n`` cases, a quarter of each kind.

    Args:
        n: how many.
        seed: of the damage.
        image: (h, w, 3) RGB uint8, small.
    """
    good_manifest, good_reading = a_manifest(), json.loads(a_reading())
    good_config = config.as_toml(config.Config()).encode()
    good_photos = list(encoded(image).values())
    rng, outcome = np.random.default_rng(seed), Outcome()

    def damaged_json(document: Any) -> bytes:
        if rng.integers(0, 2):
            return json.dumps(damage_tree(rng, document)).encode("utf-8", "replace")
        return damage_text(rng, json.dumps(document).encode())

    def case(kind: str) -> tuple[Callable[[bytes], Any], bytes]:
        if kind == "manifest":
            return manifest.loads, damaged_json(good_manifest)
        if kind == "reading":
            return load_line, damaged_json(good_reading)
        if kind == "config":
            return read_config, damage_config(rng, good_config)
        return read_photo_content, damage_photo(rng, good_photos[int(rng.integers(0, len(good_photos)))])

    for index in range(n):
        kind = ("manifest", "reading", "config", "photo")[index % 4]
        function, content = case(kind)
        outcome.cases += 1
        started = time.monotonic()
        try:
            function(content)
            outcome.read[kind] += 1
        except EdgeError as error:
            outcome.refused[kind] += 1
            if "\n" in str(error) or not str(error) or len(str(error)) > 1000:
                outcome.failures.append(f"case {index} ({kind}): not one short line: {str(error)[:200]!r}")
        except BaseException as error:
            if isinstance(error, KeyboardInterrupt):
                raise
            outcome.failures.append(f"case {index} ({kind}): {type(error).__name__}: {str(error)[:200]}")
        outcome.slowest_s = max(outcome.slowest_s, time.monotonic() - started)
    return outcome


def damage_config(rng: np.random.Generator, content: bytes) -> bytes:
    """A value of one line replaced by an odd one, or bytes damaged."""
    if rng.integers(0, 3) == 0:
        return damage_text(rng, content)
    lines = content.decode().split("\n")
    keys = [i for i, line in enumerate(lines) if "=" in line]
    odd = ("nan", "-inf", "1e400", "99999999999999999999", "-1", '"\\u0000"', "''", "[[]]", "{a = 1}", "1979-05-27")
    odd += ("true", '"' + "x" * 3000 + '"', "0x", "")
    for _ in range(int(rng.integers(1, 4))):
        i = keys[int(rng.integers(0, len(keys)))]
        name = lines[i].lstrip("# ").partition("=")[0]
        lines[i] = f"{name}= {odd[int(rng.integers(0, len(odd)))]}"
        if rng.integers(0, 6) == 0:
            lines[i] = f"{name[::-1]}= 1"
    return "\n".join(lines).encode()


def damage_photo(rng: np.random.Generator, content: bytes) -> bytes:
    """Headers and tables, where decoders decide how much to allocate, more often than picture data."""
    data = bytearray(content)
    reach = len(data) if rng.integers(0, 3) == 0 else min(len(data), 700)
    for _ in range(int(rng.integers(1, 10))):
        data[int(rng.integers(0, reach))] = int(rng.choice([0, 1, 127, 128, 255, int(rng.integers(0, 256))]))
    if rng.integers(0, 4) == 0:
        del data[int(rng.integers(1, len(data))) :]
    return bytes(data)


def small_photo(image: Any) -> Any:
    """For speed."""
    return np.ascontiguousarray(cv2.resize(image, (96, 96), interpolation=cv2.INTER_AREA))

"""An ONNX file is looked at before onnxruntime sees it: whatever leads out of it is refused."""

from __future__ import annotations

import pytest
from device_helpers import tiny_onnx
from hypothesis import given
from hypothesis import strategies as st

from fer_edge.classifier.onnx_file import check_onnx
from fer_edge.errors import RunnerError

GOOD = tiny_onnx("int8")[0]


def varint(value: int) -> bytes:
    parts = []
    while value > 0x7F:
        parts.append(value & 0x7F | 0x80)
        value >>= 7
    return bytes([*parts, value])


def part(number: int, content: bytes) -> bytes:
    """A field of the wire type 2: a message, a text or bytes."""
    return varint(number << 3 | 2) + varint(len(content)) + content


def number(field: int, value: int) -> bytes:
    return varint(field << 3) + varint(value)


EXTERNAL = number(14, 1)  # TensorProto.data_location
LOCATION = part(13, part(1, b"location") + part(2, b"../../etc/passwd"))  # TensorProto.external_data


def model(graph: bytes, more: bytes = b"") -> bytes:
    return number(1, 8) + part(7, graph) + more


def node(attribute: bytes) -> bytes:
    return part(1, part(4, b"Constant") + part(5, attribute))


@pytest.mark.parametrize("name", ["float32", "int8"])
def test_a_sound_one_passes(name: str) -> None:
    check_onnx(tiny_onnx(name)[0], "variant onnx")


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (model(part(5, EXTERNAL)), "another file"),
        (model(part(5, LOCATION)), "another file"),
        (model(node(part(5, LOCATION))), "another file"),  # a tensor that is an attribute
        (model(node(part(10, LOCATION))), "another file"),
        (model(node(part(6, part(5, LOCATION)))), "another file"),  # in a graph of an If
        (model(node(part(11, node(part(5, EXTERNAL))))), "another file"),
        (model(part(15, part(1, LOCATION))), "another file"),  # sparse
        (model(node(part(22, part(2, LOCATION)))), "another file"),
        (model(part(1, part(4, b"EPContext") + part(7, b"com.microsoft"))), "'EPContext' of 'com.microsoft'"),
        (model(b"", part(25, b"")), "functions"),
        (model(b"", part(20, b"")), "training"),
        (model(b"") + part(7, b""), "found 2 graphs"),  # protobuf would join them
        (b"", "found 0 graphs"),
        (b"TFL3 is not this", "no ONNX file"),
        (b"\x0a\x00\x0a\x00ORTM" + GOOD, "onnxruntime's own format"),
        (GOOD[:-20], "cut off"),
        (part(7, varint(7 << 3 | 3)), "wire type 3"),
        (number(7, 5), "found a number"),
        (b"\xff" * 11, "64 bits"),
    ],
)
def test_refused(content: bytes, said: str) -> None:
    with pytest.raises(RunnerError, match="variant x: ") as error:
        check_onnx(content, "variant x")
    assert said in str(error.value)
    assert "\n" not in str(error.value)


def test_graphs_in_graphs_end_somewhere() -> None:
    graph = b""
    for _ in range(40):
        graph = node(part(6, graph))
    with pytest.raises(RunnerError, match="graphs in graphs"):
        check_onnx(model(graph), "variant x")


@given(st.integers(0, len(GOOD) - 1), st.binary(max_size=4))
def test_a_damaged_one_is_refused_or_read(at: int, other: bytes) -> None:
    content = GOOD[:at] + other + GOOD[at + len(other) :]
    try:
        check_onnx(content, "variant x")
    except RunnerError as error:
        assert "\n" not in str(error)  # noqa: PT017  # one that passes is fine too

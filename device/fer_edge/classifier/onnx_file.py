"""What an ONNX file of a bundle may hold, looked at before onnxruntime sees it: one graph, and nothing of elsewhere.

The format (protobuf, onnx.proto) lets weights lie in other files, by a path that the file chooses, and operators name
engines to be loaded. Neither has a place in a bundle, whose files all have their digests in its manifest.
"""

from __future__ import annotations

from collections.abc import Iterator

from fer_edge.errors import RunnerError

_VARINT, _FIXED64, _BYTES, _FIXED32 = 0, 1, 2, 5  # protobuf's wire types
# field numbers of onnx.proto
_MODEL_GRAPH, _MODEL_TRAINING, _MODEL_FUNCTIONS = 7, 20, 25
_GRAPH_NODE, _GRAPH_INITIALIZER, _GRAPH_SPARSE = 1, 5, 15
_NODE_TYPE, _NODE_ATTRIBUTE, _NODE_DOMAIN = 4, 5, 7
_TENSOR_EXTERNAL, _TENSOR_LOCATION = 13, 14
_ATTRIBUTE_TENSORS, _ATTRIBUTE_GRAPHS, _ATTRIBUTE_SPARSE = (5, 10), (6, 11), (22, 23)
_SPARSE_VALUES = (1, 2)
_DOMAINS = (b"", b"ai.onnx")
_DEPTH = 8  # of graphs in graphs; ours have one


def check_onnx(content: bytes, what: str) -> None:
    """Refuses a file that is no ONNX network complete in itself.

    Args:
        content: of the file.
        what: names the network in messages.

    Raises:
        RunnerError: it is damaged, keeps weights elsewhere, or has operators that are not ONNX' own.
    """
    try:
        problem = _model(memoryview(content))
    except (ValueError, IndexError) as error:
        raise RunnerError(f"{what}: is no ONNX file ({error}); rebuild or re-copy the bundle") from error
    if problem:
        raise RunnerError(f"{what}: {problem}; it is no network of this kit: do not use it")


def _model(content: memoryview) -> str:
    if bytes(content[4:8]) == b"ORTM":
        raise ValueError("it is onnxruntime's own format")
    graphs = []
    for number, kind, value in _fields(content):
        if number in (_MODEL_TRAINING, _MODEL_FUNCTIONS):
            return "has functions or a training graph, expected one plain graph"
        if number == _MODEL_GRAPH:
            graphs.append(_part(kind, value))
    if len(graphs) != 1:
        raise ValueError(f"found {len(graphs)} graphs, expected 1")
    return _graph(graphs[0], 0)


def _graph(content: memoryview, depth: int) -> str:
    if depth > _DEPTH:
        return "has graphs in graphs"
    for number, kind, value in _fields(content):
        problem = ""
        if number == _GRAPH_NODE:
            problem = _node(_part(kind, value), depth)
        elif number == _GRAPH_INITIALIZER:
            problem = _tensor(_part(kind, value))
        elif number == _GRAPH_SPARSE:
            problem = _sparse(_part(kind, value))
        if problem:
            return problem
    return ""


def _node(content: memoryview, depth: int) -> str:
    name, domain = b"", b""
    for number, kind, value in _fields(content):
        if number == _NODE_TYPE:
            name = bytes(_part(kind, value))
        elif number == _NODE_DOMAIN:
            domain = bytes(_part(kind, value))
        elif number == _NODE_ATTRIBUTE:
            problem = _attribute(_part(kind, value), depth)
            if problem:
                return problem
    if domain not in _DOMAINS:
        return f"has the operator {_shown(name)} of {_shown(domain)}, expected ONNX' own"
    return ""


def _attribute(content: memoryview, depth: int) -> str:
    for number, kind, value in _fields(content):
        problem = ""
        if number in _ATTRIBUTE_TENSORS:
            problem = _tensor(_part(kind, value))
        elif number in _ATTRIBUTE_GRAPHS:
            problem = _graph(_part(kind, value), depth + 1)
        elif number in _ATTRIBUTE_SPARSE:
            problem = _sparse(_part(kind, value))
        if problem:
            return problem
    return ""


def _sparse(content: memoryview) -> str:
    parts = (_part(kind, value) for number, kind, value in _fields(content) if number in _SPARSE_VALUES)
    return next(filter(None, map(_tensor, parts)), "")


def _tensor(content: memoryview) -> str:
    for number, _, value in _fields(content):
        if number == _TENSOR_EXTERNAL or (number == _TENSOR_LOCATION and value != 0):
            return "keeps weights in another file, expected all in this one"
    return ""


def _fields(content: memoryview) -> Iterator[tuple[int, int, int | memoryview]]:
    """Number, wire type and value of each field of a message; ValueError where it is cut off."""
    at = 0
    while at < len(content):
        key, at = _varint(content, at)
        number, kind = key >> 3, key & 7
        if kind == _VARINT:
            value, at = _varint(content, at)
            yield number, kind, value
            continue
        if kind == _BYTES:
            length, at = _varint(content, at)
        elif kind in (_FIXED64, _FIXED32):
            length = 8 if kind == _FIXED64 else 4
        else:
            raise ValueError(f"found wire type {kind}")
        if number == 0 or at + length > len(content):
            raise ValueError("it is cut off")
        yield number, kind, content[at : at + length]
        at += length


def _part(kind: int, value: int | memoryview) -> memoryview:
    if kind != _BYTES or isinstance(value, int):
        raise ValueError("found a number, expected a message")
    return value


def _varint(content: memoryview, at: int) -> tuple[int, int]:
    value = 0
    for shift in range(0, 70, 7):
        byte = content[at]
        at += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value, at
    raise ValueError("found a number of more than 64 bits")


def _shown(text: bytes) -> str:
    return repr(text[:40].decode(errors="replace"))

"""An ONNX network as one file. The format lets its weights lie in others, by a path that the file itself chooses."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import onnx
from onnx import TensorProto

from fer_host.errors import ToolError


def load_onnx(path: Path) -> onnx.ModelProto:
    """Reads a network that holds all its weights itself; no other file is opened.

    Raises:
        ToolError: it is no ONNX file, or names weights in other files ("external data").
    """
    try:
        model = onnx.load(path, load_external_data=False)
    except Exception as error:  # protobuf's own; damaged files raise several kinds
        raise ToolError(f"{path}: no readable ONNX network ({type(error).__name__}); make it again") from error
    for tensor in _tensors(model):
        if tensor.data_location == TensorProto.EXTERNAL or tensor.external_data:
            place = next((entry.value for entry in tensor.external_data if entry.key == "location"), "nowhere")
            raise ToolError(
                f"{path}: the weights {tensor.name!r} are in another file ({place!r}), expected all in this one; save "
                "it without external data"
            )
    return model


def _tensors(model: onnx.ModelProto) -> Iterator[Any]:
    """All tensors, also of attributes, and of the graphs in them."""
    graphs: list[Any] = [model.graph]
    nodes: list[Any] = [node for function in model.functions for node in function.node]
    while graphs or nodes:
        if not nodes:
            graph = graphs.pop()
            yield from graph.initializer
            for sparse in graph.sparse_initializer:
                yield from (sparse.values, sparse.indices)
            nodes += graph.node
            continue
        for attribute in nodes.pop().attribute:
            yield attribute.t
            yield from attribute.tensors
            for sparse in (attribute.sparse_tensor, *attribute.sparse_tensors):
                yield from (sparse.values, sparse.indices)
            graphs += [attribute.g, *attribute.graphs] if attribute.HasField("g") else attribute.graphs

"""The numbers that a tflite file stores: their values, and where in the file they lie."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fer_host.tflite.inspection import inspect_tflite


def read_constants(path: Path, indices: Iterable[int]) -> dict[int, NDArray[Any]]:
    """The values that a file stores for these tensors, as they lie there, in their shapes."""
    from ai_edge_litert.tools import flatbuffer_utils

    model = flatbuffer_utils.read_model_from_bytearray(path.read_bytes())
    info = inspect_tflite(path)
    found = {}
    for index in indices:
        tensor = model.subgraphs[0].tensors[index]
        data = bytes(model.buffers[tensor.buffer].data)
        found[index] = np.frombuffer(data, np.dtype(info.tensors[index].dtype)).reshape(info.tensors[index].shape)
    return found


def constant_offsets(path: Path, indices: Iterable[int]) -> dict[int, int]:
    """Where the values of these tensors begin in the file, in bytes from its start."""
    from ai_edge_litert import schema_py_generated as schema

    content = path.read_bytes()
    model = schema.Model.GetRootAs(content, 0)
    graph, start = model.Subgraphs(0), np.frombuffer(content, np.uint8).ctypes.data
    found = {}
    for index in indices:
        buffer = model.Buffers(graph.Tensors(index).Buffer())
        # behind the flatbuffer, as large files have it, or a vector in it, of which NumPy's is a view
        found[index] = buffer.Offset() if buffer.Offset() > 1 else int(buffer.DataAsNumpy().ctypes.data) - start
    return found

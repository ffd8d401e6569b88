"""An ONNX file of the user's own: checked, made the form that the conversion takes, and run as a torch module would be.

Nothing in it is executed but its operators; what it keeps in other files must lie in its own folder.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import onnx
import torch
from google.protobuf.message import DecodeError  # type: ignore[import-untyped]  # publishes no types
from onnx import external_data_helper, version_converter
from torch import nn

from fer_edge.contract.bounds import BUNDLE_FILE_BYTES
from fer_host.errors import WeightsError
from fer_host.files.artifacts import sha256_bytes

OPSET = 17
_OPSETS = (11, 18)  # that onnx2tf takes as they are, where onnx cannot bring a file to 17
INPUT_NAME, OUTPUT_NAME = "input", "logits"


class OnnxNetwork(nn.Module):
    """A checked ONNX network: (N, C, H, W) ``input`` -> (N, classes) ``logits``, by onnxruntime.

    Args:
        content: the file, by ``open_onnx``.
    """

    def __init__(self, content: bytes) -> None:
        super().__init__()
        self.content = content
        self._session: Any = None
        for i, tensor in enumerate(onnx.load_from_string(content).graph.initializer):
            value = np.array(onnx.numpy_helper.to_array(tensor))
            self.register_buffer(f"weights_{i}", torch.from_numpy(value))
        digest = bytes.fromhex(sha256_bytes(content))  # constants in the graph count as weights too
        self.register_buffer("graph", torch.tensor(list(digest), dtype=torch.uint8))

    def __deepcopy__(self, _: object) -> OnnxNetwork:
        return OnnxNetwork(self.content)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Logits (1, classes) of one input (1, C, H, W)."""
        if self._session is None:
            import onnxruntime

            self._session = onnxruntime.InferenceSession(self.content, providers=["CPUExecutionProvider"])
        return torch.from_numpy(self._session.run([OUTPUT_NAME], {INPUT_NAME: x.numpy()})[0])


def open_onnx(path: Path, n_classes: int, channels: int, size_px: int) -> OnnxNetwork:
    """Reads a user's ONNX file and makes it (1, channels, size_px, size_px) -> (1, n_classes), opset 17.

    Axes without a fixed size get the one asked for; a softmax at the end is taken off, because the device has one.

    Raises:
        WeightsError: no such network, or one that cannot be used; says what was found and what is expected.
    """
    model = _load(path)
    _check_operators(path, model)
    opset = next((each.version for each in model.opset_import if each.domain in ("", "ai.onnx")), 0)
    shape = (1, channels, size_px, size_px)
    _fix_input(path, model, shape)
    _fix_output(path, model, n_classes)
    if opset != OPSET:
        try:
            model = version_converter.convert_version(model, OPSET)
        except Exception as error:  # a C++ converter, which raises anything
            if not _OPSETS[0] <= opset <= _OPSETS[1]:
                reason = (str(error).strip() or type(error).__name__).splitlines()[0][:120]
                raise WeightsError(
                    f"network {path}: opset {opset} cannot be brought to {OPSET} ({reason}); export it again with "
                    f"opset_version={OPSET}"
                ) from error
    try:
        del model.graph.value_info[:]
        model = onnx.shape_inference.infer_shapes(model, strict_mode=True, data_prop=True)
        onnx.checker.check_model(model)
        network = OnnxNetwork(model.SerializeToString(deterministic=True))
        found = tuple(network(torch.zeros(shape)).shape)
    except WeightsError:
        raise
    except Exception as error:  # onnx' checker and onnxruntime raise anything
        reason = (str(error).strip() or type(error).__name__).splitlines()[0][:200]
        raise WeightsError(
            f"network {path}: does not run on an input of {shape} ({reason}); is the size given by --input right?"
        ) from error
    if found != (1, n_classes):
        raise WeightsError(f"network {path}: gives {found} for {shape}, expected (1, {n_classes}): one value a label")
    return network


def _load(path: Path) -> onnx.ModelProto:
    if not path.is_file():
        raise WeightsError(f"network {path}: no such file; expected an ONNX file")
    if path.stat().st_size > BUNDLE_FILE_BYTES:
        raise WeightsError(f"network {path}: {path.stat().st_size} bytes, expected at most {BUNDLE_FILE_BYTES}")
    try:
        model = onnx.load(path, load_external_data=False)
    except (DecodeError, ValueError) as error:
        raise WeightsError(f"network {path}: is no ONNX file ({str(error)[:80]})") from error
    home = path.resolve().parent
    for tensor in external_data_helper._get_all_tensors(model):
        if not external_data_helper.uses_external_data(tensor):
            continue
        location = external_data_helper.ExternalDataInfo(tensor).location
        place = (home / location).resolve()
        if not location or Path(location).is_absolute() or not place.is_relative_to(home) or not place.is_file():
            raise WeightsError(
                f"network {path}: keeps {tensor.name!r} in {location!r}; expected a file in the network's own folder"
            )
        if place.stat().st_size > BUNDLE_FILE_BYTES:
            raise WeightsError(
                f"network {path}: {location} has {place.stat().st_size} bytes, at most {BUNDLE_FILE_BYTES}"
            )
    try:
        external_data_helper.load_external_data_for_model(model, str(home))
    except Exception as error:  # onnx has a checker of its own, which raises ValidationError and others
        raise WeightsError(f"network {path}: its data file cannot be read ({str(error)[:120]})") from error
    return model


def _check_operators(path: Path, model: onnx.ModelProto) -> None:
    foreign = sorted(
        {f"{node.domain}.{node.op_type}" for node in model.graph.node if node.domain not in ("", "ai.onnx")}
    )
    if foreign or model.functions:
        raise WeightsError(
            f"network {path}: has operators that are not ONNX' own ({', '.join(foreign[:3]) or 'functions'}); "
            "expected the plain ones: export it for inference, not quantized"
        )
    if not model.graph.node:
        raise WeightsError(f"network {path}: has no operator; is it damaged?")


def _fix_input(path: Path, model: onnx.ModelProto, shape: tuple[int, ...]) -> None:
    """The one input named ``input``, in float, of this shape."""
    graph = model.graph
    constants = {tensor.name for tensor in graph.initializer}
    inputs = [each for each in graph.input if each.name not in constants]
    if len(inputs) != 1:
        raise WeightsError(f"network {path}: has {len(inputs)} inputs, expected one: a picture")
    (source,) = inputs
    tensor = source.type.tensor_type
    dims = [dim.dim_value if dim.HasField("dim_value") else None for dim in tensor.shape.dim]
    if tensor.elem_type != onnx.TensorProto.FLOAT:
        kind = onnx.TensorProto.DataType.Name(tensor.elem_type)
        raise WeightsError(f"network {path}: takes {kind} values, expected FLOAT: export it for float inputs")
    if len(dims) == 4 and dims[3] in (1, 3) and dims[1] not in (1, 3, None):
        raise WeightsError(f"network {path}: takes {_shown(dims)}, colors last; expected colors first: (1, C, H, W)")
    wanted = dict(enumerate(shape))
    if len(dims) != 4 or any(size not in (None, 0, wanted[i]) for i, size in enumerate(dims)):
        raise WeightsError(
            f"network {path}: takes {_shown(dims)}, but --input says {_shown(list(shape))} (batch, colors, px)"
        )
    for size, dim in zip(shape, tensor.shape.dim, strict=True):
        dim.Clear()
        dim.dim_value = size
    _rename(graph, source.name, INPUT_NAME)


def _fix_output(path: Path, model: onnx.ModelProto, n_classes: int) -> None:
    """The one output named ``logits``; without a softmax behind them."""
    graph = model.graph
    if len(graph.output) > 1:
        fitting = [o for o in graph.output if [d.dim_value for d in o.type.tensor_type.shape.dim][1:] == [n_classes]]
        if len(fitting) != 1:
            names = ", ".join(output.name for output in graph.output)
            raise WeightsError(f"network {path}: gives {names}, expected one output with {n_classes} values")
        del graph.output[:]
        graph.output.extend(fitting)
    output = graph.output[0]
    last = _giving(graph, output.name)
    while last is not None and last.op_type in ("Identity", "Cast"):
        graph.node.remove(last)
        output.name = last.input[0]
        last = _giving(graph, output.name)
    if last is not None and last.op_type == "Softmax":
        graph.node.remove(last)
        output.name = last.input[0]
    output.type.tensor_type.ClearField("shape")
    _rename(graph, output.name, OUTPUT_NAME)


def _giving(graph: onnx.GraphProto, name: str) -> onnx.NodeProto | None:
    """The node that a tensor comes from; None for an input or a weight."""
    return next((node for node in graph.node if name in node.output), None)


def _rename(graph: onnx.GraphProto, old: str, new: str) -> None:
    """Renames a tensor everywhere; whatever had the new name gets another."""
    if old == new:
        return
    names = {old: new, new: f"{new}_before"}
    for node in graph.node:
        for listed in (node.input, node.output):
            for i, name in enumerate(listed):
                listed[i] = names.get(name, name)
    for each in (*graph.input, *graph.output, *graph.initializer, *graph.value_info):
        each.name = names.get(each.name, each.name)


def _shown(dims: list[int | None]) -> str:
    return "(" + ", ".join("?" if size is None else str(size) for size in dims) + ")"

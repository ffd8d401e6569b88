"""A torch network's operators as its tflite file will have them, from one run on zeros."""

from __future__ import annotations

from typing import Any

import torch
from torch import nn
from torch.utils._python_dispatch import TorchDispatchMode

from fer_host.boards.operators import Operator

_aten = torch.ops.aten
_ACTIVATIONS = {_aten.relu.default: "relu", _aten.relu_.default: "relu", _aten.hardtanh.default: "relu6"}
_ACTIVATIONS[_aten.hardtanh_.default] = "relu6"
_CONCATENATIONS = (_aten.cat.default,)


def operators_of_torch(network: nn.Module, in_channels: int, size_px: int, dtype: str) -> list[Operator]:
    """What a network will run once it is converted: batch norm folded, activations in the layer before them.

    Adds, pools, means and PReLU are taken from the modules that ran; additions between tensors (which are no module)
    from the shapes that two tensors of one size have when they meet.

    Args:
        network: in any mode; left as it was.
        in_channels: of the input.
        size_px: side of the input.
        dtype: of the file it will become: ``int8``, ``float32`` or ``float32/int8`` (dynamic).
    """
    found: list[Operator] = []
    training = network.training
    network.eval()
    device = next(network.parameters()).device
    try:
        with torch.no_grad(), _Watch(found, dtype):
            network(torch.zeros(1, in_channels, size_px, size_px, device=device))
    finally:
        network.train(training)
    return found


class _Watch(TorchDispatchMode):  # type: ignore[no-untyped-call]  # torch's class has no types
    """Notes what each call will become."""

    def __init__(self, found: list[Operator], dtype: str) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self._found, self._dtype = found, dtype

    def __torch_dispatch__(self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: Any = None) -> Any:
        result = func(*args, **(kwargs or {}))
        if isinstance(result, torch.Tensor):
            self._note(func, args, result)
        elif isinstance(result, tuple) and result and isinstance(result[0], torch.Tensor):
            self._note(func, args, result[0])
        return result

    def _note(self, func: Any, args: tuple[Any, ...], result: torch.Tensor) -> None:
        plain = self._dtype.partition("/")[0]
        if func in (_aten.convolution.default, _aten._convolution.default):
            self._convolution(args, result)
        elif func in (_aten.addmm.default, _aten.mm.default):
            data = args[1] if func is _aten.addmm.default else args[0]
            self._add("FULLY_CONNECTED", {}, tuple(data.shape), tuple(result.shape), self._dtype)
        elif func in _ACTIVATIONS:
            if self._found and "activation" in dict(self._found[-1].attrs):  # fused into the layer before it
                last = self._found.pop()
                attrs = {**dict(last.attrs), "activation": _ACTIVATIONS[func]}
                self._add(last.op, attrs, last.in_shape, last.out_shape, last.dtype)
        elif func in (_aten.add.Tensor, _aten.add_.Tensor, _aten.mul.Tensor, _aten.mul_.Tensor, _aten.sub.Tensor):
            if result.dim() == 4 and isinstance(args[1], torch.Tensor):
                name = func.__name__.partition(".")[0].strip("_").upper()
                self._add(name, {"activation": "none"}, _nhwc(args[0]), _nhwc(result), plain)
        elif func in (_aten.mean.dim, _aten._adaptive_avg_pool2d.default):
            self._add("MEAN", {}, _nhwc(args[0]), _nhwc(result), plain)
        elif func is _aten.max_pool2d_with_indices.default:
            kernel, stride = _pair(args[1]), _pair(args[2] if len(args) > 2 and args[2] else args[1])
            attrs = {"kernel": kernel, "stride": stride, "padding": "valid", "activation": "none"}
            self._add("MAX_POOL_2D", attrs, _nhwc(args[0]), _nhwc(result), plain)
        elif func is _aten.avg_pool2d.default:
            kernel, stride = _pair(args[1]), _pair(args[2] if len(args) > 2 and args[2] else args[1])
            attrs = {"kernel": kernel, "stride": stride, "padding": "valid", "activation": "none"}
            self._add("AVERAGE_POOL_2D", attrs, _nhwc(args[0]), _nhwc(result), plain)
        elif func is _aten._prelu_kernel.default:
            self._add("PRELU", {}, _nhwc(args[0]), _nhwc(result), plain)
        elif func is _aten.sigmoid.default:
            self._add("LOGISTIC", {}, _nhwc(args[0]), _nhwc(result), plain)
        elif func in _CONCATENATIONS and result.dim() == 4:
            self._add("CONCATENATION", {"activation": "none"}, _nhwc(args[0][0]), _nhwc(result), plain)

    def _convolution(self, args: tuple[Any, ...], result: torch.Tensor) -> None:
        data, weight, stride, padding, groups = args[0], args[1], args[3], args[4], args[8]
        kernel = f"{weight.shape[2]}x{weight.shape[3]}"
        shape, out = _nhwc(data), _nhwc(result)
        attrs = {"kernel": kernel, "stride": _pair(stride), "padding": "same", "activation": "none"}
        if max(stride) > 1 and max(padding) > 0:  # onnx2tf pads by an operator of its own there
            attrs |= {"padding": "valid", "pad": "1"}
        if groups > 1 and groups == data.shape[1]:
            if weight.shape[0] != groups:
                attrs["multiplier"] = str(weight.shape[0] // groups)
            self._add("DEPTHWISE_CONV_2D", attrs, shape, out, self._dtype)
        else:
            for _ in range(groups):  # a grouped convolution becomes one an own group
                part = (*shape[:3], shape[3] // groups), (*out[:3], out[3] // groups)
                self._add("CONV_2D", attrs, *part, self._dtype)

    def _add(
        self, op: str, attrs: dict[str, str], in_shape: tuple[int, ...], out_shape: tuple[int, ...], dtype: str
    ) -> None:
        self._found.append(Operator(op, tuple(attrs.items()), in_shape, out_shape, dtype))


def _nhwc(tensor: torch.Tensor) -> tuple[int, ...]:
    shape = tuple(tensor.shape)
    return (shape[0], shape[2], shape[3], shape[1]) if len(shape) == 4 else shape


def _pair(value: Any) -> str:
    values = [value] if isinstance(value, int) else list(value)
    return f"{values[0]}x{values[-1]}"

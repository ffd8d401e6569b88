"""The networks, one module each; ``MODELS`` names what a recipe may ask for."""

from __future__ import annotations

from collections.abc import Callable

from torch import nn

from fer_host.models.mobilenet_v2 import MobileNetV2

MODELS: dict[str, Callable[[int], nn.Module]] = {
    "mobilenet_v2": MobileNetV2,
}

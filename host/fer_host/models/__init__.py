"""The networks, one module each, and their weights. Start at ``MODELS`` below: what a recipe may ask for."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

from torch import nn

from fer_host.models.blocks import prelu_one
from fer_host.models.ddamfn import Ddamfn, Mfn, MobileFaceNet
from fer_host.models.fer48 import Fer48
from fer_host.models.larn import Larn
from fer_host.models.ldam import Ldam
from fer_host.models.lfer_ldl import LferLdl
from fer_host.models.mobilenet_v2 import MobileNetV2
from fer_host.models.resnet import ResNet50
from fer_host.models.shufflenet_v2 import ShuffleNetV2

# (classes, input channels, input side in px) -> a network with fresh weights
Builder = Callable[[int, int, int], nn.Module]


def head_name(network: nn.Module) -> str:
    """Name of the module that makes logits of features: the last child in all networks here (classifier, fc)."""
    *_, (name, _) = network.named_children()
    return name


def _any_size(network: Callable[..., nn.Module], **options: object) -> Builder:
    """A network whose layers do not depend on the input's size."""
    return lambda n_classes, in_channels, _: network(n_classes, in_channels, **options)


MODELS: dict[str, Builder] = {
    "mobilenet_v2": _any_size(MobileNetV2),
    "fer48": _any_size(Fer48),
    "larn": Larn,
    "larn_se_relu": partial(Larn, attention="relu"),
    "larn_irm": partial(Larn, attention="none"),
    "larn_resnet13": partial(Larn, attention="none", pooled_shortcut=False),
    "ddamfn": Ddamfn,
    **{f"ddamfn_{heads}_heads": partial(Ddamfn, heads=heads) for heads in (0, 1, 3, 4)},
    "mfn": Mfn,
    "mobilefacenet": MobileFaceNet,
    "shufflenet_v2": _any_size(ShuffleNetV2),
    "shufflenet_v2_prelu": _any_size(ShuffleNetV2, activation=prelu_one),
    "shufflenet_ldam": _any_size(ShuffleNetV2, activation=prelu_one, in_front=Ldam),
    # the same counts; a stem of stride 1 leaves a 48 px face four times as many positions to look at
    "shufflenet_v2_stem1": _any_size(ShuffleNetV2, stem_stride=1),
    "shufflenet_v2_prelu_stem1": _any_size(ShuffleNetV2, activation=prelu_one, stem_stride=1),
    "shufflenet_ldam_stem1": _any_size(ShuffleNetV2, activation=prelu_one, in_front=Ldam, stem_stride=1),
    "shufflenet_ldam_stem1_no_pool": _any_size(
        ShuffleNetV2, activation=prelu_one, in_front=Ldam, stem_stride=1, stem_pool=False
    ),
    "resnet50": _any_size(ResNet50),
    "lfer_ldl": LferLdl,
    "lfer_ldl_no_quadrants": partial(LferLdl, quadrants=False),
    "lfer_ldl_shufflenet": partial(LferLdl, quadrants=False, depthwise_output=False),
}

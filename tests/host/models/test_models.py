"""Every network counts what its facts sheet says, whatever else changes."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from fer_host.errors import RecipeError
from fer_host.models import MODELS, head_name
from fer_host.models.counts import counts
from fer_host.models.ldam import eca_kernel
from fer_host.models.lfer_ldl import PdwRes

# network, classes, input channels, side in px -> parameters
PARAMETERS = {
    ("mobilenet_v2", 8, 3, 96): 2_234_120,
    ("mobilenet_v2", 1000, 3, 224): 3_504_872,
    ("larn", 7, 3, 48): 1_524_807,
    ("larn", 7, 1, 48): 1_523_655,
    ("larn_se_relu", 7, 3, 48): 1_524_807,
    ("larn_irm", 7, 3, 48): 1_508_423,
    ("larn_resnet13", 7, 3, 48): 1_508_423,
    ("ddamfn", 7, 3, 112): 4_105_999,
    ("ddamfn", 8, 3, 112): 4_106_512,
    ("ddamfn_0_heads", 7, 3, 112): 4_036_271,
    ("ddamfn_1_heads", 7, 3, 112): 4_071_135,
    ("ddamfn_3_heads", 7, 3, 112): 4_140_863,
    ("ddamfn_4_heads", 7, 3, 112): 4_175_727,
    ("mfn", 7, 3, 112): 4_166_063,
    ("mobilefacenet", 7, 3, 112): 1_204_103,
    ("shufflenet_v2", 7, 1, 48): 1_260_347,
    ("shufflenet_v2_prelu", 7, 1, 48): 1_260_384,
    ("shufflenet_ldam", 7, 1, 48): 1_262_092,
    ("shufflenet_ldam_stem1", 7, 1, 48): 1_262_092,
    ("shufflenet_ldam_stem1_no_pool", 7, 1, 48): 1_262_092,
    ("lfer_ldl", 7, 3, 224): 1_283_024,
    ("lfer_ldl_shufflenet", 7, 3, 224): 1_261_559,
}
# system -> (name, side, channels), the paper's own parameters and FLOPs; each paper counts its own way
PAPER = [
    ("ddamfn", 3, 112, "ddamfn", 4_105_999, 551.216),
    ("mfn", 3, 112, "ddamfn", 4_166_063, 550.741),
    ("mobilefacenet", 3, 112, "ddamfn", 1_204_103, 230.337),
    ("lfer_ldl", 3, 224, "lfer_ldl", 1_262_920, 294.606),
    ("lfer_ldl_no_quadrants", 3, 224, "lfer_ldl", 1_254_568, 291.514),
    ("lfer_ldl_shufflenet", 3, 224, "lfer_ldl", 1_238_184, 291.482),
    ("shufflenet_ldam", 1, 48, "shufflenet_ldam", 1_245_868, None),
]
MACS = {
    ("larn", 3, 48): 330.3,
    ("larn", 1, 48): 327.6,
    ("shufflenet_v2", 1, 48): 7.97,
    ("shufflenet_ldam", 1, 48): 8.04,
    ("ddamfn", 3, 112): 539.59,
    ("mobilenet_v2", 3, 224): 299.50,
}


@pytest.mark.parametrize("case", PARAMETERS, ids=lambda case: f"{case[0]}-{case[1]}-{case[2]}")
def test_parameters(case: tuple[str, int, int, int]) -> None:
    name, classes, channels, size_px = case
    network = MODELS[name](classes, channels, size_px)
    assert sum(p.numel() for p in network.parameters()) == PARAMETERS[case]


@pytest.mark.parametrize("case", PAPER, ids=lambda case: case[0])
def test_counts_by_the_papers_conventions(case: tuple[str, int, int, str, int, float | None]) -> None:
    name, channels, size_px, convention, parameters, mflops = case
    found = counts(MODELS[name](7, channels, size_px), channels, size_px, convention)
    assert found.paper_parameters == parameters
    if mflops is not None:
        assert found.paper_flops is not None
        assert found.paper_flops / 1e6 == pytest.approx(mflops, abs=5e-4)


@pytest.mark.parametrize("case", MACS, ids=lambda case: f"{case[0]}-{case[1]}")
def test_macs(case: tuple[str, int, int]) -> None:
    name, channels, size_px = case
    classes = 8 if name == "mobilenet_v2" else 7
    found = counts(MODELS[name](classes, channels, size_px), channels, size_px, "all")
    assert found.macs / 1e6 == pytest.approx(MACS[case], rel=2e-3)


@pytest.mark.parametrize("name", sorted(MODELS))
def test_every_network_gives_logits_and_learns(name: str) -> None:
    size_px = 96 if name.startswith("lfer") else 48
    torch.manual_seed(0)
    network = MODELS[name](7, 1, size_px).train()
    logits = network(torch.randn(2, 1, size_px, size_px))
    assert logits.shape == (2, 7)
    logits.square().sum().backward()
    idle = [key for key, p in network.named_parameters() if p.grad is None]
    assert not idle, f"never used: {idle}"


@pytest.mark.parametrize("size_px", [65, 80, 96, 97, 98, 100, 104, 128, 150, 160, 200, 224])
def test_quadrants_and_output_fit_any_size(size_px: int) -> None:
    network = MODELS["lfer_ldl"](7, 3, size_px).eval()
    with torch.no_grad():
        assert network(torch.zeros(1, 3, size_px, size_px)).shape == (1, 7)


@pytest.mark.parametrize("map_px", range(8, 30))
def test_joined_quadrants_are_as_large_as_the_other_branch(map_px: int) -> None:
    branch, whole = PdwRes(4, 8).eval(), nn.Conv2d(4, 8, 3, 2, 1)
    x = torch.randn(1, 4, map_px, map_px)
    with torch.no_grad():
        found = branch(x)
        near, far = (map_px + 1) // 2, map_px // 2
        corners = [x[:, :, :near, :near], x[:, :, :near, -far:], x[:, :, -far:, :near], x[:, :, -far:, -far:]]
        parts = [quadrant(corner) for quadrant, corner in zip(branch.quadrants, corners, strict=True)]
        assert found.shape == whole(x).shape
    first, size = parts[0].shape[2], found.shape[2]
    assert torch.equal(found[:, :, :first, :first], parts[0])
    assert torch.equal(found[:, :, first:, first:], parts[3][:, :, : size - first, : size - first])
    if map_px % 4 == 0:  # nothing is cut off
        assert size == 2 * first


@pytest.mark.parametrize("size_px", [32, 64])
def test_an_input_too_small_for_the_output_module_is_refused_in_one_line(size_px: int) -> None:
    with pytest.raises(RecipeError, match=rf"last map of {size_px // 32} px.*size_px of 65 or more") as caught:
        MODELS["lfer_ldl"](7, 3, size_px)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("name", ["ddamfn", "mfn", "mobilefacenet"])
@pytest.mark.parametrize("size_px", [48, 64, 70, 100, 112])
def test_heads_follow_the_last_map(name: str, size_px: int) -> None:
    network = MODELS[name](7, 1, size_px).eval()
    with torch.no_grad():
        assert network(torch.zeros(1, 1, size_px, size_px)).shape == (1, 7)


@pytest.mark.parametrize("name", sorted(MODELS))
def test_only_the_head_knows_the_classes(name: str) -> None:
    seven, eight = (MODELS[name](classes, 1, 96) for classes in (7, 8))
    head = head_name(seven)
    assert head == ("fc" if name == "resnet50" else "classifier")
    others = eight.state_dict()
    differ = {key for key, value in seven.state_dict().items() if value.shape != others[key].shape}
    assert differ
    assert all(key.startswith(f"{head}.") for key in differ)


def test_resnet50_has_torchvisions_names() -> None:
    state = MODELS["resnet50"](1000, 3, 224).state_dict()
    assert len(state) == 320  # torchvision's
    assert {
        "conv1.weight": (64, 3, 7, 7),
        "layer1.0.downsample.0.weight": (256, 64, 1, 1),
        "layer4.0.conv2.weight": (512, 512, 3, 3),
        "layer4.2.bn3.running_var": (2048,),
        "fc.weight": (1000, 2048),
    }.items() <= {key: tuple(value.shape) for key, value in state.items()}.items()


def test_heads_start_apart() -> None:
    heads = MODELS["ddamfn"](7, 3, 112).heads
    first, second = (head.across[0].weight for head in heads)  # type: ignore[union-attr]
    assert not torch.equal(first, second)


@pytest.mark.parametrize(("channels", "kernel"), [(24, 3), (48, 3), (116, 3), (192, 5), (232, 5), (464, 5), (1024, 5)])
def test_eca_kernels(channels: int, kernel: int) -> None:
    assert eca_kernel(channels) == kernel


def test_prelu_slopes_are_spared_by_weight_decay() -> None:
    from fer_host.recipe.train import OptimizerConfig
    from fer_host.train.optimizer import make_optimizer

    network = nn.Sequential(nn.Conv2d(1, 4, 3), nn.PReLU(4), nn.BatchNorm2d(4))
    groups = make_optimizer(network, OptimizerConfig("sgd", 0.1, 0.9, 1e-3, 0.0)).param_groups
    assert [(group["weight_decay"], [p.ndim for p in group["params"]]) for group in groups] == [
        (1e-3, [4]),
        (0.0, [1, 1, 1, 1]),
    ]

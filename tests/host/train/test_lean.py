"""What the backward pass needs is kept once, and gradients are those of torch's own ReLU6 to the last bit."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from fer_host.models.mobilenet_v2 import InvertedResidual
from fer_host.train.lean import lean


def network() -> nn.Module:
    torch.manual_seed(0)
    last = nn.Sequential(nn.BatchNorm2d(16), nn.ReLU6(), nn.AdaptiveAvgPool2d(1))  # one that is not in place
    return nn.Sequential(InvertedResidual(16, 16, 1, 6), InvertedResidual(16, 16, 1, 6), last).train()


def passed(net: nn.Module, x: torch.Tensor) -> tuple[list[torch.Tensor], int]:
    """Output and gradients; bytes that were kept between forward and backward, each memory once."""
    kept: dict[int, int] = {}

    def keep(tensor: torch.Tensor) -> torch.Tensor:
        storage = tensor.untyped_storage()
        kept[storage.data_ptr()] = storage.nbytes()
        return tensor

    x = x.clone().requires_grad_()
    with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
        y = net(x)
    net.zero_grad(set_to_none=True)
    y.square().sum().backward()
    gradients = [each.grad for each in (x, *net.parameters())]
    return [y.detach(), *(each for each in gradients if each is not None)], sum(kept.values())


def test_gradients_are_the_same_and_a_third_less_is_kept() -> None:
    net = network()
    x = 4 * torch.randn(4, 16, 24, 24)  # past both ends of ReLU6
    plain, before = passed(net, x)
    with lean(net):
        found, kept = passed(net, x)
    assert len(found) == len(plain) == 2 + len(list(net.parameters()))
    for one, two in zip(plain, found, strict=True):
        assert one.isfinite().all()
        assert torch.equal(two, one)
    assert kept < 0.72 * before, (kept, before)
    again, after = passed(net, x)  # outside it is torch's own again
    assert after == before
    assert "forward" not in vars(net[2][1])  # type: ignore[index]
    assert torch.equal(again[0], plain[0])


def test_both_ends_pass_no_gradient() -> None:
    net = nn.Sequential(nn.ReLU6())
    x = torch.tensor([-1.0, 0.0, 3.0, 6.0, 7.0], requires_grad=True)
    with lean(net):
        net(x).sum().backward()
    assert x.grad is not None
    assert x.grad.tolist() == [0.0, 0.0, 1.0, 0.0, 0.0]


def test_an_error_inside_leaves_the_model_as_it_was() -> None:
    net = nn.Sequential(nn.ReLU6())
    with pytest.raises(ZeroDivisionError), lean(net):
        raise ZeroDivisionError
    assert "forward" not in vars(net[0])

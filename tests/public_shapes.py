"""Networks as people bring them, written as their public code is: none is made for this kit. Smallest widths.

A torchvision-like ResNet (padded max-pool, ``F.relu``-style shared activations), a MobileNetV3 (hard swish, squeeze and
excitation), and a small CNN of functions for 64 px RGB and seven labels.
"""

import torch
from torch import nn
from torch.nn import functional as F


class BasicBlock(nn.Module):
    def __init__(self, inplanes, planes, stride=1):
        super().__init__()
        self.conv1 = nn.Conv2d(inplanes, planes, 3, stride, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(planes)
        self.relu = nn.ReLU(inplace=True)
        self.conv2 = nn.Conv2d(planes, planes, 3, 1, 1, bias=False)
        self.bn2 = nn.BatchNorm2d(planes)
        self.downsample = None
        if stride != 1 or inplanes != planes:
            self.downsample = nn.Sequential(nn.Conv2d(inplanes, planes, 1, stride, bias=False), nn.BatchNorm2d(planes))

    def forward(self, x):
        identity = x if self.downsample is None else self.downsample(x)
        out = self.relu(self.bn1(self.conv1(x)))
        out = self.bn2(self.conv2(out))
        out += identity
        return self.relu(out)


class ResNet(nn.Module):
    def __init__(self, num_classes=1000, width=8):
        super().__init__()
        self.conv1 = nn.Conv2d(3, width, 7, 2, 3, bias=False)
        self.bn1 = nn.BatchNorm2d(width)
        self.relu = nn.ReLU(inplace=True)
        self.maxpool = nn.MaxPool2d(kernel_size=3, stride=2, padding=1)
        self.layer1 = BasicBlock(width, width)
        self.layer2 = BasicBlock(width, 2 * width, 2)
        self.layer3 = BasicBlock(2 * width, 4 * width, 2)
        self.avgpool = nn.AdaptiveAvgPool2d((1, 1))
        self.fc = nn.Linear(4 * width, num_classes)

    def forward(self, x):
        x = self.maxpool(self.relu(self.bn1(self.conv1(x))))
        x = self.layer3(self.layer2(self.layer1(x)))
        return self.fc(torch.flatten(self.avgpool(x), 1))


class SqueezeExcitation(nn.Module):
    def __init__(self, channels, squeezed):
        super().__init__()
        self.avgpool = nn.AdaptiveAvgPool2d(1)
        self.fc1 = nn.Conv2d(channels, squeezed, 1)
        self.fc2 = nn.Conv2d(squeezed, channels, 1)
        self.activation = nn.ReLU()
        self.scale_activation = nn.Hardsigmoid()

    def forward(self, x):
        return self.scale_activation(self.fc2(self.activation(self.fc1(self.avgpool(x))))) * x


class InvertedResidual(nn.Module):
    def __init__(self, before, expanded, after, kernel, stride, use_se, use_hs):
        super().__init__()
        act = nn.Hardswish if use_hs else nn.ReLU
        layers = [nn.Conv2d(before, expanded, 1, bias=False), nn.BatchNorm2d(expanded, eps=0.001), act()]
        layers += [
            nn.Conv2d(expanded, expanded, kernel, stride, (kernel - 1) // 2, groups=expanded, bias=False),
            nn.BatchNorm2d(expanded, eps=0.001),
            act(),
        ]
        layers += [SqueezeExcitation(expanded, max(4, expanded // 4))] if use_se else []
        layers += [nn.Conv2d(expanded, after, 1, bias=False), nn.BatchNorm2d(after, eps=0.001)]
        self.block = nn.Sequential(*layers)
        self.use_res_connect = stride == 1 and before == after

    def forward(self, x):
        return x + self.block(x) if self.use_res_connect else self.block(x)


class MobileNetV3(nn.Module):
    def __init__(self, num_classes=1000, dropout=0.2):
        super().__init__()
        self.features = nn.Sequential(
            nn.Sequential(nn.Conv2d(3, 8, 3, 2, 1, bias=False), nn.BatchNorm2d(8, eps=0.001), nn.Hardswish()),
            InvertedResidual(8, 16, 8, 3, 2, True, False),
            InvertedResidual(8, 24, 12, 3, 2, False, False),
            InvertedResidual(12, 36, 12, 5, 1, True, True),
            nn.Sequential(nn.Conv2d(12, 48, 1, bias=False), nn.BatchNorm2d(48, eps=0.001), nn.Hardswish()),
        )
        self.avgpool = nn.AdaptiveAvgPool2d(1)
        self.classifier = nn.Sequential(
            nn.Linear(48, 32), nn.Hardswish(inplace=True), nn.Dropout(dropout, inplace=True), nn.Linear(32, num_classes)
        )

    def forward(self, x):
        return self.classifier(torch.flatten(self.avgpool(self.features(x)), 1))


class Cnn64(nn.Module):
    """As course notes have it: everything but the weights is a function."""

    def __init__(self):
        super().__init__()
        self.conv1 = nn.Conv2d(3, 8, 3, padding=1)
        self.conv2 = nn.Conv2d(8, 12, 3, padding=1)
        self.prelu = nn.Parameter(torch.full((12,), 0.25))
        self.fc1 = nn.Linear(12 * 17 * 17, 24)
        self.fc2 = nn.Linear(24, 7)

    def forward(self, x):
        x = F.max_pool2d(torch.relu(self.conv1(x)), 2)
        x = F.max_pool2d(F.prelu(self.conv2(x), self.prelu), 2, padding=1)
        return self.fc2(F.dropout(F.relu(self.fc1(x.view(-1, 12 * 17 * 17))), training=self.training))


def settled(network, size_px, seed=3):
    """The network with weights and batch norm statistics as after some training, so that its answers differ."""
    torch.manual_seed(seed)
    for module in network.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.momentum = None  # plain mean over the batches
            nn.init.uniform_(module.weight, 0.7, 1.3)
            nn.init.uniform_(module.bias, -0.2, 0.2)
    light = torch.rand(64, 3, 1, 1)
    pictures = (light + 0.5 * F.interpolate(torch.randn(64, 3, 6, 6), size_px, mode="bilinear")).clamp(0, 1)
    network.train()
    with torch.no_grad():
        for _ in range(4):
            network(pictures)
        network.eval()
        *_, last = [module for module in network.modules() if isinstance(module, nn.Linear)]
        scale = 2 / network(pictures).std(dim=0)
        last.weight *= scale[:, None]
        last.bias *= scale
        last.bias -= network(pictures).mean(dim=0)
    return network

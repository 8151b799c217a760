"""Summaries: figures of the papers and of torchvision, brute-force counts, and a model that stays as it was."""

from __future__ import annotations

import json
import math
from dataclasses import asdict

import numpy as np
import pytest

import minigrad as mg
from minigrad import models, nn

# ---- the published networks, from layers ----------------------------------------------------------------------------


def alexnet() -> nn.Module:
    """torchvision's."""
    return nn.Sequential(
        nn.Sequential(
            *(nn.Conv2d(3, 64, 11, 4, 2), nn.ReLU(), nn.MaxPool2d(3, 2)),
            *(nn.Conv2d(64, 192, 5, 1, 2), nn.ReLU(), nn.MaxPool2d(3, 2)),
            *(nn.Conv2d(192, 384, 3, 1, 1), nn.ReLU()),
            *(nn.Conv2d(384, 256, 3, 1, 1), nn.ReLU()),
            *(nn.Conv2d(256, 256, 3, 1, 1), nn.ReLU(), nn.MaxPool2d(3, 2)),
        ),
        nn.AdaptiveAvgPool2d(6),
        nn.Flatten(),
        *(nn.Dropout(), nn.Linear(9216, 4096), nn.ReLU(), nn.Dropout(), nn.Linear(4096, 4096), nn.ReLU()),
        nn.Linear(4096, 1000),
    )


VGG11 = (64, "M", 128, "M", 256, 256, "M", 512, 512, "M", 512, 512, "M")
VGG16 = (64, 64, "M", 128, 128, "M", 256, 256, 256, "M", 512, 512, 512, "M", 512, 512, 512, "M")
VGG19 = (64, 64, "M", 128, 128, "M", *(256,) * 4, "M", *(512,) * 4, "M", *(512,) * 4, "M")


def vgg_features(table: tuple, batch_norm: bool = False) -> nn.Sequential:
    layers: list[nn.Module] = []
    channels = 3
    for entry in table:
        if entry == "M":
            layers.append(nn.MaxPool2d(2))
            continue
        layers += [nn.Conv2d(channels, entry, 3, padding=1), *[nn.BatchNorm2d(entry)] * batch_norm, nn.ReLU()]
        channels = entry
    return nn.Sequential(*layers)


def vgg(table: tuple) -> nn.Module:
    return nn.Sequential(
        vgg_features(table),
        *(nn.AdaptiveAvgPool2d(7), nn.Flatten(), nn.Linear(25088, 4096), nn.ReLU(), nn.Dropout()),
        *(nn.Linear(4096, 4096), nn.ReLU(), nn.Dropout(), nn.Linear(4096, 1000)),
    )


def conv_bn(a: int, b: int, kernel: int, stride: int = 1, relu: bool = True) -> list[nn.Module]:
    layers = [nn.Conv2d(a, b, kernel, stride, kernel // 2, bias=False), nn.BatchNorm2d(b)]
    return [*layers, nn.ReLU()] if relu else layers


def bottleneck(a: int, width: int, stride: int, first: bool, v1: bool) -> nn.Module:
    before, after = (stride, 1) if v1 else (1, stride)
    body = nn.Sequential(
        *conv_bn(a, width, 1, before), *conv_bn(width, width, 3, after), *conv_bn(width, 4 * width, 1, relu=False)
    )
    shortcut = nn.Sequential(*conv_bn(a, 4 * width, 1, stride, relu=False)) if first else None
    return nn.Residual(body, shortcut, nn.ReLU())


def basic(a: int, width: int, stride: int, first: bool, v1: bool) -> nn.Module:
    body = nn.Sequential(*conv_bn(a, width, 3, stride), *conv_bn(width, width, 3, relu=False))
    return nn.Residual(
        body, nn.Sequential(*conv_bn(a, width, 1, stride, relu=False)) if a != width else None, nn.ReLU()
    )


def resnet(block=bottleneck, blocks: tuple = (3, 4, 6, 3), v1: bool = False, narrow: int = 1) -> nn.Module:
    layers: list[nn.Module] = [*conv_bn(3, 64 // narrow, 7, 2), nn.MaxPool2d(3, 2, 1)]
    a = 64 // narrow
    for stage, count in enumerate(blocks):
        width = 64 // narrow * 2**stage
        for i in range(count):
            layers.append(block(a, width, 2 if stage and not i else 1, not i, v1))
            a = width * (4 if block is bottleneck else 1)
    return nn.Sequential(nn.Sequential(*layers), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(a, 1000))


def inception(a: int, *sizes: int) -> nn.Module:
    one, three_reduced, three, five_reduced, five, pooled = sizes
    return nn.Concat(
        nn.Sequential(*conv_bn(a, one, 1)),
        nn.Sequential(*conv_bn(a, three_reduced, 1), *conv_bn(three_reduced, three, 3)),
        nn.Sequential(*conv_bn(a, five_reduced, 1), *conv_bn(five_reduced, five, 3)),
        nn.Sequential(nn.MaxPool2d(3, 1, 1, ceil_mode=True), *conv_bn(a, pooled, 1)),
    )


def googlenet(narrow: int = 1) -> nn.Module:
    """torchvision's, without auxiliary heads."""
    table = [
        (192, 64, 96, 128, 16, 32, 32),
        (256, 128, 128, 192, 32, 96, 64),
        nn.MaxPool2d(3, 2, ceil_mode=True),
        (480, 192, 96, 208, 16, 48, 64),
        (512, 160, 112, 224, 24, 64, 64),
        (512, 128, 128, 256, 24, 64, 64),
        (512, 112, 144, 288, 32, 64, 64),
        (528, 256, 160, 320, 32, 128, 128),
        nn.MaxPool2d(2, 2, ceil_mode=True),
        (832, 256, 160, 320, 32, 128, 128),
        (832, 384, 192, 384, 48, 128, 128),
    ]
    n = narrow
    return nn.Sequential(
        nn.Sequential(
            *conv_bn(3, 64 // n, 7, 2),
            nn.MaxPool2d(3, 2, ceil_mode=True),
            *(*conv_bn(64 // n, 64 // n, 1), *conv_bn(64 // n, 192 // n, 3), nn.MaxPool2d(3, 2, ceil_mode=True)),
            *(inception(*(c // n for c in row)) if isinstance(row, tuple) else row for row in table),
        ),
        *(nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Dropout(0.2), nn.Linear(1024 // n, 1000)),
    )


def seen(model: nn.Module, size: int, path: str) -> tuple:
    """What the layer sees, and its stride; both axes alike."""
    rows = models.summary(model, (3, size, size)).rows
    row = next(row for row in rows if row.path == path)
    (field,), (stride,) = set(row.receptive_field), set(row.effective_stride)
    return field, stride

"""Darknet networks by script: each of MODELS writes net.cfg and net.weights with seeded random weights."""

from __future__ import annotations

import struct
from collections.abc import Callable
from pathlib import Path

import numpy as np


class Cfg:
    """A cfg under construction; it draws each layer's weights in Darknet's order as the layer is written."""

    def __init__(self, height: int, width: int, channels: int = 3, seed: int = 7, **net: object) -> None:
        self.random = np.random.default_rng(seed)
        self.text = [
            "[net]",
            "# Testing",
            "batch=1",
            f"height={height}",
            f"width={width}",
            f"channels={channels}",
        ] + [f"{k}={v}" for k, v in net.items()]
        self.floats: list[np.ndarray] = []
        self.channels: list[int] = []
        self.now = channels

    def layer(self, kind: str, channels: int | None = None, **values: object) -> int:
        self.now = self.now if channels is None else channels
        self.text += ["", f"[{kind}]"] + [f"{k.rstrip('_')}={v}" for k, v in values.items()]
        self.channels.append(self.now)
        return len(self.channels) - 1

    def draw(self, *shape: int, scale: float = 1.0, shift: float = 0.0) -> None:
        self.floats.append((self.random.standard_normal(shape) * scale + shift).astype("<f4").ravel())

    def norm(self, n: int) -> None:
        self.draw(n, scale=0.1, shift=1.0)
        self.draw(n, scale=0.1)
        self.floats.append(self.random.uniform(0.6, 1.4, n).astype("<f4"))

    def conv(
        self,
        filters: int,
        size: int = 3,
        stride: int = 1,
        bn: int = 1,
        activation: str = "leaky",
        gain: float = 1.7,
        **more: object,
    ) -> int:
        groups = int(str(more.get("groups", 1)))
        fan = self.now // groups * size * size
        self.draw(filters, scale=0.1)
        if bn:
            self.norm(filters)
        self.draw(filters, fan, scale=(gain / fan) ** 0.5)
        head: dict[str, object] = {"batch_normalize": 1} if bn else {}
        return self.layer(
            "convolutional",
            filters,
            **head,
            filters=filters,
            size=size,
            stride=stride,
            pad=1,
            activation=activation,
            **more,
        )

    def dense(self, count: int, output: int, activation: str = "linear", bn: int = 0) -> int:
        self.draw(output, scale=0.1)
        self.draw(output, count, scale=(1.5 / count) ** 0.5)
        if bn:
            self.norm(output)
        head: dict[str, object] = {"batch_normalize": 1} if bn else {}
        return self.layer("connected", output, **head, output=output, activation=activation)

    def pool(self, size: int = 2, stride: int = 2, **more: object) -> int:
        return self.layer("maxpool", size=size, stride=stride, **more)

    def route(self, *layers: int, groups: int = 1, group_id: int = 0) -> int:
        at = len(self.channels)
        total = sum(self.channels[i + at if i < 0 else i] for i in layers) // groups
        more: dict[str, object] = {"groups": groups, "group_id": group_id} if groups > 1 else {}
        return self.layer("route", total, layers=",".join(map(str, layers)), **more)

    def write(self, folder: Path, version: tuple[int, int] = (0, 2)) -> None:
        (folder / "net.cfg").write_text("\n".join(self.text) + "\n", encoding="utf-8")
        seen = struct.pack("<q", 32013312) if version[0] * 10 + version[1] >= 2 else struct.pack("<i", 32013312)
        head = struct.pack("<3i", *version, 0) + seen
        (folder / "net.weights").write_bytes(head + b"".join(part.tobytes() for part in self.floats))


ANCHORS2 = "0.57273, 0.677385, 1.87446, 2.06253, 3.33843, 5.47434, 7.88282, 3.52778, 9.77052, 9.16828"
ANCHORS3 = "10,14, 23,27, 37,58, 81,82, 135,169, 344,319"


def _yolo(c: Cfg, mask: str, classes: int, anchors: str = ANCHORS3, **more: object) -> None:
    c.conv((classes + 5) * len(mask.split(",")), 1, bn=0, activation="linear")
    num = len(anchors.split(",")) // 2
    c.layer(
        "yolo", mask=mask, anchors=anchors, classes=classes, num=num, jitter=".3", ignore_thresh=".7", random=1, **more
    )


def yolov3_tiny(folder: Path, size: int = 96, scale: int = 4, classes: int = 5) -> str | None:
    c = Cfg(size, size)
    for filters in (16, 32, 64, 128, 256):
        c.conv(filters // scale)
        c.pool()
    c.conv(512 // scale)
    c.pool(2, 1)
    c.conv(1024 // scale)
    c.conv(256 // scale, 1)
    c.conv(512 // scale)
    _yolo(c, "3,4,5", classes)
    c.route(-4)
    c.conv(128 // scale, 1)
    c.layer("upsample", stride=2)
    c.route(-1, 8)
    c.conv(256 // scale)
    _yolo(c, "0,1,2", classes)
    c.write(folder)
    return f'{{"data":[1,3,{size},{size}]}}'


def yolov3_tiny_full(folder: Path) -> str | None:
    return yolov3_tiny(folder, 416, 1, 80)


def yolov2_tiny(folder: Path) -> str | None:
    c = Cfg(96, 128)
    for filters in (4, 8, 16, 32, 64):
        c.conv(filters)
        c.pool()
    c.conv(128)
    c.pool(2, 1)
    c.conv(64)
    c.conv(5 * (5 + 4), 1, bn=0, activation="linear")
    c.layer("region", anchors=ANCHORS2, bias_match=1, classes=4, coords=4, num=5, softmax=1, jitter=".2", rescore=1)
    c.write(folder, version=(0, 1))
    return "{'data': [1, 3, 96, 128]}"


def yolov2(folder: Path) -> str | None:
    c = Cfg(96, 96)
    for filters in (8, 16, 32, 32):
        c.conv(filters)
        c.pool()
    fine = c.conv(32)
    c.pool()
    c.conv(64)
    c.conv(64)
    c.route(fine)
    c.conv(8, 1)
    c.layer("reorg", 32, stride=2)
    c.route(-1, -4)
    c.conv(64)
    c.conv(5 * 8, 1, bn=0, activation="linear")
    c.layer("region", anchors=ANCHORS2, classes=3, coords=4, num=5, softmax=1)
    c.write(folder)
    return None


def yolov3(folder: Path) -> str | None:
    c = Cfg(64, 64)
    c.conv(8)
    for filters, blocks in ((16, 1), (32, 2), (64, 2)):
        c.conv(filters, 3, 2)
        for _ in range(blocks):
            c.conv(filters // 2, 1)
            c.conv(filters, 3)
            c.layer("shortcut", from_=-3, activation="linear")
    _yolo(c, "3,4,5", 2)
    c.route(-3)
    c.conv(16, 1)
    c.layer("upsample", stride=2)
    c.route(-1, 8)
    c.conv(32)
    _yolo(c, "0,1,2", 2)
    c.write(folder)
    return '{"data":[1,3,64,64]}'


def yolov4_tiny(folder: Path) -> str | None:
    c = Cfg(96, 96)
    c.conv(8, 3, 2)
    c.conv(16, 3, 2)
    for filters in (16, 32):
        c.conv(filters)
        c.route(-1, groups=2, group_id=1)
        c.conv(filters // 2)
        c.conv(filters // 2)
        c.route(-1, -2)
        c.conv(filters, 1)
        c.route(-6, -1)
        c.pool()
    c.conv(64)
    _yolo(c, "3,4,5", 3, scale_x_y=1.05)
    c.write(folder)
    return '{"input":[1,3,96,96]}'


def yolov4(folder: Path) -> str | None:
    """Mish, cross-stage partial blocks, spatial pyramid pooling, scale_x_y."""
    c = Cfg(64, 96)
    c.conv(8, activation="mish")
    c.conv(16, 3, 2, activation="mish")
    c.conv(16, 1, activation="mish")
    c.route(-2)
    c.conv(16, 1, activation="mish")
    c.conv(8, 1, activation="mish")
    c.conv(16, 3, activation="mish")
    c.layer("shortcut", from_=-3, activation="linear")
    c.route(-1, -6)
    c.conv(32, 3, 2, activation="mish")
    c.conv(32, 3, 2, activation="mish")
    c.pool(5, 1)
    c.route(-2)
    c.pool(9, 1)
    c.route(-4)
    c.pool(13, 1)
    c.route(-1, -3, -5, -6)
    c.conv(32, 1)
    _yolo(c, "0,1,2", 2, scale_x_y=1.2)
    c.write(folder)
    return '{"data":[1,3,64,96]}'


def scaled_yolov4(folder: Path) -> str | None:
    """new_coords, logistic convolution before the head, swish, scaled upsample."""
    c = Cfg(64, 64)
    c.conv(8, 3, 2, activation="swish")
    c.conv(16, 3, 2, activation="swish")
    c.layer("upsample", stride=2)
    c.conv(16, activation="swish")
    c.conv(21, 1, bn=0, activation="logistic")
    c.layer("yolo", mask="0,1,2", anchors=ANCHORS3, classes=2, num=6, scale_x_y=2.0, new_coords=1)
    c.write(folder)
    return '{"data":[1,3,64,64]}'


def darknet19(folder: Path) -> str | None:
    c = Cfg(64, 64)
    for filters in (8, 16, 32, 64):
        c.conv(filters)
        c.pool()
        c.conv(filters, 1)
    c.conv(10, 1, bn=0, activation="linear")
    c.layer("avgpool")
    c.layer("softmax", groups=1)
    c.layer("cost", type="sse")
    c.write(folder)
    return '{"data":[1,3,64,64]}'


def resnet(folder: Path) -> str | None:
    c = Cfg(64, 64)
    c.conv(16, 7, 2, activation="relu")
    c.pool(2, 2)
    for filters, stride in ((16, 1), (32, 2), (32, 1)):
        c.conv(filters // 2, 1, activation="relu")
        c.conv(filters // 2, 3, stride, activation="relu", groups=2)
        c.conv(filters, 1, activation="linear")
        if stride == 1:
            c.layer("shortcut", from_=-4, activation="relu")
    c.layer("avgpool")
    c.conv(7, 1, bn=0, activation="linear")
    c.layer("softmax", groups=1)
    c.write(folder)
    return None


def alexnet(folder: Path) -> str | None:
    """Crop, pools that overlap, connected layers, dropout: a classifier of Darknet's first days."""
    c = Cfg(72, 72)
    c.layer("crop", crop_height=67, crop_width=67, flip=0, angle=0, saturation=1, exposure=1)
    c.conv(12, 11, 4, bn=0, activation="relu", padding=0)
    c.text[-3] = "pad=0"
    c.pool(3, 2, padding=0)
    c.conv(16, 3, 1, bn=0, activation="ramp")
    c.pool(3, 2, padding=0)
    c.dense(16 * 3 * 3, 32, "relu", bn=1)
    c.layer("dropout", probability=".5")
    c.dense(32, 8)
    c.layer("softmax", groups=2, temperature=1.5)
    c.write(folder)
    return '{"data":[1,3,72,72]}'


def efficientnet(folder: Path) -> str | None:
    """Depthwise convolutions, squeeze and excitation, swish; the input has one channel."""
    c = Cfg(48, 48, channels=1)
    c.conv(8, 3, 2, activation="swish")
    c.conv(16, 1, activation="swish")
    grown = c.conv(16, 3, activation="swish", groups=16)
    c.layer("avgpool")
    c.conv(4, 1, bn=0, activation="swish")
    c.conv(16, 1, bn=0, activation="logistic")
    c.layer("scale_channels", from_=grown)
    c.conv(8, 1, activation="linear")
    c.layer("dropout", probability=".2")
    c.layer("shortcut", from_=0, activation="linear")
    spatial = c.conv(8, 3, activation="linear", dilation=2)
    c.conv(8, 1, activation="logistic")
    c.layer("sam", from_=spatial)
    c.layer("local_avgpool", size=2, stride=2)
    c.layer("activation", activation="elu")
    c.layer("avgpool")
    c.conv(6, 1, bn=0, activation="tanh")
    c.write(folder)
    return '{"data":[1,1,48,48]}'


def activations(folder: Path) -> str | None:
    c = Cfg(16, 16)
    kinds = "loggy relu relu6 elu selu relie ramp leaky tanh hardtan mish swish gelu logistic linear"
    for kind in kinds.split():
        c.conv(6, 3, 1, activation=kind)
    c.write(folder)
    return '{"data":[2,3,16,16]}'


MODELS: dict[str, Callable[[Path], str | None]] = {
    f.__name__: f
    for f in (
        yolov3_tiny, yolov2_tiny, yolov2, yolov3, yolov4_tiny, yolov4, scaled_yolov4, darknet19, resnet, alexnet, efficientnet, activations
    )
}  # fmt: skip
LARGE = {"yolov3_tiny_full": yolov3_tiny_full}

"""PyTorch models by script: each of MODELS writes one file into the folder and returns the DataInputConfig text, or None."""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

Model = Callable[[Path], str | None]


class Residual(nn.Module):
    def __init__(self, channels: int, groups: int = 1) -> None:
        super().__init__()
        self.body = nn.Sequential(
            nn.Conv2d(channels, channels, 3, padding=1, groups=groups, bias=False), nn.BatchNorm2d(channels), nn.ReLU(),
            nn.Conv2d(channels, channels, 3, padding=2, dilation=2, bias=False), nn.BatchNorm2d(channels),
        )  # fmt: skip

    def forward(self, x: Tensor) -> Tensor:
        return torch.relu(x + self.body(x))


class Resnet(nn.Sequential):
    def __init__(self) -> None:
        super().__init__(
            nn.Conv2d(3, 16, 7, 2, 3, bias=False), nn.BatchNorm2d(16), nn.ReLU(), nn.MaxPool2d(3, 2, 1), Residual(16), Residual(16, 4),
            nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(16, 10),
        )  # fmt: skip


class Mobile(nn.Sequential):
    def __init__(self) -> None:
        super().__init__(
            nn.Conv2d(3, 8, 3, 2, 1), nn.Hardswish(), nn.Conv2d(8, 8, 3, 1, 1, groups=8), nn.ReLU6(), nn.Conv2d(8, 16, 1), nn.Hardsigmoid(),
            nn.AvgPool2d(2), nn.Flatten(), nn.Linear(16 * 8 * 8, 5), nn.Softmax(1),
        )  # fmt: skip


class Unet(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.down, self.middle = nn.Conv2d(3, 8, 3, padding=1), nn.Conv2d(8, 8, 3, 2, 1)
        self.up, self.out = nn.ConvTranspose2d(8, 8, 2, 2), nn.Conv2d(24, 2, 1)

    def forward(self, x: Tensor) -> Tensor:
        a = torch.relu(self.down(x))
        b = torch.nn.functional.gelu(self.middle(a))
        c = nn.functional.interpolate(b, scale_factor=2.0, mode="bilinear", align_corners=False)
        return self.out(torch.cat([a, self.up(b), c], 1))


class Attention(nn.Module):
    def __init__(self, width: int = 32, heads: int = 4) -> None:
        super().__init__()
        self.heads, self.qkv, self.out = heads, nn.Linear(width, 3 * width), nn.Linear(width, width)
        self.norm = nn.LayerNorm(width)

    def forward(self, x: Tensor) -> Tensor:
        n, t, w = x.shape
        q, k, v = self.qkv(self.norm(x)).view(n, t, 3, self.heads, w // self.heads).permute(2, 0, 3, 1, 4)
        weights = torch.softmax(q @ k.transpose(-2, -1) / math.sqrt(w // self.heads), -1)
        return x + self.out((weights @ v).transpose(1, 2).reshape(n, t, w))


class Bert(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.words, self.places = nn.Embedding(50, 32), nn.Embedding(16, 32)
        self.layer = nn.TransformerEncoderLayer(32, 4, 64, activation="gelu", batch_first=True)

    def forward(self, ids: Tensor) -> Tensor:
        return self.layer(self.words(ids) + self.places(torch.arange(ids.shape[1]))[None])


class Attend(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.inner = nn.MultiheadAttention(32, 4, batch_first=True)

    def forward(self, x: Tensor) -> Tensor:
        return self.inner(x, x, x, need_weights=False)[0]


class Vit(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.patch, self.token = nn.Conv2d(3, 32, 8, 8), nn.Parameter(torch.randn(1, 1, 32) * 0.1)
        self.block, self.head = Attention(), nn.Linear(32, 7)

    def forward(self, x: Tensor) -> Tensor:
        patches = self.patch(x).flatten(2).transpose(1, 2)
        return self.head(self.block(torch.cat([self.token.expand(x.shape[0], -1, -1), patches], 1))[:, 0])


class Tagger(nn.Module):
    def __init__(self, kind: type[nn.LSTM] | type[nn.GRU]) -> None:
        super().__init__()
        self.rnn, self.out = kind(6, 8, num_layers=2, bidirectional=True, batch_first=True), nn.Linear(16, 3)

    def forward(self, x: Tensor) -> Tensor:
        return self.out(self.rnn(x)[0])


class Two(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.a, self.b = nn.Linear(16, 8), nn.Linear(4, 8)

    def forward(self, x: Tensor, y: Tensor) -> tuple[Tensor, Tensor]:
        return self.a(x) + self.b(y), torch.tanh(self.a(x))


class Named(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.a = nn.Linear(4, 3)

    def forward(self, x: Tensor) -> dict[str, Tensor]:
        y = self.a(x)
        return {"logits": y, "probabilities": torch.softmax(y, -1)}


class Loop(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.step = nn.Linear(4, 4)

    def forward(self, x: Tensor) -> Tensor:
        count = 0
        while bool(x.abs().sum() > 1.0) and count < 20:
            x = torch.tanh(self.step(x)) * 0.7
            count += 1
        return x


class Branch(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.a, self.b = nn.Linear(4, 4), nn.Linear(4, 4)

    def forward(self, x: Tensor) -> Tensor:
        if bool(x.sum() > 0):
            return self.a(x)
        return self.b(x) * 2


class Sound(nn.Sequential):
    def __init__(self) -> None:
        super().__init__(
            nn.Conv1d(2, 8, 5, 2, 2),
            nn.PReLU(8),
            nn.Conv1d(8, 8, 3, padding=2, dilation=2, groups=2),
            nn.InstanceNorm1d(8),
            nn.ELU(),
        )


class Volume(nn.Sequential):
    def __init__(self) -> None:
        super().__init__(
            nn.Conv3d(1, 4, 3, 1, 1),
            nn.GroupNorm(2, 4),
            nn.SiLU(),
            nn.MaxPool3d(2),
            nn.Flatten(),
            nn.Linear(4 * 4 * 4 * 4, 3),
        )


def _traced(
    make: Callable[[], nn.Module],
    *examples: Tensor,
    file: str = "model.pth",
    config: str | None = None,
    script: bool = False,
) -> Model:
    def write(folder: Path) -> str | None:
        torch.manual_seed(5)
        module = make().eval()
        with warnings.catch_warnings(), torch.no_grad():
            warnings.simplefilter("ignore")
            made: Any = torch.jit.script(module) if script else torch.jit.trace(module, examples, strict=False)
            made.save(str(folder / file))
        return config

    return write


def _exported(make: Callable[[], nn.Module], *examples: Tensor) -> Model:
    def write(folder: Path) -> str | None:
        torch.manual_seed(5)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            torch.export.save(torch.export.export(make().eval(), examples), str(folder / "model.pt2"))
        return None

    return write


IMAGE, IDS = torch.zeros(1, 3, 32, 32), torch.zeros(1, 12, dtype=torch.int64)
MODELS: dict[str, Model] = {
    "resnet": _traced(Resnet, IMAGE, config='{"input0":[1,3,32,32]}'),
    "mobile": _traced(Mobile, IMAGE, file="model.pt", config="[[1,3,32,32]]"),
    "unet": _traced(Unet, IMAGE),
    "attention": _traced(Attention, torch.zeros(2, 9, 32)),
    "bert": _traced(Bert, IDS),
    "encoder-norm-first": _traced(
        lambda: nn.TransformerEncoderLayer(32, 4, 64, norm_first=True, batch_first=True), torch.zeros(2, 9, 32)
    ),
    "multihead": _traced(Attend, torch.zeros(2, 9, 32)),
    "vit": _traced(Vit, IMAGE),
    "lstm": _traced(lambda: Tagger(nn.LSTM), torch.zeros(1, 11, 6)),
    "gru": _traced(lambda: Tagger(nn.GRU), torch.zeros(1, 11, 6)),
    "two-inputs": _traced(Two, torch.zeros(2, 16), torch.zeros(2, 4)),
    "named-outputs": _traced(Named, torch.zeros(2, 4)),
    "scripted-resnet": _traced(Resnet, script=True, config="[[1,3,32,32]]"),
    "scripted-loop": _traced(Loop, script=True, config='{"x":[2,4]}'),
    "scripted-branch": _traced(Branch, script=True, config='{"x":[2,4]}'),
    "scripted-embedding": _traced(lambda: nn.Embedding(20, 4), script=True, config='{"ids":[1,5]}'),
    "sound": _traced(Sound, torch.zeros(1, 2, 50)),
    "volume": _traced(Volume, torch.zeros(1, 1, 8, 8, 8)),
    "exported-vit": _exported(Vit, IMAGE),
    "exported-two": _exported(Two, torch.zeros(2, 16), torch.zeros(2, 4)),
}

"""Trains the digits convnet that ships with the package, and writes it with sample images (torch, scikit-learn).

Run `python docs/tools/train_digits.py [FOLDER]`; the default folder is cli/neo_cli/quickstart. Data: scikit-learn's
bundled digits (1797 images of 8 x 8), of which every fifth is kept for testing. The seed is fixed.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

import numpy as np
import torch
from onnx import TensorProto, checker, helper, numpy_helper
from sklearn.datasets import load_digits
from torch import nn

FOLDER = Path(__file__).resolve().parents[2] / "cli" / "neo_cli" / "quickstart"
EPOCHS, BATCH = 60, 64
WIDTH = 24


def data() -> tuple[torch.Tensor, torch.Tensor, torch.Tensor, torch.Tensor]:
    """Training images and labels, test images and labels; pixels in [0, 1]."""
    digits = load_digits()
    images = torch.tensor(digits.images[:, None] / 16.0, dtype=torch.float32)
    labels = torch.tensor(digits.target)
    test = torch.arange(len(labels)) % 5 == 4
    return images[~test], labels[~test], images[test], labels[test]


def network() -> nn.Sequential:
    """Three convolutions, a pooling, two dense layers: 41 thousand parameters."""
    return nn.Sequential(
        nn.Conv2d(1, WIDTH, 3, padding=1), nn.ReLU(),
        nn.Conv2d(WIDTH, WIDTH * 2, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2),
        nn.Conv2d(WIDTH * 2, WIDTH * 2, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2), nn.Dropout(0.3),
        nn.Flatten(), nn.Linear(WIDTH * 8, 48), nn.ReLU(), nn.Linear(48, 10),
    )  # fmt: skip


def train() -> tuple[nn.Sequential, float]:
    """The trained network and its accuracy on the test images."""
    torch.manual_seed(7)
    x, y, test_x, test_y = data()
    net = network()
    optimizer = torch.optim.AdamW(net.parameters(), lr=2e-3, weight_decay=1e-2)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, 6e-3, total_steps=EPOCHS * (len(x) // BATCH + 1))
    for _ in range(EPOCHS):
        net.train()
        for rows in torch.randperm(len(x)).split(BATCH):
            shift = tuple(int(v) for v in torch.randint(-1, 2, (2,)))
            loss = nn.functional.cross_entropy(net(torch.roll(x[rows], shift, (2, 3))), y[rows], label_smoothing=0.05)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            schedule.step()
    net.eval()
    with torch.no_grad():
        accuracy = float((net(test_x).argmax(1) == test_y).float().mean())
    return net, accuracy


def graph(net: nn.Sequential) -> bytes:
    """The network with a softmax, as ONNX."""
    weights, nodes, value = [], [], "image"
    for index, layer in enumerate(net):
        after = f"v{index}"
        for name, tensor in layer.named_parameters():
            weights.append(numpy_helper.from_array(tensor.detach().numpy(), f"{name}{index}"))
        parameters = [value, f"weight{index}", f"bias{index}"]
        if isinstance(layer, nn.Conv2d):
            nodes.append(helper.make_node("Conv", parameters, [after], kernel_shape=[3, 3], pads=[1, 1, 1, 1]))
        elif isinstance(layer, nn.Linear):
            nodes.append(helper.make_node("Gemm", parameters, [after], transB=1))
        elif isinstance(layer, nn.ReLU):
            nodes.append(helper.make_node("Relu", [value], [after]))
        elif isinstance(layer, nn.MaxPool2d):
            nodes.append(helper.make_node("MaxPool", [value], [after], kernel_shape=[2, 2], strides=[2, 2]))
        elif isinstance(layer, nn.Flatten):
            nodes.append(helper.make_node("Flatten", [value], [after], axis=1))
        else:
            continue  # dropout does nothing here
        value = after
    nodes.append(helper.make_node("Softmax", [value], ["probabilities"], axis=1))
    image = helper.make_tensor_value_info("image", TensorProto.FLOAT, [1, 1, 8, 8])
    result = helper.make_tensor_value_info("probabilities", TensorProto.FLOAT, [1, 10])
    whole = helper.make_graph(nodes, "digits", [image], [result], weights)
    model = helper.make_model(whole, opset_imports=[helper.make_opsetid("", 17)], producer_name="neo-cli", ir_version=8)
    checker.check_model(model)
    return model.SerializeToString(deterministic=True)


def main(folder: Path = FOLDER) -> None:
    net, accuracy = train()
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "digits.onnx").write_bytes(graph(net))
    _, _, images, labels = data()
    np.savez_compressed(folder / "samples.npz", image=images.numpy())
    np.savez_compressed(folder / "labels.npz", probabilities=labels.numpy().astype(np.uint8))
    facts = {
        "accuracy": round(accuracy, 4),
        "test_images": len(labels),
        "parameters": sum(p.numel() for p in net.parameters()),
    }
    (folder / "facts.json").write_text(json.dumps(facts, indent=1) + "\n", encoding="utf-8")
    print(facts, (folder / "digits.onnx").stat().st_size, "bytes")


if __name__ == "__main__":
    main(*(Path(word) for word in sys.argv[1:2]))

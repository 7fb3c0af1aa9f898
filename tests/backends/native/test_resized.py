"""Linear resizing of signals, images and volumes stays on blocked layouts and is ONNX Runtime's."""

from __future__ import annotations

import numpy as np
import onnx
import pytest

from backends.graphs import feeds
from backends.native.windows import WIDTHS, agree
from models.builders import Graph

# input, output, mode of the coordinates
FORMS = [
    ((1, 19, 7, 9), (14, 18), "half_pixel"),
    ((2, 5, 6, 5), (17, 11), "align_corners"),
    ((1, 16, 12, 10), (5, 7), "asymmetric"),
    ((1, 3, 1, 1), (4, 6), "pytorch_half_pixel"),
    ((1, 8, 13), (29,), "half_pixel"),
    ((1, 21, 3, 5, 4), (6, 10, 8), "half_pixel"),
    ((2, 4, 4, 3, 6), (7, 5, 3), "align_corners"),
]


def resized() -> onnx.ModelProto:
    g, outputs = Graph("resized", 4), {}
    for index, (shape, size, mode) in enumerate(FORMS):
        one = [1] * len(size)

        def conv(x: str, cin: int, cout: int, one: list[int] = one) -> str:
            return g.op("Conv", x, g.constant(g.weights(cout, cin, *one, scale=cin**-0.5)), kernel_shape=one)

        x = conv(g.input(f"x{index}", shape), shape[1], shape[1])
        y = g.op("Resize", x, "", "", g.ints(*shape[:2], *size), mode="linear", coordinate_transformation_mode=mode)
        outputs[f"y{index}"] = (conv(y, shape[1], 4), [shape[0], 4, *size])
    return g.finish(outputs)


@pytest.mark.slow
@pytest.mark.parametrize("target", WIDTHS)
def test_every_form(start, target):
    engine = agree(start, target, resized(), 5e-6)
    text = (engine.library.path.parent.parent / "build0" / "3-layout.txt").read_text()
    assert text.count(" = fast.ResizeLinear(") == len(FORMS)


def test_the_bits_do_not_depend_on_the_number_of_threads(start):
    found = []
    for threads in (1, 3):
        model, engine = start(resized(), threads=threads)
        found.append(engine.run(feeds(model)))
    assert all(np.array_equal(found[0][key], found[1][key]) for key in found[0])

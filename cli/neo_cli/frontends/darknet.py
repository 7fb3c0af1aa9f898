"""DARKNET: one .cfg and one .weights, read without any Darknet, as a Model with input `data`."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import onnx

from neo_cli.base.errors import InputError
from neo_cli.frontends import darknet_convert, darknet_reference
from neo_cli.frontends.darknet_cfg import Section, Weights, only, read_cfg
from neo_cli.frontends.darknet_net import resolve
from neo_cli.model.inputs import Shapes
from neo_cli.model.model import Arrays, Model, Source, Tensor


def load(source: Source, shapes: Shapes | None) -> Model:
    """The Model of the archive's network; the shape is the request's first one, else the [net] section's.

    CompilerOptions `{"boxes": true}` makes the detection heads give decoded boxes.
    """
    cfg, weights = only(source.root, ".cfg"), only(source.root, ".weights")
    boxes = bool(source.options.get("boxes"))
    try:
        net, sections = read_cfg(cfg)
        shape = _shape(source, net, shapes)
        stream = Weights(weights)
        source.log(f"Model Version found: Darknet weights {stream.version}")
        layers = resolve(sections, stream, shape[1:])
        size = (shape[2], shape[3])
        graph = darknet_convert.convert(layers, shape, boxes, size)
    except (ValueError, onnx.checker.ValidationError) as error:  # CfgError, and what the graph refuses
        raise InputError(f"Unable to load DarkNet model. {error}") from error
    inputs = (Tensor("data", "float32", shape),)
    outputs = tuple(
        Tensor(o.name, "float32", tuple(d.dim_value for d in o.type.tensor_type.shape.dim)) for o in graph.graph.output
    )

    def oracle(arrays: Arrays) -> dict[str, np.ndarray]:
        found = darknet_reference.run(layers, np.asarray(arrays["data"]), boxes, size)
        return {o.name: y for o, y in zip(outputs, found)}

    derived = None if shapes is not None else '{"data":[' + ",".join(map(str, shape)) + "]}"
    return Model(graph, inputs, outputs, replace(source, path=cfg, inputs=inputs), oracle, derived)


def _shape(source: Source, net: Section, shapes: Shapes | None) -> tuple[int, int, int, int]:
    own = (net.positive("channels", 3), net.positive("height", 416), net.positive("width", 416))
    if shapes is None:
        return (1, *own)
    given = [*shapes.named.values(), *shapes.listed]
    if not given:
        raise InputError("DataInputConfig names no input.")
    if len(given) > 1:
        source.log("DataInputConfig: a DarkNet model has one input; the first shape is used.")
    first = given[0]
    if len(first) != 4:
        raise InputError(
            f"DataInputConfig gives {list(first)} for a DarkNet model; it must be [batch, channels, height, width]."
        )
    n, c, h, w = (size if size != -1 else own_size for size, own_size in zip(first, (1, *own)))
    if c != own[0]:
        raise InputError(
            f"DataInputConfig gives {c} channels in {list(first)}, the cfg has {own[0]}. "
            f"The layout is NCHW, for example {[1, *own]}."
        )
    if (h, w) != own[1:]:
        source.log(f"DataInputConfig gives {h}x{w}, the cfg {own[1]}x{own[2]}; the model is compiled for {h}x{w}.")
    return (n, c, h, w)

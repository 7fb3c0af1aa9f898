"""The other operators of ai.onnx.ml on numbers: linear models, support vectors, scaling, filling in, encoding."""

from __future__ import annotations

import math

import numpy as np

from neo_cli.backends.native.ir import Node
from neo_cli.backends.native.operators import Context, operator
from neo_cli.backends.native.ops import types
from neo_cli.backends.native.ops.expansions import Writer, expansion
from neo_cli.backends.native.ops.reading import integer, integers, needed, number, text
from neo_cli.backends.native.ops.tree_classes import POSTS
from neo_cli.backends.native.ops.trees import ML, labels_of


def _floats(node: Node, name: str) -> np.ndarray:
    return np.asarray(node.attrs.get(name, ()), np.float32)


def _shape(node: Node) -> tuple[int, int]:
    """(rows, features) of the input."""
    shape = needed(node, 0).shape
    return (shape[0], shape[-1]) if len(shape) > 1 else (1, shape[0] if shape else 1)


def _each(node: Node, ctx: Context, text_of: str) -> str:
    """One value `v` of column `c` at a time."""
    ctx.include("plain_trees.h")
    x, y = needed(node, 0), node.outputs[0]
    _, width = _shape(node)
    load, put = types.load(x.dtype, "x0", "i"), types.store(y.dtype, "y0", "i", text_of)
    return f"{{ SPLIT({x.size}); for (idx i = begin; i < end; i++) {{ const idx c = i % {width}; (void)c; const {types.compute(x.dtype)} v = {load}; {put} }} }}"


def _column(ctx: Context, values: np.ndarray) -> str:
    """A number for each column, or one for all."""
    return f"{ctx.constant(values)}[c]" if values.size > 1 else types.literal(values[0].item(), "float32")


@operator("Scaler", domain=ML)
def scaler(node: Node, ctx: Context) -> str:
    offset, scale = _floats(node, "offset"), _floats(node, "scale")
    return _each(node, ctx, f"((float)v - {_column(ctx, offset)}) * {_column(ctx, scale)}")


@operator("Binarizer", domain=ML)
def binarizer(node: Node, ctx: Context) -> str:
    return _each(node, ctx, f"(v > {types.literal(number(node, 'threshold', 0), 'float32')} ? 1 : 0)")


@operator("Imputer", domain=ML)
def imputer(node: Node, ctx: Context) -> str:
    if "imputed_value_floats" in node.attrs:
        filled, wanted = _column(ctx, _floats(node, "imputed_value_floats")), number(node, "replaced_value_float", 0)
        test = "v != v" if wanted != wanted else f"v == {types.literal(wanted, 'float32')}"
    else:
        table = np.asarray(integers(node, "imputed_value_int64s") or [0], np.int64)
        filled = f"{ctx.constant(table)}[c]" if table.size > 1 else str(int(table[0]))
        test = f"v == {integer(node, 'replaced_value_int64', 0)}"
    return _each(node, ctx, f"({test} ? {filled} : v)")


@operator("Normalizer", domain=ML)
def normalizer(node: Node, ctx: Context) -> str:
    """Rows divided by their largest element, sum of magnitudes or length; a row whose divisor is zero stays."""
    ctx.include("plain_trees.h")
    x = needed(node, 0)
    rows, width = _shape(node)
    load = f"(float){types.load(x.dtype, 'x0', f'i * {width} + c')}"
    start, step, end = {
        "MAX": (f"(float){types.load(x.dtype, 'x0', f'i * {width}')}", "v > a ? v : a", "a"),
        "L1": ("0", "a + pm_absf(v)", "a"),
        "L2": ("0", "a + v * v", "pm_sqrtf(a)"),
    }[text(node, "norm", "MAX")]
    return f"""{{ SPLIT({rows});
for (idx i = begin; i < end; i++) {{
float a = {start};
for (idx c = 0; c < {width}; c++) {{ const float v = {load}; a = {step}; }}
const float d = a == 0 ? 1 : {end};
for (idx c = 0; c < {width}; c++) y0[i * {width} + c] = {load} / d;
}} }}"""


@operator("LabelEncoder", domain=ML)
def label_encoder(node: Node, ctx: Context) -> str:
    """Keys to values, both numbers."""
    x, y = needed(node, 0), node.outputs[0]

    def listed(stem: str, dtype: str) -> np.ndarray:
        if f"{stem}_tensor" in node.attrs:
            return np.asarray(node.attrs[f"{stem}_tensor"]).reshape(-1)
        names = [f"{stem}_int64s", f"{stem}_floats"]
        found = next((node.attrs[n] for n in names if len(node.attrs.get(n, ()))), None)
        if found is None:
            raise ctx.refuse(node, "its keys or values are text")
        return np.asarray(found).astype(dtype)

    keys, values = listed("keys", x.dtype).astype(x.dtype), listed("values", y.dtype).astype(y.dtype)
    fallback = node.attrs.get("default_tensor")
    if fallback is not None and np.size(fallback):
        default = np.asarray(fallback).reshape(-1)[0].item()
    else:
        default = integer(node, "default_int64", -1) if y.dtype == "int64" else number(node, "default_float", 0.0)
    k, v = ctx.constant(keys), ctx.constant(values)
    nan = f" || ({k}[j] != {k}[j] && v != v)" if types.is_float(x.dtype) else ""
    ctx.include("plain_types.h")
    return f"""{{ SPLIT({x.size});
for (idx i = begin; i < end; i++) {{
const {types.compute(x.dtype)} v = x0[i];
{types.compute(y.dtype)} found = {types.literal(default, y.dtype)};
for (int j = 0; j < {keys.size}; j++) if ({k}[j] == v{nan}) {{ found = {v}[j]; break; }}
y0[i] = found;
}} }}"""


def dots(ctx: Context, node: Node, weights: np.ndarray, bias: np.ndarray) -> str:
    """float z[k] = bias[k] + sum of x[i, c] * weights[k, c]."""
    x = needed(node, 0)
    _, width = _shape(node)
    count = weights.size // width
    w = ctx.constant(weights)
    b = f"{ctx.constant(bias)}[k]" if bias.size == count else "0"
    load = types.load(x.dtype, "x0", f"i * {width} + c")
    return f"""float z[{count}];
for (int k = 0; k < {count}; k++) {{ float a = {b}; for (idx c = 0; c < {width}; c++) a += (float){load} * {w}[k * {width} + c]; z[k] = a; }}"""


def _post(node: Node, count: int) -> str:
    """The post transform over z[count]; a single number knows PROBIT only, as in ONNX Runtime."""
    post = text(node, "post_transform", "NONE")
    if post == "NONE" or (count == 1 and post != "PROBIT"):
        return ""
    return f"pm_post({POSTS.index(post)}, z, {count});"


@expansion("FeatureVectorizer", domain=ML)
def feature_vectorizer(w: Writer) -> None:
    """Columns of all inputs side by side, as floats; missing ones are zero."""
    sizes = [int(n) for n in w.attribute("inputdimensions", ())]
    parts = []
    for k in range(len(w.node.input)):
        shape = w.value(k).shape
        rows, width = (shape[0], math.prod(shape[1:])) if len(shape) > 1 else (1, shape[0])
        x = w.reshape(w.cast(w.name(k), "float32"), rows, width)
        wanted = sizes[k] if k < len(sizes) else width
        parts.append(w.cut(x, 1, 0, wanted) if wanted < width else x)
        if wanted > width:
            parts.append(w.const(np.zeros((rows, wanted - width))))
    w.op("Concat", *parts, out=w.result(0), axis=1)


@expansion("OneHotEncoder", domain=ML)
def one_hot_encoder(w: Writer) -> None:
    """A new last axis: 1 where the number is the category, cut to an integer first."""
    categories = w.attribute("cats_int64s", ())
    if not len(categories):
        raise w.refuse("its categories are text")
    x = w.reshape(w.cast(w.name(0), "int64"), *w.value(0).shape, 1)
    w.cast(w.op("Equal", x, w.const(list(categories), "int64")), "float32", out=w.result(0))


@operator("LinearRegressor", domain=ML)
def linear_regressor(node: Node, ctx: Context) -> str:
    ctx.include("plain_trees.h")
    rows, _ = _shape(node)
    targets = integer(node, "targets", 1)
    sums = dots(ctx, node, _floats(node, "coefficients"), _floats(node, "intercepts"))
    return f"""{{ SPLIT({rows});
for (idx i = begin; i < end; i++) {{
{sums}
{_post(node, targets)}
for (int k = 0; k < {targets}; k++) y0[i * {targets} + k] = z[k];
}} }}"""


@operator("LinearClassifier", domain=ML)
def linear_classifier(node: Node, ctx: Context) -> str:
    ctx.include("plain_trees.h")
    rows, width = _shape(node)
    labels, weights = labels_of(node, ctx, "classlabels_ints"), _floats(node, "coefficients")
    sums = dots(ctx, node, weights, _floats(node, "intercepts"))
    count, table = weights.size // width, ctx.constant(np.array(labels, np.int64))
    if count == 1 and len(labels) == 2:  # one score: the other class has its complement
        post = text(node, "post_transform", "NONE")
        if post == "PROBIT":
            raise ctx.refuse(node, "PROBIT of one score for two classes, which ONNX Runtime leaves half written")
        score = "pm_logistic(z[0])" if post == "LOGISTIC" else "z[0]"
        other = "pm_logistic(-z[0])" if post == "LOGISTIC" else "1 - z[0]"
        tail = f"y0[i] = {table}[z[0] > 0]; y1[i * 2] = {other}; y1[i * 2 + 1] = {score};"
    else:
        tail = f"""int best = 0;
for (int k = 1; k < {count}; k++) best = z[k] > z[best] ? k : best;
y0[i] = {table}[best];
{_post(node, count)}
for (int k = 0; k < {count}; k++) y1[i * {count} + k] = z[k];"""
    return f"{{ SPLIT({rows});\nfor (idx i = begin; i < end; i++) {{\n{sums}\n{tail}\n}} }}"


def _kernel(ctx: Context, node: Node, vectors: str, width: int) -> str:
    """float kernel(row i, support vector s) as a C expression `kv` after statements."""
    gamma, coef, degree = ([*(float(v) for v in node.attrs.get("kernel_params", ())), 0, 0, 0])[:3]
    x = needed(node, 0)
    load = f"(float){types.load(x.dtype, 'x0', f'i * {width} + c')}"
    g, b, d = (types.literal(v, "float32") for v in (gamma, coef, degree))
    kind = text(node, "kernel_type", "LINEAR")
    term = (
        f"const float d = {load} - {vectors}[s * {width} + c]; a += d * d;"
        if kind == "RBF"
        else f"a += {load} * {vectors}[s * {width} + c];"
    )
    end = {
        "RBF": f"pm_expf(-{g} * a)", "LINEAR": "a", "POLY": f"pm_powf({g} * a + {b}, {d})", "SIGMOID": f"pm_tanhf({g} * a + {b})",
    }[kind]  # fmt: skip
    return f"float a = 0; for (idx c = 0; c < {width}; c++) {{ {term} }} const float kv = {end};"


@operator("SVMRegressor", domain=ML)
def svm_regressor(node: Node, ctx: Context) -> str:
    """Kernels of the support vectors, or without any a product with the row; ONNX Runtime knows no post transform here."""
    ctx.include("plain_trees.h")
    rows, width = _shape(node)
    many, rho = integer(node, "n_supports", 0), _floats(node, "rho")
    one = "z[0] > 0 ? 1 : -1" if integer(node, "one_class", 0) else "z[0]"
    if many:
        w, v = ctx.constant(_floats(node, "coefficients")), ctx.constant(_floats(node, "support_vectors"))
        sums = f"""float z[1] = {{ {types.literal(rho[0].item() if rho.size else 0.0, "float32")} }};
for (idx s = 0; s < {many}; s++) {{ {_kernel(ctx, node, v, width)} z[0] += {w}[s] * kv; }}"""
    else:
        sums = dots(ctx, node, _floats(node, "coefficients"), rho[:1])
    return f"""{{ SPLIT({rows});
for (idx i = begin; i < end; i++) {{
{sums}
y0[i] = {one};
}} }}"""

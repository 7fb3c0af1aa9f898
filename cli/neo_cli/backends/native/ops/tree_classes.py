"""From the sums of a row's leaves to a label and scores, as ONNX Runtime does it for one, two and more classes.

Each function returns the statements for row `i`, whose sums are z[0 .. classes); `has` says for each class whether some
leaf of the row named it. What the specification leaves open was found by running ONNX Runtime 1.32; tests enumerate it.
"""

from __future__ import annotations

import numpy as np

from neo_cli.backends.native.ops import types

POSTS = ("NONE", "SOFTMAX", "LOGISTIC", "SOFTMAX_ZERO", "PROBIT")


def posted(post: str, count: int) -> str:
    """The post transform over `float p[count]`."""
    return f"pm_post({POSTS.index(post)}, p, {count});" if post != "NONE" else ""


def _number(value: float) -> str:
    return types.literal(value, "float64")


def one_class(base: np.ndarray, post: str) -> str:
    """The label is 1 or 0, whatever the one in the list; no post transform but PROBIT."""
    shift = f" + {_number(base[0].item())}" if base.size else ""
    score = "pm_probit(s)" if post == "PROBIT" else "s"
    return f"const float s = (float)(z[0]{shift}); y0[i] = s > 0; y1[i] = {score};"


def two_classes(base: np.ndarray, post: str, has: list[str], table: str, positive: bool, single: bool) -> str:
    """Where the second class has no score, the first one's stands for both, unless there are two base values.

    `positive`: no weight is negative, so that scores are taken for probabilities; `single`: the leaves name one class only.
    """
    first, second = (_number(v) for v in [*base.tolist(), 0.0, 0.0][:2])
    if base.size == 2:
        shift = f"if (h1) {{ p[1] = {second} + p[0]; p[0] = -p[1]; }} else {{ p[1] += {second}; p[0] += {first}; }}"
    else:
        shift = f"p[0] += {first};" if base.size else ""
    limit = "0.5f" if single and positive else "0"
    label = f"{table}[chosen > {limit}]" if single else f"chosen > {limit}"
    both = f"if (!h0) p[0] = 0; if (!h1) p[1] = 0; {posted(post, 2)}"
    if base.size != 2:
        both = f"if (h1) {{ {both} }} else {{ const float s = h0 ? p[0] : 0; {_lone(post, single and positive, bool(base.size) and not single)} }}"
    return f"""const int h0 = {has[0]}, h1 = {has[1]};
float p[2] = {{ (float)z[0], (float)z[1] }};
{shift}
const float chosen = h1 ? p[1] : (h0 ? p[0] : 0);
y0[i] = {label};
{both}
y1[i * 2] = p[0]; y1[i * 2 + 1] = p[1];"""


def _lone(post: str, positive: bool, alone: bool) -> str:
    """Both scores from the only one; what ONNX Runtime leaves unwritten is 0."""
    if post == "PROBIT":
        return "p[0] = pm_probit(s); p[1] = 0;"
    if alone:
        return "p[0] = s; p[1] = 0;"
    if post == "LOGISTIC":
        return "p[0] = pm_logistic(-s); p[1] = pm_logistic(s);"
    return f"p[0] = {'1 - s' if positive else '-s'}; p[1] = s;"


def many_classes(base: np.ndarray, post: str, has: list[str], table: str) -> str:
    """The largest score among the classes that have one; a base value is one."""
    count = len(has)
    lines = [f"float p[{count}]; int best = -1;"]
    for k, test in enumerate(has):
        shift = f" + {_number(base[k].item())}" if base.size else ""
        test = "1" if base.size else test
        lines.append(f"p[{k}] = (float)(z[{k}]{shift}); if ({test} && (best < 0 || p[{k}] > p[best])) best = {k};")
    lines.append(f"y0[i] = {table}[best < 0 ? 0 : best]; {posted(post, count)}")
    lines.append(f"for (int k = 0; k < {count}; k++) y1[i * {count} + k] = p[k];")
    return "\n".join(lines)

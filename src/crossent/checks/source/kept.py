"""What tensor operations leave of a value's nature, by the table of shapes; and which results cannot be large."""

from __future__ import annotations

from dataclasses import replace

from .shapes import kind_of
from .values import PROBABILITIES, Args, Items, Root, Tensor, Value, join, tensor

__all__ = ["calm_result", "joined", "kept"]

NATURES = ("softmax", "sigmoid", "log_softmax", "log_sigmoid", "linear", "label", "index", "one_hot")
AXES = {"select": 0, "narrow": 0, "index_select": 0, "unbind": 0, "chunk": 1, "split": 1, "tensor_split": 1,
        "unsafe_chunk": 1, "unsafe_split": 1, "split_with_sizes": 1, "array_split": 1, "unstack": 0}  # fmt: skip
FEWER = ("select", "unbind", "unstack")  # the axis goes
# Functions whose result is as large as what they are given, or larger; of the others an exponential is no mistake.
GROWING = """
matmul mm bmm dot vdot einsum linear bilinear addmm baddbmm tensordot inner outer add mul multiply relu leaky_relu
gelu elu silu selu mish conv1d conv2d conv3d square pow power cumsum T transpose sum mean dense load loadtxt randn
normal zeros ones rand uniform read_csv maximum abs input float int array stack predict forward apply
decision_function
"""
GROWS = frozenset(GROWING.split())


def kept(x: Tensor, name: str, args: Args, *, method: bool) -> Value | None:
    """The value of an operation that keeps what x is; None where it makes something new."""
    what = kind_of(name)
    if what is None or (not x.kind and what not in ("same", "layout")):
        return None
    if what == "same":
        return x
    if what == "layout":
        return replace(x, ndim=None, one_unit=None, column=False, axis=None)
    if x.kind not in NATURES:
        return None
    if what == "joined":
        return replace(x, width=None, root=Root())
    if what == "touched":
        return replace(x, touched=True, top=None, low=None, root=Root())
    if what == "elements":
        return replace(x, whole=False, width=None, ndim=None, root=Root())
    return _part(x, name, what, args, method=method)


def _part(x: Tensor, name: str, what: str, args: Args, *, method: bool) -> Value:
    """Some rows, or a list of them; along the axis of the classes of scores it is no whole row."""
    index = AXES.get(name)
    axis = args.constant(None if index is None else index + (not method), "dim", "axis", default=0)
    own = (1, -1) if x.axis is None else (x.axis,)
    few = x.kind in PROBABILITIES and name not in FEWER  # some classes of them are still no scores
    whole = x.whole and (index is None or axis not in own or few)
    ndim = x.ndim - 1 if name in FEWER and x.ndim is not None else x.ndim
    width = x.width if whole and axis not in own else None
    part = replace(x, whole=whole, width=width, ndim=ndim, one_unit=None, root=Root())
    return Items((), exact=False, rest=part) if what == "pieces" else part


def joined(parts: Items) -> Value:
    """Tensors put together: what they have in common."""
    values = [*parts.items, *([] if parts.rest is None else [parts.rest])]
    result = values[0] if values else tensor()
    for value in values[1:]:
        result = join(result, value)
    return result


def calm_result(name: str) -> bool:
    """Whether the result of a function that nobody knows is taken not to be large."""
    return name not in GROWS

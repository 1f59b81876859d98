"""Arrays that are made with a shape: how many axes they have, and whether the last is one unit wide."""

from __future__ import annotations

import ast

from .machine import Machine
from .values import Args, Constant, Items, Tensor, Value, tensor

__all__ = ["ELEMENTWISE", "created"]

SHAPED = ("torch", "numpy", "jax", "tensorflow")
BY_SHAPE = frozenset(["zeros", "ones", "empty", "randn", "rand", "full", "normal", "standard_normal", "random_sample"])
LIKE = frozenset(["zeros_like", "ones_like", "empty_like", "full_like", "rand_like", "randn_like"])
# Functions, methods and layers that leave the shape of what they are given, and nothing else of it.
NAMES = """
relu relu_ relu6 leaky_relu elu selu celu gelu silu mish hardswish tanh softplus abs square sqrt neg
layer_norm batch_norm instance_norm group_norm rms_norm normalize
ReLU ReLU6 LeakyReLU PReLU RReLU ELU SELU CELU GELU SiLU Mish Hardswish Hardtanh Tanh Softplus Softsign
LayerNorm RMSNorm GroupNorm BatchNorm1d BatchNorm2d BatchNorm3d InstanceNorm1d InstanceNorm2d
"""
ELEMENTWISE = frozenset(NAMES.split())


def created(machine: Machine, name: str, args: Args, node: ast.Call) -> Value | None:
    """torch.zeros(n, 1), np.ones((n, 1)), torch.zeros_like(x); None for what makes no array of a given shape."""
    del machine, node
    root, last = name.split(".", maxsplit=1)[0], name.rpartition(".")[2]
    if root not in SHAPED:
        return None
    x = args.get(0, "input", "a", "prototype")
    if last in LIKE and isinstance(x, Tensor):
        return tensor(ndim=x.ndim, column=x.column)
    shape = _shape(root, last, args) if last in BY_SHAPE and args.exact else None
    return None if shape is None else tensor(ndim=len(shape), column=len(shape) > 1 and shape[-1] == Constant(1))


def _shape(root: str, last: str, args: Args) -> tuple[Value, ...] | None:
    """The lengths of the axes, each given by itself or all in one tuple; None where one name may stand for all."""
    whole = args.get(2 if last == "normal" else 0, "size", "shape")
    if isinstance(whole, Items):
        return whole.items if whole.exact else None
    if last == "normal" or (root != "torch" and last not in ("randn", "rand")):
        return (whole,) if isinstance(whole, Constant) and isinstance(whole.value, int) else None
    if len(args.positional) == 1 and not isinstance(args.positional[0], Constant):
        return None
    return args.positional if last != "full" and args.positional else None

"""Methods that only a library knows: x.softmax(1), layers.append(…), model.to(device), loss.backward()."""

from __future__ import annotations

import ast
import functools
from dataclasses import replace

from . import judge, keras, sklearn
from .created import ELEMENTWISE
from .kept import calm_result, kept
from .layers import apply_layer
from .libraries import apply
from .machine import Machine, own_members
from .names import BOUNDED
from .operations import mark_threshold, reshaped
from .sequences import keep_parts, run_parts
from .values import (
    NONE,
    PROBABILITIES,
    UNKNOWN,
    Api,
    Args,
    Constant,
    Either,
    Instance,
    Items,
    Layer,
    Mapping,
    Method,
    Root,
    Super,
    Tensor,
    Value,
    join,
    tensor,
)

__all__ = ["call_method"]

ITSELF = frozenset(
    [
        "to",
        "cuda",
        "cpu",
        "eval",
        "train",
        "half",
        "float",
        "double",
        "bfloat16",
        "requires_grad_",
        "share_memory",
        "xpu",
        "type",
        "to_empty",
        "apply",
        "build",
    ]
)
SAME = frozenset(
    [
        "to",
        "cuda",
        "cpu",
        "contiguous",
        "clone",
        "numpy",
        "requires_grad_",
        "type_as",
        "double",
        "half",
        "bfloat16",
        "cuda",
        "xpu",
        "retain_grad",
        "copy",
    ]
)
SHAPES = frozenset(
    [
        "view",
        "reshape",
        "flatten",
        "squeeze",
        "transpose",
        "permute",
        "swapaxes",
        "t",
        "expand",
        "view_as",
        "reshape_as",
        "movedim",
        "ravel",
        "mT",
        "squeeze_",
    ]
)
FLOATS = ("float", "double", "half", "bfloat16")
INTEGERS = ("long", "int", "short", "byte")


def call_method(machine: Machine, method: Method, args: Args, node: ast.Call) -> Value:
    """The value of a method call."""
    owner, name = method.of, method.name
    if isinstance(owner, Items):
        return _of_items(machine, owner, name, args, method.node)
    if isinstance(owner, Either):
        values = [call_method(machine, Method(one, name, method.node), args, node) for one in owner.values]
        return functools.reduce(join, values)
    if isinstance(owner, Mapping):
        return _of_mapping(machine, owner, name, args, method.node)
    if isinstance(owner, Layer):
        return _of_layer(machine, owner, name, args, node)
    if isinstance(owner, Instance):
        return _of_instance(machine, owner, name, args, node)
    if isinstance(owner, Super):
        return _of_super(machine, owner, name, args, node)
    if isinstance(owner, Tensor):
        return _of_tensor(machine, owner, name, args, node)
    if owner is UNKNOWN:
        return _of_tensor(machine, tensor(), name, args, node)
    return tensor()


def _rebind(machine: Machine, node: ast.AST, value: Value) -> None:
    """The name or attribute whose list was changed in place has a new value."""
    if isinstance(node, ast.Attribute) and isinstance(node.value, (ast.Name, ast.Attribute, ast.Subscript)):
        machine.assign(node.value, value)


def _of_items(machine: Machine, owner: Items, name: str, args: Args, node: ast.AST) -> Value:
    first = args.get(0)
    if name == "append" and first is not None:
        _rebind(machine, node, Items((*owner.items, first), owner.exact, owner.rest))
        return NONE
    if name == "extend" and first is not None:
        tail = first if isinstance(first, Items) else Items((), exact=False)
        exact = owner.exact and tail.exact
        items = (*owner.items, *tail.items) if tail.exact else tail.items
        _rebind(machine, node, Items(items, exact, None if exact else owner.rest))
        return NONE
    if name in ("index", "count", "copy"):
        return owner if name == "copy" else UNKNOWN
    if name not in ("parameters", "children", "modules", "named_parameters", "to", "cuda"):
        _rebind(machine, node, UNKNOWN)
    return tensor()


def _of_mapping(machine: Machine, owner: Mapping, name: str, args: Args, node: ast.AST) -> Value:
    if owner.record and name == "apply_gradients":
        return owner
    if owner.record and name == "replace":
        return Mapping({**owner.items, **args.keywords}, record=True)
    if name == "get" and args.positional:
        key = args.constant(0)
        found = owner.items.get(key) if not isinstance(key, (list, slice)) else None
        return found if found is not None else tensor()
    if name == "values":
        return Items(tuple(owner.items.values()))
    if name == "items":
        return Items(tuple(Items((Constant(key), value)) for key, value in owner.items.items()))
    if name == "keys":
        return Items(tuple(Constant(key) for key in owner.items))
    if name == "update":
        other = args.get(0)
        more = other.items if isinstance(other, Mapping) else None
        _rebind(
            machine, node, Mapping({**owner.items, **(more or {}), **args.keywords}) if more is not None else UNKNOWN
        )
        return NONE
    if name in ("pop", "setdefault", "clear", "popitem"):
        _rebind(machine, node, UNKNOWN)
    return tensor()


def _of_layer(machine: Machine, owner: Layer, name: str, args: Args, node: ast.Call) -> Value:
    if owner.name.startswith("keras."):
        return keras.call_method(machine, owner, name, args, node)
    if owner.name.startswith("sklearn."):
        return sklearn.call_method(machine, owner, name, node)
    if name in ITSELF:
        return owner
    if name == "forward":
        return apply_layer(machine, owner, args, node)
    if name in ("apply",):
        return apply_layer(machine, owner, Args(args.positional[1:], {}, node, args.exact), node)
    if name in ("append", "add_module", "register_module"):
        _add_part(machine, owner, args.positional[-1] if args.positional else UNKNOWN)
        return owner
    if name in ("insert", "pop", "extend", "__setitem__", "__delitem__"):
        machine.store(owner.number, "#parts", UNKNOWN)
    return tensor()


def _add_part(machine: Machine, owner: Layer | Instance, part: Value) -> None:
    parts = machine.attribute(owner.number, "#parts")
    if isinstance(parts, Items):
        machine.store(owner.number, "#parts", Items((*parts.items, part), parts.exact, parts.rest))


def _of_instance(machine: Machine, owner: Instance, name: str, args: Args, node: ast.Call) -> Value:
    """What modules of every kind have: to, eval, add_module; apply of Flax; compile and fit of Keras."""
    if name == "apply" and _is_flax(owner):
        out = machine.call(owner, _without_variables(args, node), node)
        mutable = args.keywords.get("mutable")
        return Items((out, UNKNOWN)) if mutable is not None and mutable != Constant(False) else out
    if name in ("bind",) and _is_flax(owner):
        return owner
    if name in ITSELF:
        return owner
    if name in ("add_module", "register_module") and len(args.positional) == 2:
        key = args.constant(0)
        if isinstance(key, str):
            machine.store(owner.number, key, args.positional[1])
        _add_part(machine, owner, args.positional[1])
        return NONE
    if name == "compile":
        out = machine.call(owner, Args((tensor(),), {}, node), node)
        keras.compiled(machine, out, args, node)
        return NONE
    return tensor()


def _without_variables(args: Args, node: ast.Call) -> Args:
    drop = {"mutable", "rngs", "method", "train"}
    kept = {name: value for name, value in args.keywords.items() if name not in drop}
    if "train" in args.keywords:
        kept["train"] = args.keywords["train"]
    return Args(args.positional[1:], kept, node, args.exact)


def _is_flax(owner: Instance) -> bool:
    return any(
        isinstance(base, Api) and not base.name.startswith("torch.") for c in own_members(owner) for base in c.bases
    )


def _of_super(machine: Machine, owner: Super, name: str, args: Args, node: ast.Call) -> Value:
    """super().__init__(…) of a class derived from Sequential; super().forward(x) of one."""
    if name == "__init__":
        keep_parts(machine, owner.of, args)
        return NONE
    if name in ("forward", "__call__") and isinstance(machine.attribute(owner.of.number, "#parts"), Items):
        parts = machine.attribute(owner.of.number, "#parts")
        return run_parts(machine, parts, args.get(0) or tensor(), node) if isinstance(parts, Items) else tensor()
    return tensor()


# ---------------------------------------------------------------------- tensors


def _of_tensor(machine: Machine, x: Tensor, name: str, args: Args, node: ast.Call) -> Value:
    if name in ("softmax", "log_softmax") and _names_an_axis(args):
        return judge.softmax(machine, name, "Tensor", x, args, node, method=True)
    if name in ("sigmoid", "sigmoid_", "exp", "log", "argmax", "round") and (
        name in ("argmax",) or not args.positional
    ):
        what = name.rstrip("_")
        if what == "exp" and isinstance(node.func, ast.Attribute):
            return _exp(machine, x, node)
        return apply(machine, what, "torch.Tensor", x, args, node)
    if name in ("sum", "max", "amax", "logsumexp", "min", "topk", "sort", "mean"):
        return _reduced(machine, x, name, args, node)
    if name in ("clamp", "clip", "clamp_", "clamp_min"):
        return replace(x, guarded=True) if x.kind in PROBABILITIES else tensor("difference", bounded=True)
    if name in BOUNDED or name in ELEMENTWISE:
        return tensor(bounded=name in BOUNDED or calm_result(name), ndim=x.ndim)
    if name == "backward":
        judge.backward(machine, x, node)
        return NONE
    if name in ("detach", "detach_", "item", "numpy", "tolist"):
        return _cut(machine, x, name, node)
    if name in (*FLOATS, *INTEGERS, "to", "type", "astype"):
        return _cast(machine, x, name, args)
    if name in ("gt", "ge", "lt", "le", "greater"):
        if args.constant(0) == 0.5:
            mark_threshold(machine, x, node)
        return tensor("label", machine.place(node)) if x.kind in (*PROBABILITIES, "linear") else tensor()
    return _reshaped(machine, x, name, args, node)


def _names_an_axis(args: Args) -> bool:
    """Whether .softmax(…) is a tensor's: with one axis, by number or as dim."""
    first = args.get(0, "dim", "axis")
    return first is not None and len(args.positional) <= 2 and not isinstance(first, (Items, Mapping, Instance))


def _exp(machine: Machine, x: Tensor, node: ast.Call) -> Value:
    """x.exp(), as exp(x)."""
    function = node.func
    if not isinstance(function, ast.Attribute):
        return tensor()
    again = ast.copy_location(ast.Call(func=function, args=[function.value], keywords=[]), node)
    return apply(machine, "exp", "torch.Tensor", x, Args((x,), {}, again), again)


def _reduced(machine: Machine, x: Tensor, name: str, args: Args, node: ast.Call) -> Value:
    if name == "mean" and x.kind == "loss":
        return judge.mean(machine, x, node)
    if name == "sum":
        return replace(x, kind="sum_exp", root=Root()) if x.kind == "exp" else x if x.kind == "loss" else tensor()
    place = machine.place(node)
    if name == "mean":
        ensemble = args.constant(0, "dim", "axis", default=None) == 0 and x.kind in PROBABILITIES and x.ndim != 2
        return replace(x, touched=True, ndim=None, root=Root()) if ensemble else tensor()
    if name in ("topk", "sort"):
        return Items((tensor(origins=x.origins), tensor("label", place, floating=False)))
    if name == "max" and (args.positional or "dim" in args.keywords) and x.framework != "numpy":
        top = tensor("maximum", place, origins=x.origins)
        return Items((top, tensor("label", place, floating=False)))
    return tensor("maximum", place)


def _cut(machine: Machine, x: Tensor, name: str, node: ast.Call) -> Value:
    """A tensor without its graph; a loss's number."""
    if not x.kind:
        return x if name in ("detach", "numpy", "detach_") else tensor()
    if name == "tolist":
        return tensor()
    return replace(x, detached=machine.place(node))


def _cast(machine: Machine, x: Tensor, name: str, args: Args) -> Value:
    """The same numbers in another dtype, or on another device."""
    if name in FLOATS or name in INTEGERS:
        kind = x.kind or ("index" if name == "long" else "")
        return replace(x, kind=kind, floating=name in FLOATS)
    first = args.get(0, "dtype")
    if isinstance(first, Api):
        last = first.name.rpartition(".")[2]
        if "float" in last.lower() or last in ("double", "half", "bfloat16"):
            return replace(x, floating=True)
        if last in ("long", "int64", "int32", "int", "LongTensor"):
            return replace(x, floating=False)
    if name == "to" and isinstance(first, Constant) and isinstance(first.value, str):
        return x
    del machine
    return x if x.floating is None else replace(x, floating=x.floating if _is_device(first) else None)


def _is_device(first: Value | None) -> bool:
    return isinstance(first, Api) and "device" in first.name


def _reshaped(machine: Machine, x: Tensor, name: str, args: Args, node: ast.Call) -> Value:
    """Views, casts and copies of the same numbers; anything else is something new."""
    if name in ("view", "reshape"):
        shape = args.positional
        if len(shape) == 1 and isinstance(shape[0], Items):
            shape = shape[0].items
        column = len(shape) == 2 and shape[1] == Constant(1)
        ndim = len(shape) if args.exact and shape else None
        if ndim == 1 and not isinstance(shape[0], Constant):
            ndim = None
        return reshaped(x, column=column, ndim=ndim, whole=x.whole, one_unit=x.one_unit if column else None)
    if name in ("unsqueeze", "unsqueeze_"):
        after = args.constant(0, "dim") in (1, -1)
        return reshaped(x, column=after, ndim=None if x.ndim is None else x.ndim + 1)
    if name == "flatten":
        start = args.constant(0, "start_dim", default=0)
        return reshaped(x, ndim=1 if start == 0 else 2 if start == 1 and "end_dim" not in args.keywords else None)
    if name == "squeeze":
        fewer = x.ndim == 2 and x.one_unit is not None
        return reshaped(x, ndim=1 if fewer else None)
    if name in SHAPES:
        return reshaped(x)
    if name == "requires_grad_":
        return replace(x, detached=None)
    if name in SAME or (name == "mean" and x.kind == "loss"):
        return x
    value = kept(x, name, args, method=True)
    if value is None:
        judge.handed_over(machine, args, node)
    return tensor(bounded=calm_result(name), guess=x.guess) if value is None else value

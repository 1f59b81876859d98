"""Operators, indexing and attributes of tensors: what a result still is."""

from __future__ import annotations

import ast
from dataclasses import replace
from typing import Any

from .machine import Machine
from .values import PROBABILITIES, UNKNOWN, Constant, Items, Layer, Mapping, Method, Root, Tensor, Value, join, tensor

__all__ = ["attribute_of_tensor", "combined", "compared", "mark_threshold", "negated", "reshaped", "subscripted"]

SMALL = 1e-2  # a number added to a probability to keep its logarithm finite


def number(value: Value) -> float | None:
    """A constant number."""
    if isinstance(value, Constant) and isinstance(value.value, (int, float)) and not isinstance(value.value, bool):
        return float(value.value)
    return None


def reshaped(x: Tensor, **known: Any) -> Tensor:
    """The same numbers in another shape."""
    return replace(x, **{"ndim": None, "one_unit": None, "column": False, "axis": None, **known})


def negated(value: Value) -> Value:
    """-x: its exponential cannot be told to overflow, a loss stays one."""
    if isinstance(value, Tensor) and value.kind == "loss":
        return value
    return tensor("minus") if isinstance(value, Tensor) else UNKNOWN


def combined(machine: Machine, node: ast.AST, op: ast.operator, left: Value, right: Value) -> Value:
    """left op right."""
    if isinstance(left, Constant) and isinstance(right, Constant):
        return _constants(op, left.value, right.value)
    if isinstance(op, ast.Add) and isinstance(left, Items) and isinstance(right, Items):
        rests = [part.rest for part in (left, right) if part.rest is not None]
        rest = join(rests[0], rests[-1]) if rests else None
        return Items((*left.items, *right.items) if right.exact else right.items, left.exact and right.exact, rest)
    if isinstance(op, (ast.Add, ast.Sub)):
        return _sum(op, left, right)
    if isinstance(op, (ast.Div, ast.Mult)):
        return _ratio(machine, node, left, right) if isinstance(op, ast.Div) else _product(left, right)
    return tensor()


def _constants(op: ast.operator, a: Any, b: Any) -> Value:
    """Arithmetic of small constants."""
    try:
        if isinstance(op, ast.Add):
            return Constant(a + b)
        if isinstance(op, ast.Sub):
            return Constant(a - b)
        if isinstance(op, ast.Mult) and isinstance(a, (int, float)) and isinstance(b, (int, float)):
            return Constant(a * b)
    except (TypeError, ValueError, OverflowError):
        pass
    return UNKNOWN


def _sum(op: ast.operator, left: Value, right: Value) -> Value:
    """p + 1e-8 is guarded, 1 - p is the other class's, x - max(x) is shifted."""
    for x, other in ((left, right), (right, left)):
        if not isinstance(x, Tensor):
            continue
        constant = number(other)
        if constant is None and x.kind in PROBABILITIES and x is left and not isinstance(other, Tensor):
            return replace(x, guarded=True)
        if constant is None:
            continue
        if x.kind in PROBABILITIES and abs(constant) <= SMALL:
            return replace(x, guarded=True)
        if x.kind in PROBABILITIES and constant == 1 and isinstance(op, ast.Sub) and x is right:
            return replace(x, complement=not x.complement, root=Root())
        if x.kind == "exp" and constant == 1 and isinstance(op, ast.Add):
            return tensor("one_plus_exp", x.place, framework=x.framework)
        if x.kind == "loss" or (x.kind == "sum_exp" and abs(constant) <= SMALL):
            return x
    if isinstance(op, ast.Sub) and isinstance(right, Tensor) and right.kind == "maximum":
        return tensor("shifted")
    if isinstance(op, ast.Sub) or (isinstance(left, Tensor) and left.kind == "shifted"):
        return tensor("shifted" if isinstance(left, Tensor) and left.kind == "shifted" else "difference")
    return tensor()


def _product(left: Value, right: Value) -> Value:
    """A loss times a number is one; x - max(x) times a positive number is shifted still."""
    for x, other in ((left, right), (right, left)):
        if isinstance(x, Tensor) and x.kind and number(other) == 1:
            return x
        if isinstance(x, Tensor) and x.bounded and not x.kind and number(other) is not None:
            return replace(x, root=Root())
        if isinstance(x, Tensor) and x.kind in ("loss", "shifted", "minus", "difference") and not _is_loss(other):
            return replace(x, root=Root())
    return tensor()


def _is_loss(value: Value) -> bool:
    return isinstance(value, Tensor) and value.kind in ("loss", "linear")


def _ratio(machine: Machine, node: ast.AST, left: Value, right: Value) -> Value:
    """exp(x) / sum(exp(x)), 1 / (1 + exp(-x)), a loss over the number of micro-batches."""
    place = machine.place(node)
    if isinstance(left, Tensor) and isinstance(right, Tensor):
        if left.kind == "exp" and right.kind == "sum_exp" and left.of is not None and left.of == right.of:
            if not left.guarded:
                machine.find("X021", node)
            return tensor("softmax", place, framework="own")
        if left.kind == "exp" and right.kind == "one_plus_exp":
            return tensor("sigmoid", place, framework="own")
    if isinstance(right, Tensor) and right.kind == "one_plus_exp" and number(left) == 1:
        return tensor("sigmoid", place, framework="own")
    if isinstance(left, Tensor) and left.kind == "loss":
        divided = number(right) != 1
        return replace(left, of=("divided", left.of) if divided else left.of)
    if isinstance(left, Tensor) and left.kind in ("linear", "shifted", "minus", "difference"):
        return replace(left, root=Root(), detached=None)
    return tensor()


def compared(machine: Machine, node: ast.Compare, values: list[Value]) -> Value:
    """A comparison: of constants its truth, of a tensor with 0.5 a threshold."""
    if len(values) == 2:
        left, right = values
        for x, other in ((left, right), (right, left)):
            if isinstance(x, Tensor) and isinstance(node.ops[0], (ast.Gt, ast.GtE, ast.Lt, ast.LtE)):
                if number(other) == 0.5:
                    mark_threshold(machine, x, node)
                if number(other) is not None and x.kind in (*PROBABILITIES, "linear"):
                    return tensor("label", machine.place(node), floating=False)
        if isinstance(left, Constant) and isinstance(right, Constant):
            return _compared_constants(node.ops[0], left.value, right.value)
        if isinstance(node.ops[0], (ast.Is, ast.IsNot)) and right == Constant(None) and _is_something(left):
            return Constant(isinstance(node.ops[0], ast.IsNot))
    return tensor()


def _is_something(value: Value) -> bool:
    """Whether a value is certainly not None."""
    return (
        not isinstance(value, Constant) and value is not UNKNOWN and not (isinstance(value, Tensor) and not value.kind)
    )


def _compared_constants(op: ast.cmpop, a: Any, b: Any) -> Value:
    if isinstance(op, (ast.Eq, ast.Is)):
        return Constant(a == b)
    if isinstance(op, (ast.NotEq, ast.IsNot)):
        return Constant(a != b)
    return UNKNOWN


def mark_threshold(machine: Machine, x: Tensor, node: ast.AST) -> None:
    """x is compared with 0.5: a mistake if x is, or will be, given to a loss of logits."""
    place = machine.place(node)
    x.root.thresholds.append(place)
    loss = x.root.logits
    if x.kind == "linear" and x.place is not None and not x.touched:
        machine.thresholds.setdefault(x.place, []).append(place)
        loss = loss or machine.logits.get(x.place)
    if loss is not None and x.kind not in PROBABILITIES:
        machine.find("X026", place, loss, certain=x.certain)


def attribute_of_tensor(machine: Machine, x: Tensor, node: ast.Attribute) -> Value:
    """x.data is cut off from the graph, x.T is transposed; other attributes are values of their own."""
    if node.attr == "data" and x.kind:
        return replace(x, detached=machine.place(node))
    if node.attr in ("T", "mT", "H", "real"):
        return reshaped(x)
    if node.attr in ("shape", "dtype", "device", "size", "ndim", "grad"):
        return UNKNOWN
    return tensor()


def subscripted(machine: Machine, node: ast.Subscript, owner: Value, key: Value) -> Value:
    """owner[key]."""
    if isinstance(owner, Mapping):
        if isinstance(key, Constant):
            return owner.items.get(key.value, tensor()) if _hashable(key.value) else tensor()
        return _any_of(list(owner.items.values()))
    if isinstance(owner, Items):
        return _item(owner, key)
    if isinstance(owner, Tensor):
        return _selected(owner, node, key)
    if isinstance(owner, Method):
        return tensor()
    return _layer_item(machine, owner, key)


def _hashable(value: Any) -> bool:
    return not isinstance(value, (slice, list, dict))


def _any_of(values: list[Value]) -> Value:
    """One of several, which is not known."""
    if not values:
        return tensor()
    result = values[0]
    for value in values[1:]:
        result = join(result, value)
    return result


def _item(owner: Items, key: Value) -> Value:
    """An item, or a slice of a known sequence."""
    if isinstance(key, Constant) and isinstance(key.value, int):
        index = key.value
        if (owner.exact and -len(owner.items) <= index < len(owner.items)) or -len(owner.items) <= index < 0:
            return owner.items[index]
        return owner.rest or tensor()
    if isinstance(key, Constant) and isinstance(key.value, slice) and owner.exact:
        try:
            return Items(owner.items[key.value])
        except (TypeError, ValueError):
            return UNKNOWN
    return (
        _any_of([*owner.items, *([] if owner.rest is None else [owner.rest])])
        if owner.exact
        else owner.rest or tensor()
    )


def _layer_item(machine: Machine, owner: Value, key: Value) -> Value:
    """model[-1] of a sequence."""
    parts = machine.attribute(owner.number, "#parts") if isinstance(owner, Layer) else None
    if isinstance(parts, Items):
        found = _item(parts, key)
        return found if not isinstance(found, Items) else UNKNOWN
    return tensor()


def _selected(x: Tensor, node: ast.Subscript, key: Value) -> Value:
    """Rows stay rows; x[:, 1] and x[range(n), y] are single elements."""
    if not x.kind:
        return tensor()
    if x.kind in ("loss", "fresh"):
        return tensor()
    index = node.slice
    if isinstance(index, ast.Tuple) and index.elts:
        parts = index.elts
        if len(parts) == 2 and isinstance(parts[1], ast.Constant) and parts[1].value is None:
            return reshaped(x, column=True)
        last = parts[-1]
        whole = isinstance(last, ast.Slice) and last.lower is None and last.upper is None
        whole = whole or (isinstance(last, ast.Constant) and last.value is ...) or len(parts) < 2
        return reshaped(x, whole=x.whole and whole, width=x.width if whole else None, root=Root())
    if isinstance(index, ast.Slice) or not isinstance(key, Constant):
        return reshaped(x, ndim=x.ndim if isinstance(index, ast.Slice) else None, root=Root())
    return reshaped(x, root=Root(), whole=x.whole and x.ndim != 1)

"""Expressions: what is known of their value."""

from __future__ import annotations

import ast
from collections.abc import Callable, Sequence
from typing import Any

from .attributes import item_of, of_module
from .machine import Machine
from .operations import attribute_of_tensor, combined, compared, negated, subscripted
from .values import (
    UNKNOWN,
    Args,
    Constant,
    Function,
    Instance,
    Items,
    Layer,
    Lazy,
    Mapping,
    Method,
    ModuleValue,
    Tensor,
    Value,
    join,
    tensor,
)

__all__ = ["evaluate", "evaluate_all", "truth"]


def evaluate(machine: Machine, node: ast.expr) -> Value:
    """What is known of an expression; mistakes inside it are reported."""
    machine.step()
    action = EXPRESSIONS.get(type(node), _children)
    value = action(machine, node)
    if machine.project.uses is not None:
        machine.project.uses.seen(node, value)
    return value


def evaluate_all(machine: Machine, nodes: Sequence[ast.expr]) -> list[Value]:
    """The values of several expressions."""
    return [evaluate(machine, node) for node in nodes]


def _children(machine: Machine, node: ast.expr) -> Value:
    for child in ast.iter_child_nodes(node):
        if isinstance(child, ast.expr):
            evaluate(machine, child)
    return UNKNOWN


def truth(value: Value) -> bool | None:
    """Whether a condition holds, if that is known."""
    return bool(value.value) if isinstance(value, Constant) else None


def _constant(_: Machine, node: ast.Constant) -> Value:
    return Constant(node.value)


def _name(machine: Machine, node: ast.Name) -> Value:
    if node.id == "__name__":
        return Constant("__main__" if machine.module is machine.main else "module")
    if node.id == "TYPE_CHECKING":
        return Constant(False)
    value = machine.lookup(node.id)
    if isinstance(value, Lazy):
        value = of_module(machine, ModuleValue(value.module), value.name)
        machine.bind(node.id, value)
    return value


def _attribute(machine: Machine, node: ast.Attribute) -> Value:
    owner = evaluate(machine, node.value)
    value = item_of(machine, owner, node.attr, node)
    if isinstance(value, Method) and isinstance(value.of, (Tensor, Layer, Instance)):
        if isinstance(value.of, Tensor):
            return attribute_of_tensor(machine, value.of, node)
        return UNKNOWN if isinstance(value.of, Layer) else value
    if isinstance(value, Method) and isinstance(owner, Items) and owner.exact and len(owner.items) == 2:
        named = {"values": 0, "indices": 1}.get(node.attr)  # of max, topk, sort
        return value if named is None else owner.items[named]
    return value


def _call(machine: Machine, node: ast.Call) -> Value:
    function = node.func
    if isinstance(function, ast.Attribute):
        callee = item_of(machine, evaluate(machine, function.value), function.attr, function)
    else:
        callee = evaluate(machine, function)
    return machine.call(callee, arguments(machine, node), node)


def arguments(machine: Machine, node: ast.Call) -> Args:
    """The arguments of a call, evaluated."""
    positional: list[Value] = []
    exact = True
    for argument in node.args:
        if isinstance(argument, ast.Starred):
            value = evaluate(machine, argument.value)
            known = isinstance(value, Items)
            exact = exact and known and value.exact  # type: ignore[attr-defined]
            if not (known and value.exact):  # type: ignore[attr-defined]
                positional.append(UNKNOWN)
            positional += value.items if known else ()  # type: ignore[attr-defined]
        else:
            positional.append(evaluate(machine, argument))
    keywords: dict[str, Value] = {}
    for keyword in node.keywords:
        value = evaluate(machine, keyword.value)
        if keyword.arg is not None:
            keywords[keyword.arg] = value
        elif isinstance(value, Mapping):
            keywords.update({str(key): item for key, item in value.items.items()})
        else:
            exact = False
    return Args(tuple(positional), keywords, node, exact)


def _sequence(machine: Machine, node: ast.Tuple | ast.List) -> Value:
    items: list[Value] = []
    exact = True
    for element in node.elts:
        value = evaluate(machine, element.value if isinstance(element, ast.Starred) else element)
        if not isinstance(element, ast.Starred):
            items.append(value)
        elif isinstance(value, Items) and value.exact:
            items += value.items
        else:
            items, exact = [], False
    return Items(tuple(items), exact)


def _dictionary(machine: Machine, node: ast.Dict) -> Value:
    items: dict[Any, Value] = {}
    for key, part in zip(node.keys, node.values, strict=True):
        value = evaluate(machine, part)
        name = evaluate(machine, key) if key is not None else None
        if isinstance(name, Constant):
            items[name.value] = value
        elif key is None and isinstance(value, Mapping):
            items.update(value.items)
    return Mapping(items)


def _binary(machine: Machine, node: ast.BinOp) -> Value:
    left, right = evaluate(machine, node.left), evaluate(machine, node.right)
    return combined(machine, node, node.op, left, right)


def _unary(machine: Machine, node: ast.UnaryOp) -> Value:
    value = evaluate(machine, node.operand)
    if isinstance(node.op, ast.Not):
        known = truth(value)
        return UNKNOWN if known is None else Constant(not known)
    if isinstance(value, Constant) and isinstance(node.op, ast.USub) and isinstance(value.value, (int, float)):
        return Constant(-value.value)
    return negated(value) if isinstance(node.op, ast.USub) else UNKNOWN


def _boolean(machine: Machine, node: ast.BoolOp) -> Value:
    values = evaluate_all(machine, node.values)
    known = [truth(value) for value in values]
    if isinstance(node.op, ast.And):
        return Constant(False) if False in known else Constant(True) if None not in known else UNKNOWN
    if None not in known:
        return next((value for value, holds in zip(values, known, strict=True) if holds), values[-1])
    return UNKNOWN if True not in known[:1] else values[0]


def _compare(machine: Machine, node: ast.Compare) -> Value:
    values = evaluate_all(machine, [node.left, *node.comparators])
    return compared(machine, node, values)


def _conditional(machine: Machine, node: ast.IfExp) -> Value:
    known = truth(evaluate(machine, node.test))
    if known is not None:
        return evaluate(machine, node.body if known else node.orelse)
    return join(evaluate(machine, node.body), evaluate(machine, node.orelse))


def _subscript(machine: Machine, node: ast.Subscript) -> Value:
    owner = evaluate(machine, node.value)
    if isinstance(node.slice, ast.Slice):
        bounds = [
            None if part is None else evaluate(machine, part)
            for part in (node.slice.lower, node.slice.upper, node.slice.step)
        ]
        return subscripted(machine, node, owner, slice_bounds(bounds))
    return subscripted(machine, node, owner, evaluate(machine, node.slice))


def slice_bounds(bounds: list[Value | None]) -> Value:
    """A slice of constants, as a constant."""
    if all(part is None or isinstance(part, Constant) for part in bounds):
        return Constant(slice(*(part.value if isinstance(part, Constant) else None for part in bounds)))
    return UNKNOWN


def _lambda(machine: Machine, node: ast.Lambda) -> Value:
    function = Function(node, machine.module, machine.scope_here)
    machine.frame.nested.append(function)
    return function


def _comprehension(machine: Machine, node: ast.ListComp | ast.SetComp | ast.GeneratorExp) -> Value:
    for generator in node.generators:
        source = evaluate(machine, generator.iter)
        element = source.rest if isinstance(source, Items) and source.rest is not None else tensor()
        if isinstance(source, Items) and source.items:
            element = source.items[0]
            for other in source.items[1:]:
                element = join(element, other)
        machine.assign(generator.target, element)
        for condition in generator.ifs:
            evaluate(machine, condition)
    return Items((), exact=False, rest=evaluate(machine, node.elt))


def _dict_comprehension(machine: Machine, node: ast.DictComp) -> Value:
    for generator in node.generators:
        evaluate(machine, generator.iter)
        machine.assign(generator.target, tensor())
    evaluate(machine, node.key)
    evaluate(machine, node.value)
    return UNKNOWN


def _named(machine: Machine, node: ast.NamedExpr) -> Value:
    value = evaluate(machine, node.value)
    machine.bind(node.target.id, value)
    return value


def _yield(machine: Machine, node: ast.Yield | ast.YieldFrom | ast.Await) -> Value:
    value = UNKNOWN if node.value is None else evaluate(machine, node.value)
    return value if isinstance(node, ast.Await) else UNKNOWN


EXPRESSIONS: dict[type[ast.expr], Callable[[Machine, Any], Value]] = {
    ast.Constant: _constant,
    ast.Name: _name,
    ast.Attribute: _attribute,
    ast.Call: _call,
    ast.Tuple: _sequence,
    ast.List: _sequence,
    ast.Dict: _dictionary,
    ast.BinOp: _binary,
    ast.UnaryOp: _unary,
    ast.BoolOp: _boolean,
    ast.Compare: _compare,
    ast.IfExp: _conditional,
    ast.Subscript: _subscript,
    ast.Lambda: _lambda,
    ast.ListComp: _comprehension,
    ast.SetComp: _comprehension,
    ast.GeneratorExp: _comprehension,
    ast.DictComp: _dict_comprehension,
    ast.NamedExpr: _named,
    ast.Yield: _yield,
    ast.YieldFrom: _yield,
    ast.Await: _yield,
}

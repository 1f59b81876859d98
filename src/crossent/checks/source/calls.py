"""Calls: functions and methods of the project are run with what is known of their arguments."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from typing import Any

from . import judge
from .attributes import bound
from .classes import fields
from .layers import apply_layer
from .libraries import call_api
from .machine import DEEPEST, Frame, Machine, own_members
from .methods import call_method
from .sequences import keep_parts, run_parts
from .values import (
    NONE,
    SQUEEZED,
    UNKNOWN,
    Api,
    Args,
    Class,
    Constant,
    Either,
    Function,
    Instance,
    Items,
    Layer,
    Mapping,
    Method,
    Partial,
    Super,
    Tensor,
    Value,
    join,
    tensor,
)
from .worth import can_matter, matters

__all__ = ["call", "call_function", "instantiate"]

ENTRIES = ("__call__", "forward", "call")


def call(machine: Machine, callee: Value, args: Args, node: ast.Call) -> Value:
    """What a call gives."""
    value = _called(machine, callee, args, node)
    if machine.project.uses is not None:
        machine.project.uses.gave(callee, value, node)
    return value


def _called(machine: Machine, callee: Value, args: Args, node: ast.Call) -> Value:
    if isinstance(callee, Api):
        return _super(machine, args) if callee.name == "builtins.super" else call_api(machine, callee.name, args, node)
    if isinstance(callee, Function):
        given = (*args.positional, *args.keywords.values())
        if machine.project.uses is None and not any(map(matters, given)) and not can_matter(callee):
            return tensor()
        return call_function(machine, callee, args, node)
    if isinstance(callee, Class):
        return instantiate(machine, callee, args, node)
    if isinstance(callee, Instance):
        return call_instance(machine, callee, args, node)
    if isinstance(callee, Layer):
        return apply_layer(machine, callee, args, node)
    if isinstance(callee, Method):
        return call_method(machine, callee, args, node)
    if isinstance(callee, Partial):
        return _call_partial(machine, callee, args, node)
    if isinstance(callee, Either):
        return _each(machine, callee, args, node)
    judge.handed_over(machine, args, node)
    return tensor(guess=True, bounded=bool(CALM.search(getattr(node.func, "attr", getattr(node.func, "id", "")))))


CALM = re.compile(r"log|dist|sim|kernel|norm|sched", re.IGNORECASE)


def _each(machine: Machine, callee: Either, args: Args, node: ast.Call) -> Value:
    """Each of several objects that may be meant is called; what they find is possible."""
    machine.doubts += 1
    start, ends, value = machine.fork(), [], None
    for one in callee.values:
        machine.state = dict(start)
        given = call(machine, one, args, node)
        value = given if value is None else join(value, given)
        ends.append(machine.state)
    machine.state = machine.merged(ends)
    machine.doubts -= 1
    return tensor() if value is None else value


def _super(machine: Machine, args: Args) -> Value:
    """super() in a method."""
    frame = machine.frame
    me = args.positional[1] if len(args.positional) > 1 else frame.me
    if isinstance(me, Instance) and frame.function is not None and frame.function.home is not None:
        return Super(me, frame.function.home)
    return UNKNOWN


def _call_partial(machine: Machine, callee: Partial, args: Args, node: ast.Call) -> Value:
    """functools.partial; value_and_grad gives (value, gradient), vmap and jit give the value, grad gives neither."""
    if callee.wrap == "haiku" and isinstance(callee.of, Function):  # after parameters, and perhaps a random key
        count = len(callee.of.node.args.args)
        args = Args(args.positional[-count:] if count else (), args.keywords, node, args.exact)
    both = Args(
        (*callee.args.positional, *args.positional),
        {**callee.args.keywords, **args.keywords},
        node,
        callee.args.exact and args.exact,
    )
    value = call(machine, callee.of, both, node)
    if callee.wrap == "value_and_grad":
        return Items((value, UNKNOWN))
    return UNKNOWN if callee.wrap == "grad" else value


def call_instance(machine: Machine, callee: Instance, args: Args, node: ast.Call) -> Value:
    """model(x): the method that its library calls."""
    for name in ENTRIES:
        for base in own_members(callee):
            member = base.members.get(name)
            if isinstance(member, Function):
                method = bound(machine, member, callee, node)
                return call(machine, method, args, node) if isinstance(method, Function) else tensor()
    parts = machine.attribute(callee.number, "#parts")
    if isinstance(parts, Items):
        return run_parts(machine, parts, args.get(0) or tensor(), node)
    return tensor()


def instantiate(machine: Machine, of: Class, args: Args, node: ast.AST, number: Any = None) -> Value:
    """An object of a class of the project: its __init__ is run, or its fields are filled."""
    path = tuple(id(frame.function.node) for frame in machine.frames if frame.function is not None)
    instance = Instance(of, (id(node), *path) if number is None else number)
    init = next((c.members["__init__"] for c in own_members(instance) if "__init__" in c.members), None)
    names = fields(of)
    if isinstance(init, Function):
        method = bound(machine, init, instance, node)
        if isinstance(method, Function):
            call_function(machine, method, args, node, generic=number is not None)
    elif names is not None:
        _fill(machine, instance, names, args)
    else:
        keep_parts(machine, instance, args)
    return instance


def _fill(machine: Machine, instance: Instance, names: list[str], args: Args) -> None:
    """The fields of a dataclass; one that is left out has its default, if that is a constant of the class body."""
    for index, name in enumerate(names):
        value = args.get(index, name)
        default = instance.of.members.get(name, UNKNOWN) if args.exact else UNKNOWN
        machine.store(instance.number, name, value if value is not None else default)


def call_function(machine: Machine, function: Function, args: Args, node: ast.AST, *, generic: bool = False) -> Value:
    """Run a function's body with these arguments; a recursive or too deep call gives nothing."""
    active = [frame.function.node for frame in machine.frames if frame.function is not None]
    if len(active) >= DEEPEST or function.node in active:
        return tensor()
    if machine.steps > machine.limit and not generic:
        name = getattr(function.node, "name", "a lambda")
        machine.skipped.append(f"it takes too many steps: the call of {name} was not followed")
        return tensor()
    if machine.project.uses is not None:
        machine.project.uses.ran(function.node, node, generic=generic)
    if not generic and any(_is_real(value) for value in (*args.positional, *args.keywords.values())):
        machine.real.add(function.node)
    if not generic and any(isinstance(value, Tensor) and value.kind in SHOWN for value in args.positional):
        machine.shown.add(function.node)
    key = None if generic else machine.memory.key(function, args, machine.version)
    known = machine.memory.recall(key)
    if known is not None:
        return known
    value = _run(machine, function, args, node, generic=generic)
    entry = function.owner is not None and getattr(function.node, "name", "") in ENTRIES
    if entry and isinstance(value, Tensor) and value.kind in SQUEEZED and value.certain:
        machine.endings.append(value)
    machine.memory.keep(key, value)
    return value


def _is_real(value: Value) -> bool:
    """Whether an argument is more than a constant of a demonstration."""
    return not isinstance(value, Constant) and not (isinstance(value, Tensor) and value.kind in SHOWN)


SHOWN = ("fresh", "index")  # arrays of written-out numbers


def _run(machine: Machine, function: Function, args: Args, node: ast.AST, *, generic: bool) -> Value:
    """The function's body in a frame of its own."""
    frame = machine.new_frame(function.module, function.scope, function)
    frame.me = function.owner
    if isinstance(node, ast.Call) and not generic and hasattr(node, "lineno"):
        frame.call = machine.place(node)
    machine.frames.append(frame)
    try:
        _bind_parameters(machine, frame, function, args, generic=generic)
        machine.seen.add(function.node)
        value = _body(machine, frame, function)
    finally:
        machine.frames.pop()
    if not any(isinstance(inner, Function) for inner in frame.nested):
        machine.forget(frame.number)
    return tensor() if function.opaque else value


def _body(machine: Machine, frame: Frame, function: Function) -> Value:
    """The function's value: the join of what it returns; functions in it that nobody called are looked at too."""
    if isinstance(function.node, ast.Lambda):
        return machine.evaluate(function.node.body)
    machine.run(function.node.body)
    for inner in frame.nested:
        if inner.node not in machine.seen:
            call_function(machine, inner, Args((), {}, exact=False), inner.node, generic=True)
    value: Value | None = None
    for returned in frame.returns:
        value = returned if value is None else join(value, returned)
    if _generates(function):
        return UNKNOWN
    return NONE if value is None else value


def _generates(function: Function) -> bool:
    """Whether a function is a generator."""
    node = function.node
    lines = function.module.source.lines[node.lineno - 1 : node.end_lineno]
    if not any("yield" in line for line in lines):
        return False
    return any(isinstance(inner, (ast.Yield, ast.YieldFrom)) for inner in _own_nodes(node))


def _own_nodes(node: ast.AST) -> Iterator[ast.AST]:
    """The nodes of a function without those of functions inside it."""
    for child in ast.iter_child_nodes(node):
        if not isinstance(child, (ast.FunctionDef, ast.AsyncFunctionDef, ast.Lambda, ast.ClassDef)):
            yield child
            yield from _own_nodes(child)


def _bind_parameters(machine: Machine, frame: Frame, function: Function, args: Args, *, generic: bool) -> None:
    """Give each parameter its argument, its default, or nothing known."""
    spec = function.node.args
    names = [parameter.arg for parameter in [*spec.posonlyargs, *spec.args]]
    given = list(args.positional) if args.exact else []
    if function.owner is not None:
        given.insert(0, function.owner)
    defaults: dict[str, ast.expr | None] = dict(
        zip(names[len(names) - len(spec.defaults) :], spec.defaults, strict=True)
    )
    defaults |= dict(zip([parameter.arg for parameter in spec.kwonlyargs], spec.kw_defaults, strict=True))
    bound_names = dict(zip(names, given, strict=False)) | {
        name: value for name, value in args.keywords.items() if name in {*names, *defaults}
    }
    for name in [*names, *(parameter.arg for parameter in spec.kwonlyargs)]:
        default = defaults.get(name)
        if name in bound_names:
            value = bound_names[name]
        elif default is not None and args.exact and not generic:
            value = machine.evaluate(default)
        else:
            value = tensor()
        machine.state[frame.number, name] = value
    if spec.vararg is not None:
        rest = given[len(names) :]
        machine.state[frame.number, spec.vararg.arg] = Items(tuple(rest), exact=args.exact and not generic)
    if spec.kwarg is not None:
        others = {name: value for name, value in args.keywords.items() if name not in bound_names}
        machine.state[frame.number, spec.kwarg.arg] = Mapping(others) if args.exact and not generic else UNKNOWN

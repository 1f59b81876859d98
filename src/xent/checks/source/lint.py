"""Runs a file: its own code first, then every function and method that nobody called, with nothing known of its arguments."""

from __future__ import annotations

import ast
from collections import Counter
from collections.abc import Callable

from .calls import call_function, instantiate
from .machine import Found, Frame, Machine, OutOfBudget
from .project import Module, Project
from .statements import run
from .values import UNKNOWN, Args, Class, Function, Instance

__all__ = ["load", "look_at"]

FIRST = ("__init__", "setup", "build", "build_model", "configure_model", "_build", "init_model", "create_model")


def look_at(project: Project, module: Module, report: Callable[[Found], None]) -> None:
    """Report every mistake that can be seen in a module."""
    if module.source.tree is None:
        return
    machine = Machine(project, module, report)
    try:
        _top(machine, module)
        for function in list(machine.functions):
            if function.node not in machine.seen:
                _alone(machine, module, function)
        for of in list(machine.classes):
            _class(machine, module, of)
    except (OutOfBudget, RecursionError):
        pass  # what was found so far stands


def _top(machine: Machine, module: Module) -> None:
    """The module's own statements, and the functions in them."""
    tree = module.source.tree
    assert tree is not None
    machine.frames.append(Frame(module.number, module, ()))
    module.running = True
    try:
        run(machine, tree.body)
    finally:
        module.running = False


def load(project: Project, module: Module, report: Callable[[Found], None]) -> None:
    """Run a module that another one imports, once, for its names."""
    if module.ready or module.running or module.source.tree is None:
        return
    module.ready = True
    machine = Machine(project, Module(module.source, module.number), lambda found: None)
    machine.main = Module(module.source, 0)
    try:
        _top(machine, module)
    except (OutOfBudget, RecursionError):
        pass
    module.names = {key[1]: value for key, value in machine.state.items() if key[0] == module.number}
    project.heap.update({key: value for key, value in machine.state.items() if not isinstance(key[0], int) or key[0] >= 0})
    del report


def _alone(machine: Machine, module: Module, function: Function) -> None:
    """A function with nothing known of its arguments."""
    start = machine.fork()
    try:
        call_function(machine, function, Args((), {}, exact=False), function.node, generic=True)
    except RecursionError:
        pass
    del machine.frames[1:]
    machine.state = start


def _class(machine: Machine, module: Module, of: Class) -> None:
    """The methods of a class, on an object that was made with nothing known."""
    methods = [member for member in of.members.values() if isinstance(member, Function)]
    if all(method.node in machine.seen for method in methods):
        return
    start = machine.fork()
    instance = instantiate(machine, of, Args((), {}, exact=False), of.node, number=("class", id(of.node)))
    if isinstance(instance, Instance):
        volatile = _volatile(of)
        methods.sort(key=lambda method: FIRST.index(_name(method)) if _name(method) in FIRST else len(FIRST))
        for method in methods:
            if method.node not in machine.seen:
                for name in volatile:
                    machine.store(instance.number, name, UNKNOWN)
                owner = instance if "staticmethod" not in _decorators(method) else None
                bound = Function(method.node, method.module, method.scope, owner, of, method.opaque)
                call_function(machine, bound, Args((), {}, exact=False), method.node, generic=True)
    machine.state = start
    del module


def _name(function: Function) -> str:
    return getattr(function.node, "name", "")


def _decorators(function: Function) -> set[str]:
    return {getattr(d, "id", getattr(d, "attr", "")) for d in getattr(function.node, "decorator_list", [])}


def _volatile(of: Class) -> set[str]:
    """Attributes that several methods assign: what they hold depends on which of them ran."""
    count: Counter[str] = Counter()
    for method in of.members.values():
        if isinstance(method, Function):
            count.update(_assigned(method.node))
    return {name for name, times in count.items() if times > 1}


def _assigned(node: ast.AST) -> set[str]:
    """The attributes of self that a method gives a value other than None."""
    names = set()
    for inner in ast.walk(node):
        if isinstance(inner, ast.Assign) and not (isinstance(inner.value, ast.Constant) and inner.value.value is None):
            for target in inner.targets:
                if isinstance(target, ast.Attribute) and isinstance(target.value, ast.Name) and target.value.id == "self":
                    names.add(target.attr)
    return names

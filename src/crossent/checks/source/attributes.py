"""owner.name: attributes of modules, objects, classes and layers; a property is called at once."""

from __future__ import annotations

import ast
from typing import cast

from .machine import Machine, own_members
from .values import (
    UNKNOWN,
    Api,
    Args,
    Class,
    Constant,
    Either,
    Function,
    Instance,
    Layer,
    Lazy,
    Mapping,
    Method,
    ModuleValue,
    Super,
    Value,
    join,
)

__all__ = ["bound", "item_of", "of_module"]


def item_of(machine: Machine, owner: Value, name: str, node: ast.AST) -> Value:
    """owner.name; a Method where only the library knows what it is."""
    if isinstance(owner, Api):
        return Api(f"{owner.name}.{name}")
    if isinstance(owner, ModuleValue):
        return of_module(machine, owner, name)
    if isinstance(owner, Instance):
        return _of_instance(machine, owner, name, node)
    if isinstance(owner, Super):
        return _of_super(machine, owner, name, node)
    if isinstance(owner, Class):
        for base in own_members(Instance(owner, None)):
            if name in base.members:
                return base.members[name]
        return UNKNOWN
    if isinstance(owner, Layer):
        stored = machine.attribute(owner.number, name)
        return stored if stored is not None else Method(owner, name, node)
    if isinstance(owner, Either):
        return _of_either(machine, owner, name, node)
    if isinstance(owner, Mapping) and owner.record and name in owner.items:
        return owner.items[name]
    return Method(owner, name, node)


def _of_either(machine: Machine, owner: Either, name: str, node: ast.AST) -> Value:
    """An attribute of one of several objects."""
    values = [item_of(machine, one, name, node) for one in owner.values]
    if all(isinstance(value, Method) for value in values):
        return Method(owner, name, node)
    result = values[0]
    for value in values[1:]:
        result = join(result, value)
    return result


def of_module(machine: Machine, owner: ModuleValue, name: str) -> Value:
    """A name of a module of the project, which is run the first time it is asked; or a module inside a package."""
    machine.load(owner.module)
    if name in owner.module.names:
        value: Value = owner.module.names[name]
        if isinstance(value, Lazy):
            owner.module.names[name] = UNKNOWN  # for modules that import each other
            value = owner.module.names[name] = of_module(machine, ModuleValue(value.module), value.name)
        return value
    inner = machine.project.find(name, 1, owner.module.path) if owner.module.path.endswith("__init__.py") else None
    return UNKNOWN if inner is None else ModuleValue(inner)


def _of_instance(machine: Machine, owner: Instance, name: str, node: ast.AST) -> Value:
    """An attribute of an object: stored, or a method or value of its classes."""
    stored = machine.attribute(owner.number, name)
    if stored is not None:
        return stored
    if name == "training":
        return Constant(True)
    for base in own_members(owner):
        member = base.members.get(name)
        if isinstance(member, Function):
            return bound(machine, member, owner, node)
        if member is not None:
            return member
    return Method(owner, name, node)


def _of_super(machine: Machine, owner: Super, name: str, node: ast.AST) -> Value:
    """A method of the classes after the one that asks."""
    classes = list(own_members(owner.of))
    later = classes[classes.index(owner.after) + 1 :] if owner.after in classes else []
    for base in later:
        member = base.members.get(name)
        if isinstance(member, Function):
            return bound(machine, member, owner.of, node)
    return Method(owner, name, node)


def bound(machine: Machine, function: Function, owner: Value, node: ast.AST) -> Value:
    """A function as a method of owner; a property is called at once."""
    names = [getattr(d, "id", getattr(d, "attr", "")) for d in getattr(function.node, "decorator_list", [])]
    if "staticmethod" in names:
        return function
    method = Function(function.node, function.module, function.scope, owner, function.home, function.opaque)
    if {"property", "cached_property"} & set(names):
        return machine.call(method, Args((), {}), cast(ast.Call, node))
    return method

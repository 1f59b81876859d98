"""Sequences of layers: what Sequential(…) was given, one layer after another, classes derived from it."""

from __future__ import annotations

import ast

from .machine import Machine, own_members
from .values import UNKNOWN, Api, Args, Instance, Items, Mapping, Value, tensor

__all__ = ["keep_parts", "parts_of", "run_parts"]


def parts_of(args: Args) -> Items:
    """The layers of Sequential(…): given one by one, as a list, or by name."""
    first = args.get(0)
    if len(args.positional) == 1 and isinstance(first, Mapping):
        return Items(tuple(first.items.values()))
    if len(args.positional) == 1 and isinstance(first, Items):
        return first
    hidden = [index for index, value in enumerate(args.positional) if value is UNKNOWN]
    if args.exact:
        return Items(args.positional)
    return Items(args.positional[hidden[-1] + 1 :] if hidden else (), exact=False)


def run_parts(machine: Machine, parts: Items, x: Value, node: ast.Call) -> Value:
    """One layer after another; before the known ones anything may happen."""
    value: Value = x if parts.exact else tensor()
    for part in parts.items:
        value = machine.call(part, Args((value,), {}, node), node) if part is not UNKNOWN else tensor()
    return value


def keep_parts(machine: Machine, instance: Instance, args: Args) -> None:
    """A class derived from Sequential keeps its layers."""
    if any(
        isinstance(base, Api) and base.name.endswith("Sequential") for c in own_members(instance) for base in c.bases
    ):
        machine.store(instance.number, "#parts", parts_of(args))

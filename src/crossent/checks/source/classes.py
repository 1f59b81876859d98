"""Definitions of functions and classes."""

from __future__ import annotations

import ast

from .machine import Machine
from .values import UNKNOWN, Api, Class, Function, Value

__all__ = ["FLAX", "define_class", "define_function", "fields"]

# Decorators that leave a function's result as it is.
PLAIN = frozenset(
    [
        "jit",
        "pmap",
        "function",
        "no_grad",
        "inference_mode",
        "enable_grad",
        "set_grad_enabled",
        "compile",
        "wraps",
        "lru_cache",
        "cache",
        "property",
        "cached_property",
        "staticmethod",
        "classmethod",
        "abstractmethod",
        "script",
        "compact",
        "remat",
        "checkpoint",
        "contextmanager",
        "override",
        "autocast",
        "custom_fwd",
        "typechecked",
        "jaxtyped",
        "rank_zero_only",
        "unused",
        "nowrap",
        "partial",
        "filter_jit",
        "torch_no_grad",
        "njit",
        "timeit",
        "parametrize",
        "fixture",
        "command",
        "option",
        "main",
        "setter",
        "overload",
        "register_keras_serializable",
        "ignore",
        "export",
        "slow",
    ]
)

FLAX = ("flax.linen.Module", "equinox.Module", "linen.Module")


def define_function(machine: Machine, node: ast.FunctionDef | ast.AsyncFunctionDef) -> None:
    """Bind a function's name."""
    for default in [*node.args.defaults, *(d for d in node.args.kw_defaults if d is not None)]:
        machine.evaluate(default)
    function = _function(machine, node)
    machine.bind(node.name, function)
    if machine.frame.function is None:
        machine.functions.append(function)
    else:
        machine.frame.nested.append(function)


def _function(machine: Machine, node: ast.FunctionDef | ast.AsyncFunctionDef) -> Function:
    opaque = not all(_last_name(decorator) in PLAIN for decorator in node.decorator_list)
    return Function(node, machine.module, machine.scope_here, opaque=opaque)


def _last_name(decorator: ast.expr) -> str:
    """The last part of a decorator's name: of @torch.no_grad() no_grad."""
    if isinstance(decorator, ast.Call):
        decorator = decorator.func
    return decorator.attr if isinstance(decorator, ast.Attribute) else getattr(decorator, "id", "")


def define_class(machine: Machine, node: ast.ClassDef) -> None:
    """Bind a class: its methods, and the constants of its body."""
    bases = tuple(machine.evaluate(base) for base in node.bases)
    members: dict[str, Value] = {}
    of = Class(node, machine.module, bases, members, machine.frame.number)
    for statement in node.body:
        if isinstance(statement, (ast.FunctionDef, ast.AsyncFunctionDef)):
            function = _function(machine, statement)
            members[statement.name] = Function(
                function.node, function.module, function.scope, home=of, opaque=function.opaque
            )
        elif isinstance(statement, (ast.Assign, ast.AnnAssign)) and statement.value is not None:
            value = machine.evaluate(statement.value)
            for target in statement.targets if isinstance(statement, ast.Assign) else [statement.target]:
                if isinstance(target, ast.Name):
                    members[target.id] = value
        elif isinstance(statement, ast.ClassDef):
            define_class(machine, statement)
            members[statement.name] = machine.lookup(statement.name)
        elif isinstance(statement, ast.If):
            _branches(statement, members)
    machine.bind(node.name, of)
    machine.classes.append(of)


def _branches(node: ast.If, members: dict[str, Value]) -> None:
    """Members that are defined under a condition are not known."""
    for inner in ast.walk(node):
        if isinstance(inner, (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)):
            members[inner.name] = UNKNOWN


def fields(of: Class) -> list[str] | None:
    """The fields of a dataclass or NamedTuple, in order; None for other classes."""
    decorated = any(_last_name(decorator) in ("dataclass", "struct") for decorator in of.node.decorator_list)
    named = any(
        isinstance(base, Api) and base.name in ("typing.NamedTuple", "flax.struct.PyTreeNode") for base in of.bases
    )
    flax = any(isinstance(base, Api) and base.name in FLAX for base in of.bases)
    if not (decorated or named or flax):
        return None
    return [s.target.id for s in of.node.body if isinstance(s, ast.AnnAssign) and isinstance(s.target, ast.Name)]

"""Label smoothing written by hand: whether the weights of all classes add up to one."""

from __future__ import annotations

import ast
import re

from .machine import Machine

__all__ = ["look_at_smoothing"]

CLASSES = re.compile(
    r"(?:^|[._])(?:n_?|num_?)?(?:class(?:es)?|cls|vocab(?:_size)?|categories|labels?|C|K|V)$", re.IGNORECASE
)
SHAPE = re.compile(r"\.(?:size\((?:1|-1)\)|shape\[(?:1|-1)\])$|^len\((?:classes|labels)\)$")
FILLS = ("full", "full_like", "fill_", "fill")


def look_at_smoothing(machine: Machine, tree: ast.Module) -> None:
    """one_hot * (1 - e) + e / (C - 1); full(e / C) with 1 - e put at the true class: both do not add up to one."""
    for node in ast.walk(tree):
        if isinstance(node, ast.BinOp) and isinstance(node.op, ast.Add):
            _added(machine, node)
        elif isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)) and "scatter" in _text(machine, node):
            _scattered(machine, node, tree)


def _text(machine: Machine, node: ast.FunctionDef | ast.AsyncFunctionDef) -> str:
    return "\n".join(machine.main.source.lines[node.lineno - 1 : node.end_lineno])


def _added(machine: Machine, node: ast.BinOp) -> None:
    """one_hot * (1 - e) + something: right is e / C."""
    for hot, rest in ((node.left, node.right), (node.right, node.left)):
        rate = _rate(hot)
        if rate is None:
            continue
        if ast.unparse(rest) == rate:
            machine.find("X024", node, detail=f"every class gets {rate}, all together 1 - {rate} + C * {rate}")
        elif _is_share(rest, rate):
            machine.find("X024", node, detail=f"the true class gets {rate} / (C - 1) on top of 1 - {rate}")


def _rate(node: ast.expr) -> str | None:
    """Of one_hot * (1 - e) the text of e, if the other factor is one-hot by its name or its call."""
    if not (isinstance(node, ast.BinOp) and isinstance(node.op, ast.Mult)):
        return None
    for factor, other in ((node.left, node.right), (node.right, node.left)):
        if _is_rest(factor) and isinstance(factor, ast.BinOp) and _is_one_hot(other):
            return ast.unparse(factor.right)
    return None


def _is_rest(node: ast.expr) -> bool:
    """1 - e."""
    minus = isinstance(node, ast.BinOp) and isinstance(node.op, ast.Sub)
    return minus and isinstance(node.left, ast.Constant) and node.left.value == 1  # type: ignore[attr-defined]


def _is_one_hot(node: ast.expr) -> bool:
    text = ast.unparse(node).lower()
    return any(word in text for word in ("one_hot", "onehot", "one_hots", "eye(", "hot"))


def _is_share(node: ast.expr, rate: str) -> bool:
    """e / (C - 1)."""
    share = isinstance(node, ast.BinOp) and isinstance(node.op, ast.Div) and ast.unparse(node.left) == rate
    return share and _less_one(node.right)  # type: ignore[attr-defined]


def _less_one(node: ast.expr) -> bool:
    """C - 1."""
    minus = isinstance(node, ast.BinOp) and isinstance(node.op, ast.Sub)
    return minus and isinstance(node.right, ast.Constant) and node.right.value == 1  # type: ignore[attr-defined]


def _scattered(machine: Machine, function: ast.AST, tree: ast.Module) -> None:
    """A tensor filled with e / C, whose true class then gets 1 - e."""
    calls = [node for node in ast.walk(function) if isinstance(node, ast.Call)]
    rates = {rate: call for call in calls for rate in [_filled(call, function)] if rate is not None}
    for call in calls:
        name = call.func.attr if isinstance(call.func, ast.Attribute) else ""
        if name not in ("scatter_", "scatter") or not call.args:
            continue
        given = _assigned(call.args[-1], tree)
        rate = _last(given.right) if _is_rest(given) and isinstance(given, ast.BinOp) else None
        if rate in rates:
            machine.find("X024", call, detail=f"the others get {rate} / C each, which leaves {rate} / C over")


def _filled(call: ast.Call, function: ast.AST) -> str | None:
    """Of full(shape, e / C) the text of e, if C is the number of classes, not one less."""
    name = call.func.attr if isinstance(call.func, ast.Attribute) else getattr(call.func, "id", "")
    value = call.args[-1] if call.args and name in FILLS else None
    if not (isinstance(value, ast.BinOp) and isinstance(value.op, ast.Div)):
        return None
    count = ast.unparse(_assigned(value.right, function))
    count = ast.unparse(value.right) if CLASSES.search(ast.unparse(value.right)) else count
    return _last(value.left) if CLASSES.search(count) or SHAPE.search(count) else None


def _last(node: ast.expr) -> str:
    """self.smoothing and smoothing are taken for the same."""
    return ast.unparse(node).rpartition(".")[2] if isinstance(node, ast.Attribute) else ast.unparse(node)


def _assigned(node: ast.expr, tree: ast.AST) -> ast.expr:
    """What a name or attribute was assigned in the file, if it was once."""
    if not isinstance(node, (ast.Name, ast.Attribute)):
        return node
    name = ast.unparse(node)
    values = [
        one.value for one in ast.walk(tree)
        if isinstance(one, ast.Assign) and any(ast.unparse(target) == name for target in one.targets)
    ]  # fmt: skip
    return values[0] if len(values) == 1 else node

"""Thresholds on what is, or becomes, a score: 0.5 of a probability is 0 of its logit."""

from __future__ import annotations

import ast
from collections.abc import Iterable

from .edits import Edit, span
from .tree import Tree

__all__ = ["at_zero", "compared_with_half"]

ORDERED = (ast.Gt, ast.GtE, ast.Lt, ast.LtE)
METHODS = ("gt", "ge", "lt", "le", "greater")


def compared_with_half(tree: Tree, nodes: Iterable[ast.AST]) -> list[ast.expr]:
    """The comparisons with 0.5 that these values stand in."""
    found: list[ast.expr] = []
    for node in nodes:
        outer = tree.parents.get(node)
        if isinstance(outer, ast.Attribute):
            outer = tree.parents.get(outer)
        if isinstance(outer, (ast.Compare, ast.Call)) and outer not in found and _half(outer) is not None:
            found.append(outer)
    return found


def at_zero(node: ast.expr) -> list[Edit]:
    """The comparison with 0 in place of 0.5; nothing for what is none."""
    half = _half(node)
    return [] if half is None else [span(half, "0")]


def _half(node: ast.expr) -> ast.expr | None:
    """The number 0.5 of a comparison of two values."""
    if isinstance(node, ast.Compare) and len(node.ops) == 1 and isinstance(node.ops[0], ORDERED):
        return next((one for one in (node.left, node.comparators[0]) if _is_half(one)), None)
    if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr in METHODS:
        return next((one for one in node.args if _is_half(one)), None)
    return None


def _is_half(node: ast.expr) -> bool:
    return isinstance(node, ast.Constant) and node.value == 0.5

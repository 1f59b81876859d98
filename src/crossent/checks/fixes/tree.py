"""The syntax trees of a project's files: parents, the function around a node, the node at a place."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from functools import cached_property

from ..source.project import Module, Project
from ..source.values import Place

__all__ = ["FUNCTIONS", "Tree", "Trees", "last_name"]

FUNCTIONS = (ast.FunctionDef, ast.AsyncFunctionDef, ast.Lambda)


def last_name(node: ast.AST) -> str:
    """The last part of a dotted name: of nn.Softmax(1) Softmax."""
    if isinstance(node, ast.Call):
        node = node.func
    return node.attr if isinstance(node, ast.Attribute) else node.id if isinstance(node, ast.Name) else ""


class Tree:
    """One file."""

    def __init__(self, module: Module) -> None:
        self.module = module
        self.path = module.path

    @cached_property
    def parents(self) -> dict[ast.AST, ast.AST]:
        """The parent of each node."""
        root = self.module.source.tree
        return {child: node for node in ast.walk(root) for child in ast.iter_child_nodes(node)} if root else {}

    @cached_property
    def calls(self) -> dict[tuple[int, int, int, int], ast.AST]:
        """Calls and attributes by where they stand, from line and column to line and column as the parser counts."""
        nodes = [node for node in self.parents if isinstance(node, ast.Call)]
        return {(n.lineno, n.col_offset, n.end_lineno or 0, n.end_col_offset or 0): n for n in nodes}

    def at(self, place: Place) -> ast.Call | None:
        """The call that stands at a place."""
        node = self.calls.get((place.line, place.column - 1, place.end_line, place.end_column - 1))
        return node if isinstance(node, ast.Call) else None

    def expression(self, place: Place) -> ast.expr | None:
        """The outermost expression that stands at a place."""
        wanted = (place.line, place.column - 1, place.end_line, place.end_column - 1)
        found = (node for node in self.parents if isinstance(node, ast.expr))
        return next((n for n in found if (n.lineno, n.col_offset, n.end_lineno, n.end_col_offset) == wanted), None)

    def place(self, node: ast.expr) -> Place:
        """Where an expression stands."""
        end_line, end_column = node.end_lineno or node.lineno, node.end_col_offset or node.col_offset
        return Place(self.path, node.lineno, node.col_offset + 1, end_line, end_column + 1)

    def above(self, node: ast.AST) -> Iterator[ast.AST]:
        """The parents of a node, nearest first."""
        while (node := self.parents.get(node)) is not None:  # type: ignore[assignment]
            yield node

    def function(self, node: ast.AST) -> ast.AST | None:
        """The function around a node, or None for the module's own code."""
        return next((one for one in self.above(node) if isinstance(one, FUNCTIONS)), None)

    def statement(self, node: ast.AST) -> ast.stmt | None:
        """The statement that a node is in."""
        return next((one for one in (node, *self.above(node)) if isinstance(one, ast.stmt)), None)


class Trees:
    """The files of a project that were parsed."""

    def __init__(self, project: Project) -> None:
        self.by_path = {
            path: Tree(module) for path, module in project.modules.items() if "tree" in module.source.__dict__
        }

    @cached_property
    def reads(self) -> list[tuple[Tree, ast.Name]]:
        """Every name that is read, with its file."""
        return [
            (tree, node)
            for tree in self.by_path.values()
            for node in tree.parents
            if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Load)
        ]

    @cached_property
    def homes(self) -> dict[ast.AST, Tree]:
        """The file of each node."""
        return {node: tree for tree in self.by_path.values() for node in tree.parents}

"""Keras' losses told what they get: from_logits=True goes or comes, and the model stays as it is."""

from __future__ import annotations

import ast

from .edits import CannotEditError, Edit, segment, span
from .tree import Tree, last_name

__all__ = ["is_keras_loss", "told"]

NAMES = {
    "categorical_crossentropy": "CategoricalCrossentropy",
    "sparse_categorical_crossentropy": "SparseCategoricalCrossentropy",
    "binary_crossentropy": "BinaryCrossentropy",
    "binary_focal_crossentropy": "BinaryFocalCrossentropy",
    "categorical_focal_crossentropy": "CategoricalFocalCrossentropy",
}


def is_keras_loss(call: ast.Call) -> bool:
    """Whether a call makes or is one of Keras' losses, or compiles a model with one."""
    return last_name(call) in (*NAMES, *NAMES.values(), "compile")


def told(tree: Tree, call: ast.Call, *, logits: bool) -> list[Edit]:
    """The loss with or without from_logits=True."""
    if last_name(call) == "compile":
        return [_compiled(tree, call, logits=logits)]
    given = next((one for one in call.keywords if one.arg == "from_logits"), None)
    if given is not None:
        if not isinstance(given.value, ast.Constant):
            raise CannotEditError(f"from_logits={ast.unparse(given.value)} is decided elsewhere")
        return [span(given.value, "True")] if logits else [_without(call, given)]
    hidden = any(isinstance(one, ast.Starred) for one in call.args) or any(one.arg is None for one in call.keywords)
    if not logits or hidden:
        raise CannotEditError("it cannot be told where from_logits is given")
    order = [*call.args, *(one.value for one in call.keywords)]
    end = (call.end_lineno or call.lineno, (call.end_col_offset or 0) - 1)
    if not order:
        return [Edit(*end, *end, "from_logits=True")]
    after = (order[-1].end_lineno or 0, order[-1].end_col_offset or 0)
    return [Edit(*after, *after, ", from_logits=True")]


def _without(call: ast.Call, given: ast.keyword) -> Edit:
    """The keyword goes, with the comma before or after it."""
    order = [*call.args, *(one.value for one in call.keywords)]
    place = order.index(given.value)
    value = given.value
    if place:
        before = order[place - 1]
        start = (before.end_lineno or 0, before.end_col_offset or 0)
        return Edit(*start, value.end_lineno or 0, value.end_col_offset or 0, "")
    if len(order) > 1:
        after = call.keywords[1]
        return Edit(given.lineno, given.col_offset, after.lineno, after.col_offset, "")
    return Edit(given.lineno, given.col_offset, value.end_lineno or 0, value.end_col_offset or 0, "")


def _compiled(tree: Tree, call: ast.Call, *, logits: bool) -> Edit:
    """compile(loss="binary_crossentropy"): the loss becomes an object, which can be told."""
    second = call.args[1] if len(call.args) > 1 else None
    given = next((one.value for one in call.keywords if one.arg == "loss"), second)
    if isinstance(given, ast.Constant) and given.value in NAMES and logits:
        return span(given, f"{_library(tree)}.losses.{NAMES[given.value]}(from_logits=True)")
    if isinstance(given, ast.Attribute) and given.attr in NAMES and logits:
        return span(given, f"{segment(tree, given.value)}.{NAMES[given.attr]}(from_logits=True)")
    raise CannotEditError("the loss is not named where the model is compiled")


def _library(tree: Tree) -> str:
    """What Keras is called in a file."""
    for node in tree.parents:
        if isinstance(node, (ast.Import, ast.ImportFrom)):
            for alias in node.names:
                whole = f"{node.module}.{alias.name}" if isinstance(node, ast.ImportFrom) else alias.name
                if whole in ("keras", "tensorflow.keras", "tf_keras") and (alias.asname or "." not in alias.name):
                    return alias.asname or alias.name
                if whole == "tensorflow":
                    return f"{alias.asname or alias.name}.keras"
    raise CannotEditError("Keras has no name in the file by which a loss that takes scores could be made")

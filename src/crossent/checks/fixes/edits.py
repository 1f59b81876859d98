"""Changes of a text: a softmax gives way to its argument, a layer goes, a name changes; all else stays as it is."""

from __future__ import annotations

import ast
import io
import tokenize
from collections import Counter
from typing import NamedTuple

from ..source.sources import parsed
from .tree import Tree, last_name

__all__ = [
    "CannotEditError", "Edit", "applied", "comments_of", "deletion", "logarithm", "renaming", "segment", "span",
    "twins",
]  # fmt: skip

LAYERS = ("Softmax", "Sigmoid", "LogSoftmax", "Softmax2d")
FUNCTIONS = ("softmax", "sigmoid", "expit", "sigmoid_")
RENAMED = {
    "BCELoss": "BCEWithLogitsLoss",
    "binary_cross_entropy": "binary_cross_entropy_with_logits",
}
ATOMS = (ast.Name, ast.Attribute, ast.Call, ast.Subscript, ast.Constant, ast.List, ast.Dict, ast.Set, ast.ListComp)


class CannotEditError(Exception):
    """The change cannot be made by itself; the words say why."""


class Edit(NamedTuple):
    """A piece of the text, from one place to another (lines from 1, columns in bytes from 0), and what replaces it."""

    line: int
    column: int
    end_line: int
    end_column: int
    text: str


def span(node: ast.expr | ast.stmt, text: str) -> Edit:
    """A node's text gives way to another."""
    return Edit(node.lineno, node.col_offset, node.end_lineno or node.lineno, node.end_col_offset or 0, text)


def deletion(tree: Tree, call: ast.Call, *, keep_place: bool) -> list[Edit]:
    """The softmax or sigmoid goes; `keep_place` where a sequence's layers are counted or read by number."""
    name = last_name(call)
    if name in LAYERS:
        outer = tree.parents.get(call)
        if isinstance(outer, ast.Call) and last_name(outer) == "Sequential" and len(outer.args) > 1 and not keep_place:
            edit = _without_argument(tree, outer, call)
            if edit is not None:
                return [edit]
        return [span(call, f"{_renamed(tree, call, 'Identity')}()"), *_imported(tree, call, "Identity")]
    if name not in FUNCTIONS:
        raise CannotEditError(f"{ast.unparse(call)[:60]} is not a call that can be taken away")
    inner = _argument(call)
    statement = tree.statement(call)
    if isinstance(statement, ast.Assign) and statement.value is call and _is_own(statement, inner):
        return [_without_statement(tree, statement)]
    text = segment(tree, inner)
    bare = isinstance(inner, ATOMS) and ("\n" not in text or not isinstance(inner, ast.Attribute))
    alone = "\n" not in text and isinstance(tree.parents.get(call), (ast.Call, ast.Assign, ast.Return, ast.keyword))
    return [span(call, text if bare or alone else f"({text})")]


def twins(tree: Tree, call: ast.Call | None) -> list[ast.Call]:
    """The other softmax layers of a class under the same attribute: self.out, made anew in another method."""
    statement = tree.parents.get(call) if call is not None and last_name(call) in LAYERS else None
    if not (isinstance(statement, ast.Assign) and isinstance(statement.targets[0], ast.Attribute)):
        return []
    name, home = (
        ast.unparse(statement.targets[0]),
        next((n for n in tree.above(statement) if isinstance(n, ast.ClassDef)), None),
    )
    others = [n for n in ast.walk(home) if isinstance(n, ast.Assign)] if home is not None else []
    same = [n.value for n in others if n is not statement and any(ast.unparse(t) == name for t in n.targets)]
    return [value for value in same if isinstance(value, ast.Call) and last_name(value) in LAYERS]


def _argument(call: ast.Call) -> ast.expr:
    """What a softmax is taken of: the first argument, or the tensor whose method it is."""
    names = ("input", "x", "logits", "a", "tensor", "features")
    given = next((k.value for k in call.keywords if k.arg in names), None)
    if given is not None:
        return given
    first = call.args[0] if call.args else None
    of_library = isinstance(call.func, ast.Attribute) and _is_library(call.func.value)
    method = first is None or isinstance(first, (ast.Constant, ast.UnaryOp))
    if isinstance(call.func, ast.Attribute) and not of_library and method:
        return call.func.value
    if first is None or isinstance(first, ast.Starred):
        raise CannotEditError(f"it cannot be told what {ast.unparse(call)[:60]} is taken of")
    return first


def _is_library(node: ast.expr) -> bool:
    return ast.unparse(node).split(".")[0] in ("torch", "F", "nn", "tf", "jax", "jnp", "np", "scipy", "special", "K")


def _is_own(statement: ast.Assign, inner: ast.expr) -> bool:
    """Whether y = softmax(y) would become y = y."""
    return len(statement.targets) == 1 and ast.unparse(statement.targets[0]) == ast.unparse(inner)


def segment(tree: Tree, node: ast.expr) -> str:
    """A node's text."""
    text = ast.get_source_segment(tree.module.source.text, node)
    if text is None:
        raise CannotEditError("its text cannot be found")
    return text


def _without_argument(tree: Tree, outer: ast.Call, call: ast.Call) -> Edit | None:
    """The last of several arguments goes, with its comma, and with its line if it has one of its own."""
    lines = tree.module.source.lines
    if outer.args[-1] is not call or outer.keywords:
        return None
    before = outer.args[-2]
    head = _bytes(lines[call.lineno - 1])[: call.col_offset].decode()
    if head.strip():
        gap = _bytes(lines[call.lineno - 1])[before.end_col_offset or 0 : call.col_offset].decode()
        if before.end_lineno != call.lineno or gap.strip() not in (",", ""):
            return None
        return Edit(call.lineno, before.end_col_offset or 0, call.end_lineno or 0, call.end_col_offset or 0, "")
    last = _bytes(lines[(call.end_lineno or call.lineno) - 1])[call.end_col_offset or 0 :].decode()
    rest = last.lstrip().removeprefix(",").strip()
    if not rest:
        return Edit(call.lineno, 0, (call.end_lineno or call.lineno) + 1, 0, "")
    if rest.startswith("#"):
        end = len(_bytes(lines[(call.end_lineno or 1) - 1])) - len(_bytes(rest))
        return Edit(call.lineno, call.col_offset, call.end_lineno or call.lineno, end, "")
    return None


def _bytes(text: str) -> bytes:
    return text.encode("utf-8", errors="surrogatepass")


def _without_statement(tree: Tree, statement: ast.stmt) -> Edit:
    """A statement of its own lines goes; where it is all of a block, it becomes pass."""
    lines = tree.module.source.lines
    head = _bytes(lines[statement.lineno - 1])[: statement.col_offset].decode()
    tail = _bytes(lines[(statement.end_lineno or 1) - 1])[statement.end_col_offset or 0 :].decode()
    parent = tree.parents[statement]
    alone = any(getattr(parent, name, None) == [statement] for name in ("body", "orelse", "finalbody"))
    if head.strip() or (tail.strip() and not tail.strip().startswith("#")) or alone:
        if alone:
            return span(statement, "pass")
        raise CannotEditError("several statements stand on its line")
    if tail.strip():
        end = (statement.end_col_offset or 0) + len(tail) - len(tail.lstrip())
        return Edit(statement.lineno, statement.col_offset, statement.end_lineno or statement.lineno, end, "")
    return Edit(statement.lineno, 0, (statement.end_lineno or statement.lineno) + 1, 0, "")


def renaming(tree: Tree, call: ast.Call) -> list[Edit]:
    """The binary loss of probabilities becomes the one of scores."""
    new = RENAMED.get(last_name(call))
    if new is None:
        raise CannotEditError(f"{last_name(call) or 'the loss'} has no form that takes scores")
    return [span(call.func, _renamed(tree, call, new)), *_imported(tree, call, new)]


def logarithm(tree: Tree, call: ast.Call) -> list[Edit]:
    """log(softmax(x)) becomes log_softmax(x)."""
    method = not call.args and isinstance(call.func, ast.Attribute)
    inner = call.func.value if method and isinstance(call.func, ast.Attribute) else next(iter(call.args), None)
    if last_name(call) != "log" or len(call.args) + len(call.keywords) != (0 if method else 1):
        raise CannotEditError("it is another logarithm")
    if not isinstance(inner, ast.Call) or last_name(inner) != "softmax":
        raise CannotEditError("the softmax stands elsewhere")
    new = _renamed(tree, inner, "log_softmax")
    text, head = segment(tree, inner), segment(tree, inner.func)
    return [span(call, new + text[len(head) :]), *_imported(tree, inner, "log_softmax")]


def _renamed(tree: Tree, call: ast.Call, name: str) -> str:
    """The function's text with another last name."""
    if isinstance(call.func, ast.Attribute):
        return f"{segment(tree, call.func.value)}.{name}"
    return name


def _imported(tree: Tree, call: ast.Call, name: str) -> list[Edit]:
    """A bare name is imported where the old one was."""
    if not isinstance(call.func, ast.Name):
        return []
    bound = [node for node in tree.parents if isinstance(node, ast.alias) and (node.asname or node.name) == name]
    if bound:
        return []
    for node in tree.parents:
        if isinstance(node, ast.ImportFrom):
            for alias in node.names:
                if (alias.asname or alias.name) == call.func.id:
                    return [Edit(alias.end_lineno or 0, alias.end_col_offset or 0, alias.end_lineno or 0,
                                 alias.end_col_offset or 0, f", {name}")]  # fmt: skip
            if any(alias.name == "*" for alias in node.names) and (node.module or "").startswith("torch.nn"):
                return []
    raise CannotEditError(f"{name} would have to be imported")


def applied(lines: list[str], edits: list[Edit]) -> list[str]:
    """The lines after the changes, made from the last to the first; an end on the line after the last is the text's."""
    result = [_bytes(line) for line in lines]
    for edit in sorted(set(edits), reverse=True):
        first, last = edit.line - 1, edit.end_line - 1
        tail = result[last][edit.end_column :] if last < len(result) else b""
        middle = result[first][: edit.column] + _bytes(edit.text) + tail
        whole = edit.column == 0 and edit.end_column == 0 and not edit.text and last > first
        result[first : last + 1] = ([tail] if last < len(result) else []) if whole else middle.split(b"\n")
    return [line.decode("utf-8", errors="surrogatepass") for line in result]


def comments_of(text: str) -> Counter[str]:
    """The comments of a text, and how often each stands there."""
    if parsed(text)[0] is None:
        raise CannotEditError("the result is no Python")
    tokens = tokenize.generate_tokens(io.StringIO(text).readline)
    return Counter(token.string for token in tokens if token.type == tokenize.COMMENT)

"""Which statements of a module can matter: those with a word that does, and those that name what such ones bind."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator

from .machine import own_members
from .project import Module
from .sources import mentions
from .values import Api, Class, Either, Function, Instance, Items, Layer, Partial, Tensor, Value

__all__ = ["MODELS", "can_matter", "matters", "worth_a_look", "worthy_methods"]

MODELS = re.compile(r"\bnn\.|Linear|Dense|Module\b|layers")  # what scores come from
LONG_CLASS = 150  # lines
WORD = re.compile(r"\w+")
HELD = re.compile(r"self\.(\w+)\s*(?::[^=\n]*)?=(?!=).*")  # self.loss = CrossEntropyLoss()


def matters(value: Value) -> bool:
    """Whether something is known of a value that a function may use."""
    if isinstance(value, Tensor):
        return bool(value.kind) or value.guess
    if isinstance(value, Items):
        return any(map(matters, value.items)) or (value.rest is not None and matters(value.rest))
    if isinstance(value, Instance):
        return any(_worthy(one) for one in own_members(value)) or any(
            isinstance(base, Api) for one in own_members(value) for base in one.bases
        )
    if isinstance(value, Class):
        return matters(Instance(value, None))
    if isinstance(value, Function):
        return can_matter(value)
    return isinstance(value, (Layer, Either, Partial))


def can_matter(function: Function) -> bool:
    """Whether a function's statement in its module is worth a look."""
    return _worthy(function)


def _worthy(value: Function | Class) -> bool:
    """Whether the function or class stands in a statement that is worth a look."""
    module: Module = value.module
    if module.worth is None:
        tree = module.source.tree
        worth = worth_a_look(module, models=True) if tree is not None else set()
        module.worth = {inner for node in worth for inner in _inside(node, module)}
    return value.node in module.worth


def _inside(node: ast.AST, module: Module) -> Iterator[ast.AST]:
    """The functions in a statement; of a long class only the methods that can matter."""
    if isinstance(node, ast.ClassDef) and (node.end_lineno or 0) - node.lineno > LONG_CLASS:
        chosen = worthy_methods(node, module)
        yield from (inner for one in chosen for inner in ast.walk(one) if isinstance(inner, DEFINED))
        yield node
    else:
        yield from (inner for inner in ast.walk(node) if isinstance(inner, DEFINED))


def worthy_methods(node: ast.ClassDef, module: Module) -> set[ast.AST]:
    """The methods with a word that matters, those that name one of these, and the constructor."""
    methods = [one for one in node.body if isinstance(one, (ast.FunctionDef, ast.AsyncFunctionDef))]
    texts = {one: "\n".join(module.source.lines[one.lineno - 1 : one.end_lineno]) for one in methods}
    words = {one: set(WORD.findall(text)) for one, text in texts.items()}
    held = {match[1] for text in texts.values() for match in HELD.finditer(text) if mentions(match[0])}
    chosen = {one for one in methods if mentions(texts[one]) or MODELS.search(texts[one]) or one.name == "__init__"}
    while True:
        names = {one.name for one in chosen} - {"__init__"} | held
        more = {one for one in methods if one not in chosen and words[one] & names}
        if not more:
            return set(chosen)
        chosen |= more


DEFINED = (ast.FunctionDef, ast.AsyncFunctionDef, ast.Lambda, ast.ClassDef)


def worth_a_look(module: Module, *, models: bool = False) -> set[ast.AST]:
    """The functions and classes whose text has a word that matters, or the name of one that has."""
    assert module.source.tree is not None
    texts: dict[ast.AST, str] = {}
    names: dict[ast.AST, set[str]] = {}
    for node in module.source.tree.body:
        for statement in [node, *_guarded(node)]:
            text = "\n".join(module.source.lines[statement.lineno - 1 : statement.end_lineno])
            texts[statement] = text
            names[statement] = set(_binds(statement))
    words = {statement: set(WORD.findall(text)) for statement, text in texts.items()}
    worth = {statement for statement, text in texts.items() if mentions(text) or (models and MODELS.search(text))}
    worth |= {statement for statement in texts if isinstance(statement, (ast.Import, ast.ImportFrom))}
    while True:
        known = {name for statement in worth for name in names[statement]}
        more = {statement for statement in texts if statement not in worth and words[statement] & known}
        if not more:
            return set(worth)
        worth |= more


def _guarded(node: ast.stmt) -> Iterator[ast.stmt]:
    """Statements inside of a module's if, try and with."""
    for child in ast.iter_child_nodes(node):
        if isinstance(child, ast.stmt) and isinstance(node, (ast.If, ast.Try, ast.With)):
            yield child
            yield from _guarded(child)


def _binds(node: ast.stmt) -> Iterator[str]:
    """The names that a statement of a module binds; of imports those that may come from the project."""
    if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)):
        yield node.name
    elif isinstance(node, ast.Assign):
        for target in node.targets:
            yield from (inner.id for inner in ast.walk(target) if isinstance(inner, ast.Name))
    elif isinstance(node, ast.ImportFrom) and (node.level or mentions(node.module or "")):
        yield from (alias.asname or alias.name for alias in node.names)

"""Who else uses the probabilities that a fix would turn into scores: every other reader, by file and line."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from typing import NamedTuple

from ..source.uses import Uses
from ..source.values import Place
from .tree import FUNCTIONS, Tree, Trees, last_name

__all__ = ["Consumer", "Consumers"]

INERT_ATTRIBUTES = frozenset(["shape", "dtype", "device", "ndim", "is_cuda", "requires_grad", "grad_fn", "layout"])
INERT_METHODS = frozenset(
    ["size", "dim", "numel", "nelement", "element_size", "get_device", "is_contiguous", "ndimension"]
)
INERT_FUNCTIONS = frozenset(["len", "isinstance", "type", "id", "hasattr", "callable", "super", "issubclass"])
OF_COLLECTIONS = frozenset(["append", "extend", "keys", "items", "values"])
ORDERS = frozenset(["argmax", "max", "topk", "sort", "argsort", "mode"])  # keep the order of the scores
OF_MODELS = frozenset(
    ["parameters", "named_parameters", "train", "eval", "to", "cuda", "cpu", "half", "float", "double", "bfloat16",
     "state_dict", "load_state_dict", "zero_grad", "modules", "named_modules", "children", "named_children", "apply",
     "requires_grad_", "buffers", "named_buffers", "register_buffer", "register_parameter", "append", "add_module",
     "share_memory", "compile", "init", "tabulate"]
)  # fmt: skip
CALLED_LIKE_MODELS = re.compile(
    r"model|net|classif|module|clf|predict|encod|decod|discrimin|generat|actor|policy", re.I
)


class Consumer(NamedTuple):
    """Someone who would notice: where, and what it does with the value."""

    path: str
    line: int
    what: str

    def __str__(self) -> str:
        return f"{self.path}:{self.line}: {self.what}"


class Consumers:
    """The consumers of an origin's value other than the losses that a fix is about."""

    def __init__(self, uses: Uses, trees: Trees, losses: set[Place], axes: dict[Place, object]) -> None:
        self.uses, self.trees, self.losses, self.axes = uses, trees, losses, axes

    def of(self, origin: Place) -> Iterator[Consumer]:
        """Readers of the value, of the objects that make it, and what the linter did not follow."""
        for node in self.uses.tensors.get(origin, ()):
            yield from self._reader(origin, node)
        yield from self.of_objects(origin)
        yield from self._not_followed(origin)

    def of_objects(self, origin: Place) -> Iterator[Consumer]:
        """Who else gets hold of an object that makes the value: a model that is saved, returned, or given away."""
        makers = self.uses.makers.get(origin, set())
        for key in (*makers, origin):
            for node in self.uses.objects.get(key, ()):
                yield from self._holder(node, key, makers, origin)

    def _said(self, node: ast.AST, what: str) -> Iterator[Consumer]:
        tree = self.trees.homes.get(node)
        if tree is not None:
            yield Consumer(tree.path, getattr(node, "lineno", 1), what)

    # ------------------------------------------------------------------ readers of the value

    def _reader(self, origin: Place, node: ast.AST) -> Iterator[Consumer]:
        """What the expression around a reader does with it; nothing if it hands the value on."""
        tree = self.trees.homes.get(node)
        if tree is None:
            return
        holders, parent = self.uses.tensors[origin], tree.parents.get(node)
        child = node
        while isinstance(parent, (ast.keyword, ast.Starred)):
            child, parent = parent, tree.parents.get(parent)
        if isinstance(parent, ast.Call) and child is not parent.func:
            yield from self._argument(origin, parent, node)
        elif isinstance(parent, ast.Attribute):
            yield from self._attribute(origin, parent, node, tree)
        elif isinstance(parent, ast.Subscript) and child is parent.value:
            if parent not in holders and node not in self.uses.containers:
                yield from self._said(parent, "an element of it is read")
        elif isinstance(parent, (ast.Return, ast.Lambda)):
            yield from self._returned(parent, tree, "the value")
        elif isinstance(parent, (ast.Assign, ast.AnnAssign, ast.NamedExpr)):
            yield from self._bound(parent)
        elif (
            isinstance(parent, ast.Expr)
            or parent in holders
            or (isinstance(parent, (ast.For, ast.AsyncFor, ast.comprehension)) and node in self.uses.containers)
        ):
            return
        elif parent is not None:
            yield from self._said(node, _does(parent))

    def _argument(self, origin: Place, call: ast.Call, node: ast.AST) -> Iterator[Consumer]:
        """The value as an argument of a call."""
        tree, name = self.trees.homes[call], last_name(call)
        if tree.place(call) in self.losses or call in self.uses.followed or name in INERT_FUNCTIONS:
            return
        if name in ORDERS:
            yield from self._order(origin, call, 1)
        elif call not in self.uses.tensors[origin]:
            yield from self._said(node, f"{name or 'a call'} gets it")

    def _attribute(self, origin: Place, node: ast.Attribute, value: ast.AST, tree: Tree) -> Iterator[Consumer]:
        """A method or attribute of the value."""
        call = tree.parents.get(node)
        if not isinstance(call, ast.Call) or call.func is not node:
            plain = node.attr in INERT_ATTRIBUTES or value in self.uses.containers
            if not plain and node not in self.uses.tensors[origin]:
                yield from self._said(node, f".{node.attr} of it is read")
        elif node.attr in ORDERS:
            yield from self._order(origin, call, 0)
        elif node.attr not in INERT_METHODS and call not in self.uses.tensors[origin]:
            inside = value in self.uses.containers and node.attr in OF_COLLECTIONS
            if not inside:
                yield from self._said(node, f".{node.attr}() of it is taken")

    def _order(self, origin: Place, call: ast.Call, index: int) -> Iterator[Consumer]:
        """The largest along the axis of the softmax is the same of scores; along another axis it is not."""
        if last_name(call) == "topk":
            index += 1
        axis = next((k.value for k in call.keywords if k.arg in ("dim", "axis")), None)
        axis = call.args[index] if axis is None and len(call.args) > index else axis
        own = self.axes.get(origin, ...)
        try:
            given = None if axis is None else ast.literal_eval(axis)
        except ValueError:
            given = ...
        if given is None and last_name(call) in ("topk", "sort", "argsort"):
            given = -1
        if own != "every" and (given is ... or given is None or given != own):
            yield from self._said(call, f"{last_name(call)} of it is taken along another axis")

    def _bound(self, node: ast.Assign | ast.AnnAssign | ast.NamedExpr) -> Iterator[Consumer]:
        """Names are followed; attributes and items may be read by anyone."""
        targets = node.targets if isinstance(node, ast.Assign) else [node.target]
        for target in targets:
            for inner in target.elts if isinstance(target, (ast.Tuple, ast.List)) else [target]:
                if isinstance(inner, (ast.Attribute, ast.Subscript)):
                    yield from self._said(inner, f"it is kept in {ast.unparse(inner)}")

    def _returned(self, node: ast.AST, tree: Tree, what: str) -> Iterator[Consumer]:
        """A function that only followed calls get the value from hands it on; others give it to who knows whom."""
        function = node if isinstance(node, ast.Lambda) else tree.function(node)
        if function is None or function not in self.uses.called:
            name = getattr(function, "name", "a lambda")
            yield from self._said(node, f"{name} returns {what}, and who calls it is not seen")

    # ------------------------------------------------------------------ objects that make it

    def _holder(self, node: ast.AST, key: object, makers: set[object], origin: Place) -> Iterator[Consumer]:
        """What the expression around a model, layer or function does with it."""
        tree = self.trees.homes.get(node)
        if tree is None:
            return
        parent, child = tree.parents.get(node), node
        while isinstance(parent, (ast.keyword, ast.Starred, ast.IfExp, ast.Tuple)):
            child, parent = parent, tree.parents.get(parent)
        if isinstance(parent, ast.Call) and child is not parent.func:
            made = any(parent in self.uses.objects.get(maker, ()) for maker in (key, *makers))
            loss = tree.place(parent) in self.losses
            fine = made or loss or parent in self.uses.followed or last_name(parent) in INERT_FUNCTIONS
            if not fine:
                yield from self._said(node, f"{last_name(parent) or 'a call'} gets {ast.unparse(node)}, which makes it")
        elif isinstance(parent, ast.Attribute):
            call = tree.parents.get(parent)
            if call in self.uses.inherited and parent.attr not in OF_MODELS and call not in self.uses.tensors[origin]:
                yield from self._said(parent, f".{parent.attr}() of the object that makes it is called")
        elif isinstance(parent, (ast.Return, ast.Lambda)):
            yield from self._returned(parent, tree, "what makes it")
        elif isinstance(parent, (ast.List, ast.Dict, ast.Set)) and not self._in_sequence(parent, tree, makers):
            yield from self._said(node, "the object that makes it is put in a collection")

    def _in_sequence(self, node: ast.AST, tree: Tree, makers: set[object]) -> bool:
        """Whether a list is the argument of a sequence of layers that makes the value."""
        outer = [one for one in tree.above(node) if isinstance(one, ast.Call)]
        names = [one for one in tree.above(node) if isinstance(one, ast.Assign)]
        made = any(call in self.uses.objects.get(maker, ()) for call in outer[:2] for maker in makers)
        return made or any(isinstance(target, ast.Name) for one in names for target in one.targets)

    # ------------------------------------------------------------------ what was not followed

    def _not_followed(self, origin: Place) -> Iterator[Consumer]:
        """Reads of the same names in code that was not run, and calls of unknown objects that may be the model."""
        makers = self.uses.makers.get(origin, set())
        holders = set(self.uses.tensors.get(origin, ()))
        for key in (*makers, origin):
            holders |= self.uses.objects.get(key, set())
        names = self._names(holders, makers)
        for tree, node in self.trees.reads:
            unread = node not in self.uses.evaluated
            if unread and ((node.id, tree.function(node)) in names or (node.id, None) in names):
                yield from self._said(node, f"{node.id} is read where the program was not followed")
        if makers:
            yield from self._unknown_calls(names)

    def _names(self, holders: set[ast.AST], makers: set[object]) -> set[tuple[str, ast.AST | None]]:
        """The names that the value, or an object that makes it, is bound to, with the function that they belong to."""
        names: set[tuple[str, ast.AST | None]] = set()
        for node in holders:
            tree = self.trees.homes.get(node)
            parent = tree.parents.get(node) if tree is not None else None
            if tree is not None and isinstance(parent, (ast.Assign, ast.AnnAssign)):
                targets = parent.targets if isinstance(parent, ast.Assign) else [parent.target]
                inner = [one for target in targets for one in ast.walk(target) if isinstance(one, ast.Name)]
                names |= {(one.id, tree.function(node)) for one in inner if isinstance(one.ctx, ast.Store)}
        for key in makers:
            if isinstance(key, (ast.FunctionDef, ast.ClassDef)) and not isinstance(self._parent(key), ast.ClassDef):
                names.add((key.name, None))
        return names

    def _parent(self, node: ast.AST) -> ast.AST | None:
        tree = self.trees.homes.get(node)
        return tree.parents.get(node) if tree is not None else None

    def _unknown_calls(self, names: set[tuple[str, ast.AST | None]]) -> Iterator[Consumer]:
        """model(x) in a function that nobody calls here."""
        known = {name for name, _ in names}
        for call in self.uses.unknown:
            tree, name = self.trees.homes.get(call), last_name(call)
            if tree is None or not call.args or tree.function(call) in self.uses.called:
                continue
            if name in known or CALLED_LIKE_MODELS.search(name):
                yield from self._said(call, f"{ast.unparse(call.func)} is called, which may be the model")


def _does(parent: ast.AST) -> str:
    if isinstance(parent, ast.Compare):
        return "it is compared"
    if isinstance(parent, FUNCTIONS):
        return "it is a default"
    if isinstance(parent, (ast.BinOp, ast.UnaryOp, ast.AugAssign)):
        return "it is calculated with"
    if isinstance(parent, (ast.FormattedValue, ast.JoinedStr)):
        return "it is printed"
    return "it is used"

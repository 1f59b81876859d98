"""Changes that put a finding right: a softmax deleted, log(softmax(x)) made log_softmax(x); shown as a diff.

The diff is for reading: who else uses the value that a change touches is not looked at.
"""

from __future__ import annotations

import difflib
import os
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from ..errors import MissingDependencyError
from .source import report
from .source.machine import Found
from .source.values import Place

__all__ = ["fixed"]

DELETED = ("X001", "X002", "X004", "X028")  # the softmax or sigmoid before the loss goes
LAYERS = ("Softmax", "Sigmoid", "LogSoftmax")
FUNCTIONS = ("softmax", "sigmoid", "log_softmax")
WARNING = "# Read before you apply: what else uses the same values was not looked at."
RENAMED = {"BCELoss": "BCEWithLogitsLoss", "binary_cross_entropy": "binary_cross_entropy_with_logits"}


def fixed(paths: Iterable[str | os.PathLike[str]], *, possible: bool = False, notes: bool = False) -> str:
    """The changes as a unified diff, marked "read before you apply". Notebooks are left alone.

    Raises
    ------
    MissingDependencyError
        Without LibCST.
    """
    try:
        import libcst  # noqa: F401  # named here, used in _rewritten
    except ImportError as error:
        raise MissingDependencyError("crossent check --fix needs LibCST: install the extra crossent[check]") from error
    result = report(paths, possible=possible, notes=notes)
    edits = _edits(result.raw)
    diff = "".join(_changed(path, places) for path, places in sorted(edits.items()))
    return f"{WARNING}\n{diff}" if diff else ""


def _edits(found: Sequence[Found]) -> dict[str, dict[Place, str]]:
    """What to do at which place, by file."""
    edits: dict[str, dict[Place, str]] = {}
    for one in found:
        origin = one.origin or one.place
        if one.rule in DELETED and one.level == "certain":
            edits.setdefault(origin.path, {})[origin] = "delete"
            if one.rule == "X028" and one.loss is not None:
                edits.setdefault(one.loss.path, {})[one.loss] = "rename"
        if one.rule == "X019" and one.origin is not None and one.origin.path == one.place.path:
            edits.setdefault(one.place.path, {})[one.place] = "log"
    return edits


def _changed(path: str, places: dict[Place, str]) -> str:
    """The diff of one file."""
    if not path.endswith(".py"):
        return ""
    before = Path(path).read_bytes().decode("utf-8", errors="surrogateescape")
    after = _rewritten(before, {(place.line, place.column - 1): action for place, action in places.items()})
    if after == before:
        return ""
    lines = difflib.unified_diff(before.splitlines(True), after.splitlines(True), f"a/{path}", f"b/{path}")
    return "".join(line if line.endswith("\n") else f"{line}\n" for line in lines)


def _rewritten(text: str, actions: dict[tuple[int, int], str]) -> str:
    """The text with the calls that stand at these places changed; as it was, where it cannot be parsed."""
    import libcst as cst
    from libcst.metadata import MetadataWrapper, PositionProvider

    class Change(cst.CSTTransformer):
        METADATA_DEPENDENCIES = (PositionProvider,)

        def action(self, node: Any) -> str | None:
            start = self.get_metadata(PositionProvider, node).start
            return actions.get((start.line, start.column)) if isinstance(node, cst.Call) else None

        def leave_Call(self, original_node: cst.Call, updated_node: cst.Call) -> Any:  # noqa: N802  # LibCST's name
            action = self.action(original_node)
            if action is not None:
                return _replaced(cst, updated_node, action)
            gone = [
                self.action(old.value) == "delete"
                and isinstance(old.value, cst.Call)
                and _last(cst, old.value.func) in LAYERS
                for old in original_node.args
            ]
            if not any(gone) or _last(cst, original_node.func) != "Sequential" or all(gone):
                return updated_node
            kept = [new for new, out in zip(updated_node.args, gone, strict=True) if not out]
            kept[-1] = kept[-1].with_changes(comma=original_node.args[-1].comma)
            return updated_node.with_changes(args=kept)

    try:
        module: Any = MetadataWrapper(cst.parse_module(text)).visit(Change())
    except cst.ParserSyntaxError:
        return text
    code: str = module.code
    return code


def _last(cst: Any, function: Any) -> str:
    name = function.attr.value if isinstance(function, cst.Attribute) else getattr(function, "value", "")
    return name if isinstance(name, str) else ""


def _replaced(cst: Any, call: Any, action: str) -> Any:
    """The node that takes a call's place."""
    last = _last(cst, call.func)
    if action == "delete" and last in LAYERS:
        return call.with_changes(func=_renamed(cst, call.func, "Identity"), args=[])
    if action == "delete" and last in FUNCTIONS:
        receiver = call.func.value if isinstance(call.func, cst.Attribute) else None
        tensor = not call.args or (call.args[0].keyword is None and _is_axis(cst, call.args[0].value))
        tensor = tensor or (
            bool(call.args) and call.args[0].keyword is not None and call.args[0].keyword.value in ("dim", "axis")
        )
        return receiver if tensor and receiver is not None else call.args[0].value if call.args else call
    if action == "rename" and last in RENAMED:
        return call.with_changes(func=_renamed(cst, call.func, RENAMED[last]))
    inner = call.args[0].value if action == "log" and last == "log" and len(call.args) == 1 else None
    if isinstance(inner, cst.Call) and _last(cst, inner.func) == "softmax":
        return inner.with_changes(func=_renamed(cst, inner.func, "log_softmax"))
    return call


def _is_axis(cst: Any, node: Any) -> bool:
    return isinstance(node, (cst.Integer, cst.UnaryOperation))


def _renamed(cst: Any, function: Any, name: str) -> Any:
    return function.with_changes(attr=cst.Name(name)) if isinstance(function, cst.Attribute) else cst.Name(name)

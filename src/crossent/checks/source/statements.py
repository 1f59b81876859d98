"""Statements, run on what is known: both ways of a branch, a loop's body twice; then holds what holds on all."""

from __future__ import annotations

import ast
from collections.abc import Callable, Sequence
from typing import Any

from .classes import define_class, define_function
from .expressions import evaluate, evaluate_all, truth
from .machine import Loop, Machine
from .operations import combined
from .transformers import loss_mapped
from .values import NONE, UNKNOWN, Api, Constant, Instance, Items, Layer, Lazy, Mapping, ModuleValue, Value, tensor

__all__ = ["assign", "run"]

UNROLLED = 8  # how many items of a known list a loop is run for one by one


def run(machine: Machine, body: Sequence[ast.stmt]) -> bool:
    """Run statements in turn; False where the path ends (return, raise, break, continue)."""
    for statement in body:
        machine.step()
        action = STATEMENTS.get(type(statement))
        if action is None:
            _walk(machine, statement)
        elif action(machine, statement) is False:
            return False
    return True


def _walk(machine: Machine, statement: ast.stmt) -> None:
    """A statement of no further meaning: look at its expressions."""
    for node in ast.iter_child_nodes(statement):
        if isinstance(node, ast.expr):
            evaluate(machine, node)


def _expression(machine: Machine, node: ast.Expr) -> bool:
    evaluate(machine, node.value)
    call = node.value
    if isinstance(call, ast.Call) and isinstance(call.func, ast.Attribute) and call.func.attr in ("exit", "_exit"):
        return False
    return not (isinstance(call, ast.Call) and isinstance(call.func, ast.Name) and call.func.id in ("exit", "quit"))


# ---------------------------------------------------------------------- assignment


def _assign(machine: Machine, node: ast.Assign) -> None:
    value = evaluate(machine, node.value)
    for target in node.targets:
        assign(machine, target, value)


def _annotated(machine: Machine, node: ast.AnnAssign) -> None:
    if node.value is not None:
        assign(machine, node.target, evaluate(machine, node.value))


def _augmented(machine: Machine, node: ast.AugAssign) -> None:
    left = evaluate(machine, node.target)
    right = evaluate(machine, node.value)
    assign(machine, node.target, combined(machine, node, node.op, left, right))


def assign(machine: Machine, target: ast.expr, value: Value) -> None:
    """Bind a name, several names, an attribute or an item."""
    if isinstance(target, ast.Name):
        machine.bind(target.id, value)
    elif isinstance(target, (ast.Tuple, ast.List)):
        _unpack(machine, target.elts, value)
    elif isinstance(target, ast.Starred):
        assign(machine, target.value, UNKNOWN)
    elif isinstance(target, ast.Attribute):
        owner = evaluate(machine, target.value)
        if isinstance(owner, (Instance, Layer)):
            machine.store(owner.number, target.attr, value)
    elif isinstance(target, ast.Subscript):
        _assign_item(machine, target, value)


def _unpack(machine: Machine, targets: list[ast.expr], value: Value) -> None:
    """Item by item, where the items are known and as many."""
    starred = any(isinstance(target, ast.Starred) for target in targets)
    known = isinstance(value, Items) and value.exact and len(value.items) == len(targets) and not starred
    rest = value.rest if isinstance(value, Items) and not starred and value.rest is not None else None
    for index, target in enumerate(targets):
        assign(machine, target, value.items[index] if known else rest or tensor())  # type: ignore[attr-defined]


def _assign_item(machine: Machine, target: ast.Subscript, value: Value) -> None:
    """x[i] = value: a dictionary learns it, the last layer of a classifier is replaced, other things are forgotten."""
    owner = evaluate(machine, target.value)
    key = evaluate(machine, target.slice)
    loss_mapped(machine, owner, value, target)
    if isinstance(owner, Mapping) and isinstance(key, Constant):
        assign(machine, target.value, Mapping({**owner.items, key.value: value}, owner.record))
    elif isinstance(owner, (Mapping, Items)):
        assign(machine, target.value, UNKNOWN)
    elif isinstance(owner, Layer):
        machine.store(owner.number, "#parts", Items((value,), exact=False) if key == Constant(-1) else UNKNOWN)
    elif isinstance(target.value, ast.Attribute) and isinstance(key, Constant) and key.value in (-1, 6):
        last = Items((value,), exact=False)
        holder = evaluate(machine, target.value.value)
        if isinstance(holder, Layer):
            machine.store(holder.number, target.value.attr, last)
    elif isinstance(target.value, ast.Name) and not isinstance(owner, Api):
        machine.bind(target.value.id, tensor())


def _delete(machine: Machine, node: ast.Delete) -> None:
    for target in node.targets:
        assign(machine, target.value if isinstance(target, (ast.Subscript, ast.Attribute)) else target, UNKNOWN)


# ---------------------------------------------------------------------- modules


def _import(machine: Machine, node: ast.Import) -> None:
    for alias in node.names:
        if alias.asname:
            machine.bind(alias.asname, _module(machine, alias.name, 0) or Api(alias.name))
        else:
            top = alias.name.split(".")[0]
            machine.bind(top, _module(machine, top, 0) or Api(top))


def _import_from(machine: Machine, node: ast.ImportFrom) -> None:
    source = _module(machine, node.module or "", node.level)
    for alias in node.names:
        if alias.name == "*":
            _import_all(machine, node, source)
            continue
        name = alias.asname or alias.name
        if source is None:
            machine.bind(name, Api(f"{'.' * node.level}{node.module or ''}.{alias.name}"))
        else:
            machine.bind(name, Lazy(source.module, alias.name))


STARRED = {"torch.nn": "torch.nn", "torch.nn.functional": "torch.nn.functional", "numpy": "numpy", "torch": "torch"}
NAMES = [
    "Module",
    "Sequential",
    "Linear",
    "Softmax",
    "LogSoftmax",
    "Sigmoid",
    "CrossEntropyLoss",
    "NLLLoss",
    "BCELoss",
    "BCEWithLogitsLoss",
    "softmax",
    "log_softmax",
    "sigmoid",
    "cross_entropy",
    "nll_loss",
    "exp",
    "log",
    "sum",
    "max",
    "argmax",
    "Dense",
    "Activation",
]


def _import_all(machine: Machine, node: ast.ImportFrom, source: ModuleValue | None) -> None:
    """from x import *: what the module of the project has, or the names that matter of a library."""
    if source is not None:
        module = _ready(machine, source)
        for name, value in module.items():
            if not name.startswith("_"):
                machine.bind(name, value)
    elif node.module in (
        "torch.nn",
        "torch.nn.functional",
        "torch",
        "numpy",
        "keras.layers",
        "tensorflow.keras.layers",
    ):
        for name in NAMES:
            machine.bind(name, Api(f"{node.module}.{name}"))


def _ready(machine: Machine, source: ModuleValue) -> dict[str, Value]:
    machine.load(source.module)
    names: dict[str, Value] = source.module.names
    return names


def _module(machine: Machine, name: str, level: int) -> ModuleValue | None:
    found = machine.project.find(name, level, machine.module.path)
    return None if found is None or found is machine.module else ModuleValue(found)


# ---------------------------------------------------------------------- branches


def _if(machine: Machine, node: ast.If) -> bool:
    condition = truth(evaluate(machine, node.test))
    if condition is not None:
        return run(machine, node.body if condition else node.orelse)
    return _either(machine, [lambda: run(machine, node.body), lambda: run(machine, node.orelse)])


def _either(machine: Machine, ways: Sequence[Callable[[], bool]]) -> bool:
    """Go each way from here; afterwards holds what holds on those that went through."""
    start, ends = machine.fork(), []
    for index, way in enumerate(ways):
        machine.state = machine.state if index == 0 else dict(start)
        if way():
            ends.append(machine.state)
    machine.state = machine.merged(ends) if ends else start
    return bool(ends)


def _match(machine: Machine, node: ast.Match) -> bool:
    evaluate(machine, node.subject)
    ways = [lambda case=case: _case(machine, case) for case in node.cases]
    return _either(machine, [*ways, lambda: True])


def _case(machine: Machine, case: ast.match_case) -> bool:
    for pattern in ast.walk(case.pattern):
        name = getattr(pattern, "name", None) if isinstance(pattern, (ast.MatchAs, ast.MatchStar)) else None
        if name:
            machine.bind(name, UNKNOWN)
    return run(machine, case.body)


def _try(machine: Machine, node: ast.Try) -> bool:
    start = machine.fork()
    alive = run(machine, node.body) and run(machine, node.orelse)
    ends = [machine.state] if alive else []
    middle = machine.merged([dict(machine.state), start])
    for handler in node.handlers:
        machine.state = dict(middle)
        if handler.name:
            machine.bind(handler.name, UNKNOWN)
        if run(machine, handler.body):
            ends.append(machine.state)
    machine.state = machine.merged(ends) if ends else middle
    return run(machine, node.finalbody) and bool(ends)


def _with(machine: Machine, node: ast.With | ast.AsyncWith) -> bool:
    for item in node.items:
        value = evaluate(machine, item.context_expr)
        if item.optional_vars is not None:
            assign(machine, item.optional_vars, value if isinstance(value, (Instance, Layer)) else UNKNOWN)
    return run(machine, node.body)


# ---------------------------------------------------------------------- loops


def _for(machine: Machine, node: ast.For | ast.AsyncFor) -> bool:
    source = evaluate(machine, node.iter)
    if (
        isinstance(source, Items)
        and source.exact
        and 0 < len(source.items) <= UNROLLED
        and len(machine.frame.loops) < 2
    ):
        for value in source.items:
            if not _once(machine, node, value):
                break
        return run(machine, node.orelse)
    element = source.rest if isinstance(source, Items) and source.rest is not None else None
    return _loop(machine, node, lambda: assign(machine, node.target, element or tensor()))


def _while(machine: Machine, node: ast.While) -> bool:
    forever = truth(evaluate(machine, node.test)) is True
    _loop(machine, node, lambda: None)
    evaluate(machine, node.test)
    return not forever or any(isinstance(inner, ast.Break) for inner in ast.walk(node))


def _once(machine: Machine, node: ast.For | ast.AsyncFor, value: Value) -> bool:
    """One turn of a loop over known items; False if it certainly left the loop."""
    loop = Loop(node)
    machine.frame.loops.append(loop)
    assign(machine, node.target, value)
    alive = run(machine, node.body)
    machine.frame.loops.pop()
    ends = [*([machine.state] if alive else []), *loop.continues]
    machine.state = machine.merged([*ends, *loop.breaks]) if ends or loop.breaks else machine.state
    return bool(ends)


def _loop(machine: Machine, node: Any, begin: Callable[[], None]) -> bool:
    """The body twice, the second time from what holds after none or one turn; then the same for what follows."""
    loop = Loop(node)
    machine.frame.loops.append(loop)
    start = machine.fork()
    for _ in range(2 if len(machine.frame.loops) <= 3 else 1):
        loop.continues.clear()
        begin()
        alive = run(machine, node.body)
        ends = [*([machine.state] if alive else []), *loop.continues]
        machine.state = machine.merged([*ends, start]) if ends else dict(start)
    machine.frame.loops.pop()
    machine.state = machine.merged([machine.state, *loop.breaks])
    return run(machine, node.orelse)


def _leave(machine: Machine, node: ast.Break | ast.Continue) -> bool:
    if machine.frame.loops:
        loop = machine.frame.loops[-1]
        (loop.breaks if isinstance(node, ast.Break) else loop.continues).append(machine.fork())
    return False


def _return(machine: Machine, node: ast.Return) -> bool:
    machine.frame.returns.append(NONE if node.value is None else evaluate(machine, node.value))
    return False


def _raise(machine: Machine, node: ast.Raise) -> bool:
    evaluate_all(machine, [part for part in (node.exc, node.cause) if part is not None])
    return False


def _foreign(machine: Machine, node: ast.Global | ast.Nonlocal) -> None:
    """Names of the module, or of the function around."""
    frame = machine.frame
    for name in node.names:
        outer = [key for key in frame.scope if (key, name) in machine.state]
        frame.foreign[name] = outer[0] if isinstance(node, ast.Nonlocal) and outer else machine.module.number


STATEMENTS: dict[type[ast.stmt], Callable[[Machine, Any], bool | None]] = {
    ast.Expr: _expression,
    ast.Assign: _assign,
    ast.AnnAssign: _annotated,
    ast.AugAssign: _augmented,
    ast.Delete: _delete,
    ast.Import: _import,
    ast.ImportFrom: _import_from,
    ast.If: _if,
    ast.Match: _match,
    ast.Try: _try,
    ast.With: _with,
    ast.AsyncWith: _with,
    ast.For: _for,
    ast.AsyncFor: _for,
    ast.While: _while,
    ast.Break: _leave,
    ast.Continue: _leave,
    ast.Return: _return,
    ast.Raise: _raise,
    ast.Global: _foreign,
    ast.Nonlocal: _foreign,
    ast.FunctionDef: define_function,
    ast.AsyncFunctionDef: define_function,
    ast.ClassDef: define_class,
}
if hasattr(ast, "TryStar"):
    STATEMENTS[ast.TryStar] = _try

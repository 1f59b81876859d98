"""The evaluator: what expressions, statements, calls and imports mean, tied together for the parts below."""

from __future__ import annotations

import ast
import contextlib
from collections.abc import Iterator, Sequence

from . import calls, expressions, statements
from .machine import Frame, Machine, OutOfBudgetError
from .project import Module
from .values import Args, Value
from .worth import MODELS

__all__ = ["Evaluator", "attempt", "settle", "top"]

STEPS_OF_IMPORT = 5_000
LONGEST_IMPORT = 120_000  # characters; a longer module is a library's, and takes longer than it tells
LOADS = 8  # modules that one file may have read though no word in them matters


class Evaluator(Machine):
    """A machine that knows what code means."""

    def evaluate(self, node: ast.expr) -> Value:
        """See expressions.evaluate."""
        return expressions.evaluate(self, node)

    def run(self, body: Sequence[ast.stmt]) -> bool:
        """See statements.run."""
        return statements.run(self, body)

    def assign(self, target: ast.expr, value: Value) -> None:
        """See statements.assign."""
        statements.assign(self, target, value)

    def call(self, callee: Value, args: Args, node: ast.Call) -> Value:
        """See calls.call."""
        return calls.call(self, callee, args, node)

    def load(self, module: Module) -> None:
        """Run a module that another one imports, once, for its names."""
        if module.ready or module.running:
            return
        module.ready = True
        self.project.loads += 1
        text = module.source.text
        worth = module.source.interesting or module.path.endswith("__init__.py") or self.project.loads <= LOADS
        worth = worth or (self.project.loads <= 2 * LOADS and MODELS.search(text) is not None)
        if not worth or len(text) > LONGEST_IMPORT or module.source.tree is None:
            return
        machine = Evaluator(self.project, Module(module.source, 0), lambda _: None, STEPS_OF_IMPORT)
        with contextlib.suppress(OutOfBudgetError, RecursionError):
            top(machine, module)
        settle(machine, module)


@contextlib.contextmanager
def attempt(machine: Machine, node: ast.AST) -> Iterator[None]:
    """Follow a function or statement as far as its share of steps reaches; what is left out is kept, to be told."""
    depth, before = len(machine.frames), len(machine.skipped)
    machine.begin()
    try:
        yield
    except RecursionError:
        del machine.frames[max(depth, 1) :]
        machine.skipped.append("it is nested too deeply")
    more = machine.skipped[before:]
    del machine.skipped[before:]
    if more:
        others = f" and {len(more) - 1} more" if len(more) > 1 else ""
        machine.partly[machine.place(node)] = more[0] + others


def top(machine: Machine, module: Module) -> None:
    """The module's own statements, and the functions in them."""
    tree = module.source.tree
    assert tree is not None
    machine.frames.append(Frame(module.number, module, ()))
    module.running = True
    try:
        for statement in tree.body:
            alive = True
            with attempt(machine, statement):
                alive = machine.run([statement])
            if not alive:
                break
    finally:
        module.running = False


def settle(machine: Machine, module: Module) -> None:
    """What the module's code has made becomes the ground on which its functions run."""
    del machine.frames[1:]
    module.names = {key[1]: value for key, value in machine.state.items() if key[0] == module.number}
    rest = {key: value for key, value in machine.state.items() if key[0] != module.number}
    machine.project.heap.update(rest)
    machine.fresh()
    machine.settled()

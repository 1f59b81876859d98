"""The state of a run over one file: names and attributes on the path taken so far, frames, a budget, and findings.

What expressions, statements and calls mean is told by `evaluator.Evaluator`, which the parts below it do not import.
"""

from __future__ import annotations

import ast
import builtins
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

from .memory import Memory
from .project import Module, Project
from .values import UNKNOWN, Api, Args, Class, Function, Instance, Place, Tensor, Value, join

__all__ = ["DEEPEST", "MOST_STEPS", "Found", "Frame", "Loop", "Machine", "OutOfBudgetError", "own_members", "place_of"]

STEPS = 40_000  # statements and expressions that what one function calls may take
FILE_STEPS = 120_000  # and all of a file's calls together
MOST_STEPS = 5_000_000  # beyond which nothing of a file is looked at
DEEPEST = 9
BUILTINS = frozenset(dir(builtins))
CALLED = "called from line "

State = dict[Any, Value]


class OutOfBudgetError(Exception):
    """The file is too large to be followed further; what was found stands."""


@dataclass(frozen=True)
class Found:
    """A rule and where: the place that decides (a loss), and the place where the value came from, if elsewhere."""

    rule: str
    place: Place
    origin: Place | None
    level: str
    detail: str
    loss: Place | None = None  # where the loss was made or called by name
    value: Tensor | None = None  # what the loss was given


@dataclass(eq=False)
class Loop:
    """Paths that left a loop's body early, and the loop itself."""

    node: ast.AST
    breaks: list[State] = field(default_factory=list)
    continues: list[State] = field(default_factory=list)


@dataclass(eq=False)
class Frame:
    """One call: its names lie in the state under its number."""

    number: int
    module: Module
    scope: tuple[int, ...]
    function: Function | None = None
    returns: list[Value] = field(default_factory=list)
    foreign: dict[str, int] = field(default_factory=dict)
    nested: list[Function] = field(default_factory=list)
    loops: list[Loop] = field(default_factory=list)
    me: Value | None = None
    call: Place | None = None  # where a call with known arguments stands


def place_of(module: Module, node: ast.AST) -> Place:
    """Where a node stands."""
    line, column = getattr(node, "lineno", 1), getattr(node, "col_offset", 0)
    end_line, end_column = getattr(node, "end_lineno", None), getattr(node, "end_col_offset", None)
    return Place(module.path, line, column + 1, end_line or line, (end_column or column) + 1)


class Machine(ABC):
    """What statements and expressions act on."""

    @abstractmethod
    def evaluate(self, node: ast.expr) -> Value:
        """What is known of an expression; mistakes inside it are reported."""

    @abstractmethod
    def run(self, body: Sequence[ast.stmt]) -> bool:
        """Run statements in turn; False where the path ends (return, raise, break, continue)."""

    @abstractmethod
    def assign(self, target: ast.expr, value: Value) -> None:
        """Bind a name, several names, an attribute or an item."""

    @abstractmethod
    def call(self, callee: Value, args: Args, node: ast.Call) -> Value:
        """What a call gives."""

    @abstractmethod
    def load(self, module: Module) -> None:
        """Run a module that another one imports, once, for its names."""

    def __init__(self, project: Project, main: Module, report: Callable[[Found], None], steps: int = STEPS) -> None:
        self.project = project
        self.main = main
        self.report = report
        self.state: State = {}
        self.frames: list[Frame] = []
        self.seen: set[ast.AST] = set()  # functions that were called with what their callers give
        self.functions: list[Function] = []
        self.classes: list[Class] = []
        self.steps = 0
        self.share = self.limit = steps
        self.skipped: list[str] = []  # calls that were not followed, for they would take too long
        self.partly: dict[Place, str] = {}  # functions and statements that were followed only in part, and why
        self.logits: dict[Place, Place] = {}  # layers whose output a binary loss of scores was given, and where
        self.thresholds: dict[Place, list[Place]] = {}  # layers whose output was compared with 0.5, and where
        self.guesses: list[tuple[Any, Tensor, Place, str]] = []  # losses of what unknown callables gave
        self.endings: list[Tensor] = []  # what the models of the file end in, where that is a softmax or sigmoid
        self.found: set[tuple[str, Place]] = set()
        self.only: tuple[str, ...] = ()  # the rules that are looked for, where not all are
        self.shown: set[ast.AST] = set()  # functions that were called with arrays of written-out numbers
        self.real: set[ast.AST] = set()  # functions that were called with more than constants
        self.created = 0
        self.memory = Memory()
        self.changes = self.version = self.base = 0  # names of modules and attributes of objects change with them
        self.doubts = 0  # how many of the calls around are one of several that may be meant

    @property
    def frame(self) -> Frame:
        """The call that runs."""
        return self.frames[-1]

    @property
    def module(self) -> Module:
        """The module whose code runs."""
        return self.frames[-1].module

    @property
    def scope_here(self) -> tuple[int, ...]:
        """The frames that a function defined here can see."""
        frame = self.frame
        return frame.scope if frame.number == frame.module.number else (frame.number, *frame.scope)

    def step(self) -> None:
        """Count; give up on a file that takes too long."""
        self.steps += 1
        if self.steps > MOST_STEPS:
            raise OutOfBudgetError

    def changed(self) -> None:
        """What calls may depend on is another than before."""
        self.changes += 1
        self.version = self.changes

    def fresh(self) -> None:
        """Begin with what the module's own code has left, and with what objects are known to hold."""
        self.state = {}
        self.version = self.base

    def settled(self) -> None:
        """What the objects hold has changed for all that comes."""
        self.changed()
        self.base = self.version

    def begin(self) -> None:
        """A function, or a statement of the module, may call for so many steps from here."""
        self.limit = self.steps + max(0, min(self.share, FILE_STEPS - self.steps))

    def place(self, node: ast.AST) -> Place:
        """Where a node of the running code stands."""
        return place_of(self.module, node)

    def find(
        self,
        rule: str,
        node: ast.AST | Place,
        origin: Place | None = None,
        *,
        certain: bool = True,
        detail: str = "",
        loss: Place | None = None,
        value: Tensor | None = None,
    ) -> None:
        """Report a mistake."""
        if self.only and rule not in self.only:
            return
        where = node if isinstance(node, Place) else self.place(node)
        level = "certain" if certain and not self.doubts else "possible"
        called = [frame.call for frame in self.frames if frame.call is not None]
        if origin is not None and called and called[-1].path == where.path:
            detail = f"{detail}, " if detail else ""
            detail = f"{detail}{CALLED}{called[-1].line}"
        self.found.add((rule, where))
        self.report(Found(rule, where, None if origin == where else origin, level, detail, loss, value))

    def new_frame(self, module: Module, scope: tuple[int, ...], function: Function | None = None) -> Frame:
        """A frame of its own number."""
        self.created += 1
        return Frame(self.created, module, scope, function)

    # ------------------------------------------------------------------ names

    def lookup(self, name: str) -> Value:
        """The value of a name: local, enclosing, global, built in."""
        frame = self.frame
        number = frame.foreign.get(name)
        for key in (frame.number, *frame.scope) if number is None else (number,):
            value = self.state.get((key, name)) or (self.project.heap.get((key, name)) if key != frame.number else None)
            if value is not None:
                return value
        value = self.state.get((frame.module.number, name)) or frame.module.names.get(name)
        if value is not None:
            return value
        return Api(f"builtins.{name}") if name in BUILTINS else UNKNOWN

    def bind(self, name: str, value: Value) -> None:
        """Give a name a value."""
        frame = self.frame
        number = frame.foreign.get(name, frame.number)
        if number != frame.number or frame.function is None:
            self.changed()
        self.state[number, name] = value

    def attribute(self, number: Any, name: str) -> Value | None:
        """What was stored under an object's attribute."""
        key = (number, name)
        value = self.state.get(key)
        return self.project.heap.get(key) if value is None else value

    def store(self, number: Any, name: str, value: Value) -> None:
        """Store an attribute of an object."""
        if self.state.get((number, name)) is not value:
            self.changed()
        self.state[number, name] = value

    # ------------------------------------------------------------------ paths

    def fork(self) -> State:
        """The state so far, to go another way from."""
        return dict(self.state)

    @staticmethod
    def merged(states: Iterable[State]) -> State:
        """What holds on all of these paths; a name that only some of them have keeps its value."""
        first, *rest = states
        if not rest:
            return first
        result = dict(first)
        for other in rest:
            known = result.get
            for key, value in [item for item in other.items() if known(item[0]) is not item[1]]:
                mine = known(key)
                result[key] = value if mine is None else join(mine, value)
        return result

    def forget(self, number: int) -> None:
        """Drop the names of a call that has returned."""
        for key in [key for key in self.state if key[0] == number]:
            del self.state[key]


def own_members(value: Instance) -> Iterable[Class]:
    """The class of an instance and those of its bases that the project has, nearest first."""
    waiting, seen = [value.of], set()
    while waiting:
        here = waiting.pop(0)
        if here in seen:
            continue
        seen.add(here)
        yield here
        waiting += [base for base in here.bases if isinstance(base, Class)]

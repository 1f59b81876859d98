"""What the linter knows of a value: nothing, a constant, a function, a module, or a tensor and where it came from.

`join` is the meet of two paths: what differs is forgotten, so that a finding holds on every path that reaches it. Of a
tensor that is a softmax on one path only, `certain` remembers that it may be one.
"""

from __future__ import annotations

import ast
import itertools
from dataclasses import dataclass, field, replace
from typing import Any, NamedTuple

__all__ = [
    "NONE",
    "UNKNOWN",
    "Api",
    "Args",
    "Class",
    "Constant",
    "Either",
    "Function",
    "Instance",
    "Items",
    "Layer",
    "Lazy",
    "Mapping",
    "Method",
    "ModuleValue",
    "Partial",
    "Place",
    "Root",
    "Super",
    "Tensor",
    "Value",
    "join",
    "origins",
    "tensor",
]

PROBABILITIES = ("softmax", "sigmoid")
SQUEEZED = (*PROBABILITIES, "log_softmax", "log_sigmoid")  # kinds whose origin is remembered
_numbers = itertools.count()


class Place(NamedTuple):
    """Where something stands in a file; lines from 1, columns from 1."""

    path: str
    line: int
    column: int
    end_line: int
    end_column: int


class Value:
    """Something of which nothing is known."""


UNKNOWN = Value()


@dataclass(frozen=True)
class Constant(Value):
    """A number, a string, True, False or None."""

    value: Any


NONE = Constant(None)


@dataclass(frozen=True)
class Api(Value):
    """An object of a library, by its dotted name."""

    name: str


@dataclass(frozen=True, eq=False)
class ModuleValue(Value):
    """A module of the project."""

    module: Any


@dataclass(frozen=True)
class Lazy(Value):
    """A name that was imported from a module of the project, which is read when the name is used."""

    module: Any
    name: str


@dataclass(frozen=True, eq=False)
class Function(Value):
    """A function or lambda of the project, with the frames around it; bound to `owner` if it is a method."""

    node: ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda
    module: Any
    scope: tuple[int, ...]
    owner: Value | None = None
    home: Class | None = None
    opaque: bool = False  # behind a decorator that may change what it returns


@dataclass(frozen=True, eq=False)
class Class(Value):
    """A class of the project."""

    node: ast.ClassDef
    module: Any
    bases: tuple[Value, ...]
    members: dict[str, Value]
    frame: int = -1


@dataclass(frozen=True)
class Instance(Value):
    """An object of a class of the project; its attributes lie in the state, under `number`."""

    of: Class
    number: Any


@dataclass(frozen=True, eq=False)
class Layer(Value):
    """An object of a library that is called on tensors: a layer, a loss, a model; `args` are its constructor's."""

    name: str
    args: Args
    place: Place
    parts: tuple[Value, ...] | None = None
    number: int = field(default_factory=lambda: next(_numbers))


@dataclass(frozen=True)
class Items(Value):
    """A tuple or list: its last items, preceded by unknown ones unless `exact`."""

    items: tuple[Value, ...]
    exact: bool = True
    rest: Value | None = None  # what the unknown ones have in common


@dataclass(frozen=True, eq=False)
class Mapping(Value):
    """A dictionary, or keyword arguments kept by a record."""

    items: dict[Any, Value]
    record: bool = False


@dataclass(frozen=True, eq=False)
class Method(Value):
    """An attribute of a value that is about to be called."""

    of: Value
    name: str
    node: ast.AST


@dataclass(frozen=True, eq=False)
class Super(Value):
    """super(): the object, and the class after which its methods are looked for."""

    of: Instance
    after: Class


@dataclass(frozen=True, eq=False)
class Partial(Value):
    """functools.partial and its like; `wrap` says what becomes of the result."""

    of: Value
    args: Args
    wrap: str = ""


@dataclass(frozen=True, eq=False)
class Either(Value):
    """One of several objects; what is done with it is done with each, and is a mistake of one of them perhaps."""

    values: tuple[Value, ...]


@dataclass(eq=False)
class Root:
    """What is shared by all views of one tensor: was it given to a loss of logits, was it compared with 0.5."""

    logits: Place | None = None
    thresholds: list[Place] = field(default_factory=list)


@dataclass(frozen=True, eq=False)
class Tensor(Value):
    """An array. `kind` names what made it; `place` is where.

    Kinds: softmax, sigmoid, log_softmax, log_sigmoid, linear, label (argmax, round), index (labels by their dtype),
    one_hot, exp, sum_exp, maximum, shifted, loss, fresh (made from numbers), and "" for the rest. `origins` are all the
    places where its softmax or sigmoid may have been made, one for each way that leads here.
    """

    kind: str = ""
    place: Place | None = None
    certain: bool = True
    framework: str = ""
    width: int | None = None
    ndim: int | None = None
    axis: int | None = None  # along which a softmax was taken, until the layout changes
    whole: bool = True  # whole rows of classes, not single elements
    guarded: bool = False  # kept away from 0 and 1
    touched: bool = False  # some elements were changed since: what holds of the scores before holds no longer
    guess: bool = False  # what an unknown callable gave: it may be a model's output
    bounded: bool = False  # whatever it was made of, it cannot be large
    origins: frozenset[Place] = frozenset()
    complement: bool = False  # 1 − p
    floating: bool | None = None
    column: bool = False  # made into (N, 1)
    top: int | None = None
    low: int | None = None
    detached: Place | None = None
    of: Any = None  # what exp was taken of
    one_unit: Place | None = None
    root: Root = field(default_factory=Root)


def tensor(kind: str = "", place: Place | None = None, **known: Any) -> Tensor:
    """A tensor with a root of its own."""
    if kind in SQUEEZED and place is not None:
        known.setdefault("origins", frozenset((place,)))
    return Tensor(kind, place, **known)


def origins(value: Value, depth: int = 3) -> frozenset[Place]:
    """Where the probabilities in a value, or in what it holds, were made."""
    if isinstance(value, Tensor):
        return value.origins
    if depth and isinstance(value, (Items, Mapping)):
        inside = list(value.items.values()) if isinstance(value, Mapping) else list(value.items)
        if isinstance(value, Items) and value.rest is not None:
            inside.append(value.rest)
        return frozenset().union(*(origins(item, depth - 1) for item in inside))
    return frozenset()


@dataclass(frozen=True, eq=False)
class Args:
    """The arguments of a call; `exact` unless * or ** hides some."""

    positional: tuple[Value, ...]
    keywords: dict[str, Value]
    node: ast.Call | None = None
    exact: bool = True

    def get(self, index: int | None, *names: str) -> Value | None:
        """The argument at an index or under one of these names."""
        for name in names:
            if name in self.keywords:
                return self.keywords[name]
        if index is not None and index < len(self.positional) and self.exact:
            return self.positional[index]
        return None

    def constant(self, index: int | None, *names: str, default: Any = None) -> Any:
        """A constant argument, the default where it is left out, and ... where it is not known."""
        value = self.get(index, *names)
        if value is None:
            return default if self.exact else ...
        return value.value if isinstance(value, Constant) else ...


def join(a: Value, b: Value) -> Value:
    """What holds of both; None gives way, since a program that uses it as something else does not get there."""
    if a is b or a == b or b is NONE or b == NONE:
        return a
    if a == NONE:
        return b
    if isinstance(a, Tensor) or isinstance(b, Tensor):
        return _join_tensors(a, b)
    if isinstance(a, Items) and isinstance(b, Items):
        return _join_items(a, b)
    if isinstance(a, Mapping) and isinstance(b, Mapping) and a.record == b.record:
        both = {key: join(a.items[key], b.items[key]) for key in a.items if key in b.items}
        return Mapping(both, a.record)
    if isinstance(a, Layer) and isinstance(b, Layer) and a.name == b.name and (a.place == b.place or _plain(a)):
        return b if a.place == b.place else Layer(a.name, Args((), {}, a.args.node, exact=False), a.place)
    if isinstance(a, Instance) and isinstance(b, Instance) and a.of is b.of:
        return b
    if isinstance(a, Function) and isinstance(b, Function) and (a.node, a.owner) == (b.node, b.owner):
        return b
    return _either(a, b)


CALLED = (Layer, Instance, Function, Class, Partial)


def _plain(layer: Layer) -> bool:
    """Whether a layer is told by its name alone: a loss, a softmax; not a sequence or a model with a head."""
    return layer.name.rpartition(".")[2].endswith(("Loss", "Softmax", "Sigmoid", "Linear", "Dropout", "entropy"))


def _either(a: Value, b: Value) -> Value:
    """One of both, if both can be called."""
    values = [*(a.values if isinstance(a, Either) else [a]), *(b.values if isinstance(b, Either) else [b])]
    distinct = list(dict.fromkeys(values))
    if len(distinct) > MOST_WAYS or not all(isinstance(value, CALLED) for value in distinct):
        return UNKNOWN
    return Either(tuple(distinct)) if len(distinct) > 1 else distinct[0]


MOST_WAYS = 4


def _join_tensors(a: Value, b: Value) -> Value:
    """One kind stays; of two, what may be a mistake is kept as uncertain."""
    if isinstance(a, Tensor) and isinstance(b, Tensor) and a.kind == b.kind:
        same: dict[str, Any] = {
            name: getattr(a, name) if getattr(a, name) == getattr(b, name) else None
            for name in ("axis", "width", "ndim", "floating", "top", "low", "detached", "of", "one_unit")
        }
        return replace(
            a,
            certain=a.certain and b.certain,
            guarded=a.guarded or b.guarded,
            touched=a.touched or b.touched,
            bounded=a.bounded and b.bounded,
            guess=a.guess or b.guess,
            origins=a.origins | b.origins,
            whole=a.whole and b.whole,
            column=a.column and b.column,
            root=a.root if a.root is b.root else Root(),
            **same,
        )
    for one in (a, b):
        if isinstance(one, Tensor) and one.kind in ("softmax", "sigmoid", "log_softmax"):
            return replace(one, certain=False, root=Root(), width=None, ndim=None, one_unit=None, detached=None)
    return UNKNOWN


def _join_items(a: Items, b: Items) -> Items:
    """Items position by position, or the common tail of lists that grew differently."""
    rests = [rest for rest in (a.rest, b.rest) if rest is not None]
    if a.exact and b.exact and len(a.items) == len(b.items):
        return Items(tuple(map(join, a.items, b.items)))
    tail: list[Value] = []
    for one, two in zip(reversed(a.items), reversed(b.items), strict=False):
        if one is not two and one != two:
            break
        tail.insert(0, one)
    for value in (*a.items, *b.items):
        rests.append(value)
    rest: Value | None = rests[0] if rests else None
    for other in rests[1:]:
        rest = join(rest, other) if rest is not None else other
    return Items(tuple(tail), exact=False, rest=rest)

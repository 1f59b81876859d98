"""Follows a file: its own code, then every function and method that nobody called, its arguments unknown."""

from __future__ import annotations

import ast
import re
from collections import Counter
from collections.abc import Callable

from .calls import call_function, instantiate
from .evaluator import Evaluator, attempt, settle, top
from .judge import guesses
from .machine import MOST_STEPS, Found, Machine, OutOfBudgetError
from .project import Module, Project
from .smoothing import look_at_smoothing
from .values import UNKNOWN, Args, Class, Function, Instance, Value, join
from .worth import worth_a_look, worthy_methods

__all__ = ["look_at"]

FIRST = ("__init__", "setup", "build", "build_model", "configure_model", "_build", "init_model", "create_model")
IMPORT = re.compile(r"^[ \t]*(?:from[ \t]+([.\w]+)[ \t]+import|import[ \t]+([\w.]+))", re.MULTILINE)
SMOOTHED = ("one_hot", "onehot", "eye(", "scatter(", "scatter_(")
LONG = 600  # lines beyond which only the functions are followed whose text has a word that matters
WORD = re.compile(r"\w+")
MOST_TOLD = 5
NUMERIC = ("X008", "X019", "X020", "X021", "X022", "X034")
NUMBERS = re.compile(r"exp\b|log|softmax")


def look_at(project: Project, module: Module, report: Callable[[Found], None], *, always: bool = False) -> None:
    """Report every mistake that can be seen in a module; files without a word that matters are not looked at."""
    if not (always or module.source.interesting or _trains(project, module)) or module.source.tree is None:
        return
    project.loads = 0
    machine = Evaluator(project, module, report)
    try:
        top(machine, module)
        settle(machine, module)
        _functions(machine, module)
        guesses(machine)
    except OutOfBudgetError:
        place = machine.place(module.source.tree.body[0])
        report(Found("not-analysed", place, None, "certain", f"more than {MOST_STEPS:,} steps"))
    _tell(machine, report)


def _tell(machine: Machine, report: Callable[[Found], None]) -> None:
    """What was followed only in part; of a file where that is much, once."""
    partly = sorted(machine.partly.items())
    for place, why in partly if len(partly) <= MOST_TOLD else partly[:1]:
        more = "" if len(partly) <= MOST_TOLD else f"; so it is with {len(partly) - 1} more functions of the file"
        report(Found("not-analysed", place, None, "certain", why + more))


def _functions(machine: Machine, module: Module) -> None:
    """The functions and classes that nobody called."""
    assert module.source.tree is not None
    long = len(module.source.lines) > LONG and machine.project.uses is None
    worth = worth_a_look(module) if long else None
    for function in _entries_first(machine.functions, module):
        if function.node not in machine.seen and (worth is None or function.node in worth):
            with attempt(machine, function.node):
                _alone(machine, function)
    for of in list(machine.classes):
        if worth is None or of.node in worth or of.node not in module.source.tree.body:
            _class(machine, of, long=long)
    _demonstrated(machine)
    lowered = module.source.text.lower()
    if any(word in lowered for word in SMOOTHED):
        look_at_smoothing(machine, module.source.tree)


def _entries_first(functions: list[Function], module: Module) -> list[Function]:
    """Functions that nothing else names come first: those that they call are seen with what they are given."""
    words = Counter(WORD.findall(module.source.text))
    return sorted(functions, key=lambda function: words[_name(function)] > 1)


def _demonstrated(machine: Machine) -> None:
    """Functions that were called with constants alone, once more with nothing known: for the rules about numbers."""
    machine.only, uses, machine.project.uses = NUMERIC, machine.project.uses, None
    for function in [*machine.functions, *(m for of in machine.classes for m in of.members.values())]:
        called = isinstance(function, Function) and function.node in machine.shown - machine.real
        if isinstance(function, Function) and called and _calculates(machine, function):
            with attempt(machine, function.node):
                _alone(machine, function)
    machine.only, machine.project.uses = (), uses


def _calculates(machine: Machine, function: Function) -> bool:
    """Whether a function's text has an exponential or a logarithm."""
    node = function.node
    text = "\n".join(machine.module.source.lines[node.lineno - 1 : node.end_lineno])
    return function.module is machine.module and NUMBERS.search(text) is not None


def _trains(project: Project, module: Module) -> bool:
    """Whether a file without a word that matters trains what it imports from a file of the project that has one."""
    text = module.source.text
    if not any(word in text for word in ("backward(", ".fit(", ".train(")):
        return False
    for match in IMPORT.finditer(text):
        name = match[1] or match[2]
        dots = len(name) - len(name.lstrip("."))
        found = project.find(name[dots:], dots, module.path)
        if found is not None and (found.source.interesting or found.path.endswith("__init__.py")):
            return True
    return False


def _alone(machine: Machine, function: Function) -> None:
    """A function with nothing known of its arguments."""
    machine.fresh()
    call_function(machine, function, Args((), {}, exact=False), function.node, generic=True)


def _class(machine: Machine, of: Class, *, long: bool) -> None:
    """The methods of a class, on an object that was made with nothing known."""
    methods = [member for member in of.members.values() if isinstance(member, Function)]
    if long:
        chosen = worthy_methods(of.node, of.module)
        methods = [method for method in methods if method.node in chosen]
    if all(method.node in machine.seen for method in methods):
        return
    machine.fresh()
    with attempt(machine, of.node):
        instance = instantiate(machine, of, Args((), {}, exact=False), of.node, number=("class", id(of.node)))
        if isinstance(instance, Instance):
            _methods(machine, instance, methods)


def _methods(machine: Machine, instance: Instance, methods: list[Function]) -> None:
    """Each method that nobody called; what one of them keeps in the object the next ones find there.

    An attribute that several methods assign is, for all of them, the join of what they assign: they are run twice.
    """
    _keep(machine, instance)
    several = _volatile(instance.of)
    first = {name: machine.attribute(instance.number, name) for name in several}
    joined: dict[str, Value] = {name: value for name, value in first.items() if value is not None}
    methods.sort(key=lambda method: FIRST.index(_name(method)) if _name(method) in FIRST else len(FIRST))
    waiting = [method for method in methods if method.node not in machine.seen]
    for method in waiting:
        given = _run_method(machine, instance, method, dict.fromkeys(several, UNKNOWN))
        for name, value in given.items():
            joined[name] = join(joined[name], value) if name in joined else value
        _keep(machine, instance)
    known = {name: value for name, value in joined.items() if value is not UNKNOWN}
    for method in waiting:
        if _reads(method.node) & set(known):
            _run_method(machine, instance, method, {**dict.fromkeys(several, UNKNOWN), **known})


def _run_method(machine: Machine, instance: Instance, method: Function, held: dict[str, Value]) -> dict[str, Value]:
    """Run a method on an object that holds these attributes; those of them that it gave another value."""
    machine.fresh()
    for name, value in held.items():
        machine.store(instance.number, name, value)
    owner = None if "staticmethod" in _decorators(method) else instance
    bound = Function(method.node, method.module, method.scope, owner, instance.of, method.opaque)
    with attempt(machine, method.node):
        call_function(machine, bound, Args((), {}, exact=False), method.node, generic=True)
    after = {name: machine.state.get((instance.number, name)) for name in held}
    return {name: value for name, value in after.items() if value is not None and value is not held[name]}


def _reads(node: ast.AST) -> set[str]:
    """The attributes that a method reads."""
    return {n.attr for n in ast.walk(node) if isinstance(n, ast.Attribute) and isinstance(n.ctx, ast.Load)}


def _keep(machine: Machine, instance: Instance) -> None:
    """What was stored in an object, and in the objects that it holds, is there for its other methods."""
    heap = machine.project.heap
    for key, value in machine.state.items():
        if not isinstance(key[0], int) or key[0] == instance.number or (isinstance(key[1], str) and key[1] == "#parts"):
            heap[key] = value
    machine.settled()


def _name(function: Function) -> str:
    return getattr(function.node, "name", "")


def _decorators(function: Function) -> set[str]:
    return {getattr(d, "id", getattr(d, "attr", "")) for d in getattr(function.node, "decorator_list", [])}


def _volatile(of: Class) -> set[str]:
    """Attributes that several methods assign: what they hold depends on which of them ran."""
    count: Counter[str] = Counter()
    for method in of.members.values():
        if isinstance(method, Function):
            count.update(_assigned(method.node))
    return {name for name, times in count.items() if times > 1}


def _assigned(node: ast.AST) -> set[str]:
    """The attributes of self that a method gives a value; None is one, too."""
    names = set()
    for inner in ast.walk(node):
        if isinstance(inner, ast.Assign):
            for target in inner.targets:
                if (
                    isinstance(target, ast.Attribute)
                    and isinstance(target.value, ast.Name)
                    and target.value.id == "self"
                ):
                    names.add(target.attr)
    return names

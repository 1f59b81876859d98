"""Which changes put findings right, who else would notice, and what the check says of the result.

A fix is safe if the loss is the only consumer of what it changes. Each is tried on the text, and the result checked,
before it is offered: its findings are gone, none has come, the comments are there.
"""

from __future__ import annotations

import ast
import os
from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from pathlib import Path

from ..settings import Settings
from ..source.files import files_of
from ..source.machine import Found
from ..source.project import Project
from ..source.report import Report, deep_recursion, look, look_at_files
from ..source.uses import Uses
from ..source.values import Place
from .consumers import Consumer, Consumers
from .documents import changed
from .edits import CannotEditError, Edit, comments_of, deletion, logarithm, renaming, twins
from .importers import importers
from .keras import is_keras_loss, told
from .thresholds import at_zero, compared_with_half
from .tree import Trees, last_name

__all__ = ["Fix", "Plan", "planned"]

DELETED = ("X001", "X002", "X004", "X028")  # the softmax or sigmoid before the loss goes
FIXABLE = (*DELETED, "X007", "X019", "X026")
SILENT = ("X007", "X026")  # which can be put right in some programs only, and are not said not to be
COUNTING = frozenset(
    ["append", "add_module", "children", "named_children", "modules", "insert", "extend", "len", "list", "enumerate"]
)
SINGLY = 40  # how many fixes are tried one by one where all of them together are not right


@dataclass
class Fix:
    """One change for one or several findings, by file."""

    findings: list[Found]
    edits: dict[str, list[Edit]] = field(default_factory=dict)
    consumers: list[Consumer] = field(default_factory=list)
    refused: str = ""

    @property
    def safe(self) -> bool:
        """Whether nobody but the loss would notice."""
        return not self.consumers

    @property
    def where(self) -> str:
        """The finding's place and rule."""
        first = min(self.findings, key=lambda one: one.place)
        return f"{first.place.path}:{first.place.line}: {first.rule}"


@dataclass
class Plan:
    """Fixes, the project that they change, and the content of the changed files."""

    fixes: list[Fix]
    project: Project
    contents: dict[str, bytes] = field(default_factory=dict)
    applied: list[Fix] = field(default_factory=list)
    count: Counter[tuple[str, str]] = field(default_factory=Counter)

    def before(self, path: str) -> bytes:
        """A file's bytes as they are."""
        return self.project.module(path).source.data


def planned(
    paths: Iterable[str | os.PathLike[str]],
    settings: Callable[[str], Settings],
    *,
    unsafe: bool,
    project: Project | None = None,
) -> Plan:
    """The fixes for files, and the files after those that are safe, or after all of them."""
    files = [os.fspath(path) for path in paths] if project else list(files_of(paths, settings))
    project = project or Project(Uses())
    report = look_at_files(files, settings, project)
    _look_at_users(report, project, files, settings)
    trees = Trees(project)
    trees.reads = [(tree, node) for tree, node in trees.reads if node not in (project.uses or Uses()).evaluated]
    given = {os.path.normpath(project.shown(str(Path(file).absolute()))) for file in files}
    made = [_made(group, project, trees, given) for group in _groups(report.raw)]
    plan = Plan([fix for fix in made if not (fix.refused and fix.findings[0].rule in SILENT)], project)
    _try(plan, [fix for fix in plan.fixes if not fix.refused and (fix.safe or unsafe)], files, settings)
    return plan


def _look_at_users(report: Report, project: Project, files: list[str], settings: Callable[[str], Settings]) -> None:
    """Follow the files, too, that have no word that matters but name a module in which something may change."""
    places = [place for one in report.raw for place in (one.place, *_origins(one))]
    names = {Path(p.path).parent.name if Path(p.path).stem == "__init__" else Path(p.path).stem for p in places}
    if not names:
        return
    with deep_recursion():
        for file in files:
            source = project.module(project.shown(str(Path(file).absolute()))).source
            if not source.interesting and any(name in source.text for name in names):
                look(project, file, settings(file), always=True)


# ---------------------------------------------------------------------- which findings go together


def _groups(found: Iterable[Found]) -> list[list[Found]]:
    """Findings that one change would touch: those with an origin, or a loss to be renamed, in common."""
    groups: list[tuple[set[Place], list[Found]]] = []
    for one in found:
        if one.rule not in FIXABLE or one.level != "certain":
            continue
        places, members = _touched(one), [one]
        rest = []
        for other, own in groups:
            if other & places:
                places, members = places | other, own + members
            else:
                rest.append((other, own))
        groups = [*rest, (places, members)]
    return [members for _, members in groups]


def _touched(one: Found) -> set[Place]:
    if one.rule in ("X019", "X026"):
        return {one.place}
    if one.rule == "X007" or _of_keras(one):
        return {one.loss or one.place}
    places = set(_origins(one))
    return places | {one.loss} if one.rule == "X028" and one.loss is not None else places


def _of_keras(one: Found) -> bool:
    """Whether the loss is told what it gets, and the model can stay as it is."""
    return one.rule != "X019" and one.value is not None and one.value.framework == "keras" and one.loss is not None


def _origins(one: Found) -> frozenset[Place]:
    return one.value.origins if one.value is not None and one.value.origins else frozenset([one.origin or one.place])


# ---------------------------------------------------------------------- one fix


def _made(group: list[Found], project: Project, trees: Trees, given: set[str]) -> Fix:
    """The edits for findings that go together, and who else would notice them."""
    fix = Fix(group)
    try:
        for one in group:
            _edit(fix, one, trees, project)
        outside = sorted(set(fix.edits) - given)
        if outside:
            raise CannotEditError(f"{outside[0]} would have to change and is not among the files checked")
    except CannotEditError as error:
        fix.refused = str(error)
        return fix
    fix.consumers = sorted(set(_consumers(group, project, trees, given)))
    return fix


def _edit(fix: Fix, one: Found, trees: Trees, project: Project) -> None:
    """Add what one finding asks for."""
    if one.rule == "X026":
        tree = trees.by_path.get(one.place.path)
        comparison = tree.expression(one.place) if tree is not None else None
        edits = [] if comparison is None else at_zero(comparison)
        if not edits:
            raise CannotEditError("the threshold is no comparison with 0.5")
        _add(fix, one.place.path, edits)
        return
    if one.rule == "X007" or _tells(one, trees):
        _tell(fix, one, trees, project)
        return
    if one.rule == "X019":
        tree = trees.by_path.get(one.place.path)
        call = tree.at(one.place) if tree is not None else None
        if tree is None or call is None:
            raise CannotEditError("the logarithm is not a call")
        _add(fix, one.place.path, logarithm(tree, call))
        return
    if one.value is not None and (one.value.touched or one.value.guarded or one.value.complement):
        raise CannotEditError("the probabilities are changed on their way to the loss")
    for origin in _origins(one):
        tree = trees.by_path.get(origin.path)
        call = tree.at(origin) if tree is not None else None
        if tree is None or call is None:
            raise CannotEditError("the softmax is written out by hand, or stands where it cannot be changed")
        _add(fix, origin.path, deletion(tree, call, keep_place=_counted(origin, project, trees)))
        for twin in twins(tree, call):
            _add(fix, origin.path, deletion(tree, twin, keep_place=False))
        if last_name(call).lower().startswith(("sigmoid", "expit")) and project.uses is not None:
            _zero(fix, project.uses.tensors.get(origin, ()), trees)
    if one.rule == "X028" and one.loss is not None:
        _rename(fix, one, trees, project)


def _add(fix: Fix, path: str, edits: list[Edit]) -> None:
    known = fix.edits.setdefault(path, [])
    known += [edit for edit in edits if edit not in known]


def _zero(fix: Fix, holders: Iterable[ast.AST], trees: Trees) -> None:
    """Comparisons with 0.5 of what becomes a score are with 0."""
    for node in holders:
        home = trees.homes.get(node)
        if home is not None:
            for comparison in compared_with_half(home, [node]):
                _add(fix, home.path, at_zero(comparison))


def _tells(one: Found, trees: Trees) -> bool:
    """Whether the loss is one of Keras' whose from_logits can be changed."""
    tree = trees.by_path.get(one.loss.path) if one.loss is not None and _of_keras(one) else None
    call = tree.at(one.loss) if tree is not None and one.loss is not None else None
    return call is not None and is_keras_loss(call)


def _tell(fix: Fix, one: Found, trees: Trees, project: Project) -> None:
    """The loss that was given scores takes scores, the one that was given probabilities takes those."""
    tree = trees.by_path.get(one.loss.path) if one.loss is not None else None
    call = tree.at(one.loss) if tree is not None and one.loss is not None else None
    if tree is None or call is None:
        raise CannotEditError("the loss is not made by a call that can be changed")
    if not is_keras_loss(call):
        _rename(fix, one, trees, project)
        return
    _only_these(fix, one, trees, project)
    _add(fix, tree.path, told(tree, call, logits=one.rule == "X007"))


def _rename(fix: Fix, one: Found, trees: Trees, project: Project) -> None:
    """The loss takes scores; all its calls must be among the findings."""
    assert one.loss is not None
    tree = trees.by_path.get(one.loss.path)
    call = tree.at(one.loss) if tree is not None else None
    if tree is None or call is None:
        raise CannotEditError("the loss is not made by a call that can be changed")
    _only_these(fix, one, trees, project)
    _add(fix, one.loss.path, renaming(tree, call))


def _only_these(fix: Fix, one: Found, trees: Trees, project: Project) -> None:
    """A loss that changes must be called for the findings alone."""
    assert one.loss is not None
    assert project.uses is not None
    losses = {found.place for found in fix.findings}
    for node in project.uses.objects.get(one.loss, ()):
        home = trees.homes.get(node)
        outer = home.parents.get(node) if home is not None else None
        if home is None or not isinstance(outer, ast.Call) or outer.func is not node:
            continue
        if home.place(outer) not in losses:
            raise CannotEditError(f"the loss is called with something else at {home.path}:{outer.lineno}")


def _counted(origin: Place, project: Project, trees: Trees) -> bool:
    """Whether the layers of the sequence that holds a softmax are read by number, counted, or added to."""
    uses, tree = project.uses, trees.by_path[origin.path]
    call = tree.at(origin)
    outer = tree.parents.get(call) if call is not None else None
    if uses is None or not isinstance(outer, ast.Call):
        return False
    for node in uses.objects.get(tree.place(outer), ()):
        home = trees.homes.get(node)
        parent = home.parents.get(node) if home is not None else None
        name = parent.attr if isinstance(parent, ast.Attribute) else ""
        argument = isinstance(parent, ast.Call) and parent.func is not node and last_name(parent) in COUNTING
        if isinstance(parent, (ast.Subscript, ast.For)) or name in COUNTING or argument:
            return True
    return False


def _consumers(group: list[Found], project: Project, trees: Trees, given: set[str]) -> Iterable[Consumer]:
    """Everyone who would notice a change other than the losses that the findings are about."""
    assert project.uses is not None
    if all(one.rule in ("X019", "X026") for one in group):
        return
    losses = {one.place for one in group}
    origins = frozenset().union(*(_origins(one) for one in group if one.rule != "X007" and not _tells(one, trees)))
    axes: dict[Place, object] = dict(project.uses.axes)
    for origin in origins:
        call = trees.by_path[origin.path].at(origin)
        if call is not None and last_name(call).lower().startswith(("sigmoid", "expit")):
            axes[origin] = "every"
    consumers = Consumers(project.uses, trees, losses, axes)
    for origin in origins:
        yield from consumers.of(origin)
        for twin in twins(trees.by_path[origin.path], call):
            yield from consumers.of(trees.by_path[origin.path].place(twin))
        if project.uses.makers.get(origin):
            yield from importers(origin.path, given)
    for one in group:
        renamed = one.rule in ("X028", "X007") or _tells(one, trees)
        if renamed and one.loss is not None and one.loss not in losses:
            yield from consumers.of_objects(one.loss)


# ---------------------------------------------------------------------- the result


def _try(plan: Plan, fixes: list[Fix], files: list[str], settings: Callable[[str], Settings]) -> None:
    """Apply the fixes together, or, where that is not right, one after another."""
    if _holds(plan, fixes, files, settings):
        return
    for fix in fixes[:SINGLY]:
        if not _holds(plan, [*plan.applied, fix], files, settings) and not fix.refused:
            fix.refused = "it does not go together with the other changes"
    for fix in fixes[SINGLY:]:
        fix.refused = "too many changes to try them one by one: apply some, and check again"


def _holds(plan: Plan, fixes: list[Fix], files: list[str], settings: Callable[[str], Settings]) -> bool:
    """Whether the text after these fixes is as it should be; then the plan takes them."""
    try:
        contents = _contents(plan, fixes)
    except CannotEditError as error:
        if fixes:
            fixes[-1].refused = str(error)
        return False

    def everything(path: str) -> Settings:
        return settings(path).everything

    plan.count = plan.count or _count(look_at_files(files, everything, _fresh(plan.project, {})))
    before, after = plan.count, _count(look_at_files(files, everything, _fresh(plan.project, contents)))
    gone = Counter((one.place.path, one.rule) for fix in fixes for one in {f.place: f for f in fix.findings}.values())
    new = after - before
    if new or any(after[key] > max(0, before[key] - count) for key, count in gone.items()):
        path, rule = next(iter(new), next(iter(gone), ("", "")))
        if fixes:
            fixes[-1].refused = f"after it the check finds {rule} in {path}"
        return False
    plan.contents, plan.applied = contents, list(fixes)
    return True


def _fresh(project: Project, texts: dict[str, bytes]) -> Project:
    return Project(Uses(), {**project.texts, **texts})


def _count(report: Report) -> Counter[tuple[str, str]]:
    """How many findings of each rule each file has, by their places."""
    places = {(one.place, one.rule) for one in report.raw}
    return Counter((place.path, rule) for place, rule in places)


def _contents(plan: Plan, fixes: list[Fix]) -> dict[str, bytes]:
    """The files after the fixes; parsed again, with every comment that they had."""
    edits: dict[str, list[Edit]] = {}
    for fix in fixes:
        for path, some in fix.edits.items():
            edits.setdefault(path, []).extend(edit for edit in some if edit not in edits.get(path, []))
    contents = {}
    for path, some in edits.items():
        source = plan.project.module(path).source
        contents[path] = changed(source, some)
        after = Project(texts={path: contents[path]}).module(path).source
        if comments_of(source.text) - comments_of(after.text):
            raise CannotEditError("a comment would be lost")
        if after.tree is None or (after.troubles and not source.troubles):
            raise CannotEditError("the result is no Python")
    return contents

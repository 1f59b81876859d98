"""A run over many files: only those that can matter, in processes, with what was found before, and a bar."""

from __future__ import annotations

import gc
import os
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path

import click

from .cache import Cache, Entry
from .settings import Settings
from .source import files_of, rules_of
from .source.project import Project
from .source.report import HEAVIEST, Report, deep_recursion, look
from .source.sources import may_mention

__all__ = ["run"]

TRAINS = (b"backward(", b".fit(", b".train(")  # a file without a word that matters may train what another file makes
ENOUGH = 48  # files for which further processes are worth their start
SHARE = 8  # files that a process is given at once


def run(paths: list[str], given: Settings, *, jobs: int, cache: bool, progress: bool) -> Report:
    """Look at the files below paths."""
    settings = rules_of(given)
    files = list(files_of(paths, settings))
    waiting = [path for path in files if _can_matter(path)]
    store = Cache(enabled=cache)
    known = {path: entry for path in waiting if (entry := store.get(path, settings(path))) is not None}
    new = [path for path in waiting if path not in known]
    result = Report()
    for path, entry in [
        *known.items(),
        *_shown(_looked_at(new, given, jobs or os.cpu_count() or 1), len(new), progress),
    ]:
        result.findings += entry.findings
        result.remarks += entry.remarks
        if path not in known:
            store.put(path, settings(path), entry)
    result.files = len(files)
    return result.finish()


def _can_matter(path: str) -> bool:
    """A look at the bytes: whether the file has a word that matters, or trains something."""
    try:
        data = Path(path).read_bytes()
    except OSError:
        return True
    wide = data[:2] in (b"\xff\xfe", b"\xfe\xff")
    return wide or path.endswith(".ipynb") or may_mention(data) or any(word in data for word in TRAINS)


def _looked_at(files: list[str], given: Settings, jobs: int) -> Iterator[tuple[str, Entry]]:
    """What was found in each file, by this process or by several."""
    if jobs <= 1 or len(files) < ENOUGH:
        yield from _share(files, given)
        return
    import multiprocessing  # takes longer to import than a small run takes

    shares = [(files[start : start + SHARE], given) for start in range(0, len(files), SHARE)]
    context = multiprocessing.get_context("spawn")
    with context.Pool(min(jobs, len(shares))) as pool:
        for entries in pool.imap_unordered(_work, shares):
            yield from entries


def _work(share: tuple[list[str], Settings]) -> list[tuple[str, Entry]]:
    return list(_share(*share))


def _share(files: Iterable[str], given: Settings) -> Iterator[tuple[str, Entry]]:
    """Look at some files, one after another."""
    settings, project = rules_of(given), Project()
    with deep_recursion():
        for path in files:
            project.touched.clear()
            project.absent.clear()
            report = look(project, path, settings(path))
            yield path, Entry(report.findings, report.remarks, sorted(project.touched), sorted(project.absent))
            project.release(project.shown(str(Path(path).absolute())))
            if project.weight > HEAVIEST:
                project = Project()
                gc.collect()


def _shown(entries: Iterator[tuple[str, Entry]], count: int, progress: bool) -> Iterator[tuple[str, Entry]]:
    """With a bar, where someone watches and it takes a while."""
    if not progress or count < ENOUGH or not sys.stderr.isatty():
        yield from entries
        return
    with click.progressbar(entries, length=count, label="crossent check", file=sys.stderr) as bar:
        yield from bar

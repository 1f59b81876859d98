"""Kill or fail a training at each of its system calls in turn, and look at what is left; run by tests/test_crashes.py.

One process imports everything and loads the data; each trial is a fork of it, with tests/crash_shim.c preloaded.
"""

from __future__ import annotations

import contextlib
import ctypes
import dataclasses
import errno
import json
import os
import shutil
import sys
from collections.abc import Callable
from pathlib import Path

import torch

from crossent.classify import data, report, runs
from crossent.classify import experiment as experiments
from crossent.classify.experiment import Experiment, TrainingInterruptedError
from crossent.classify.insight import Insight
from crossent.classify.options import TrainingOptions
from crossent.errors import RunFolderError

SHIM = ctypes.CDLL(None)
COUNT, KILL, KILL_HALFWAY, FAIL, FAIL_FROM_HERE_ON = range(5)
MODES = {
    "kill": (KILL, 0),
    "kill halfway through a write": (KILL_HALFWAY, 0),
    "ENOSPC": (FAIL, errno.ENOSPC),
    "EIO": (FAIL, errno.EIO),
    "ENOSPC from then on": (FAIL_FROM_HERE_ON, errno.ENOSPC),
}
COMPARED = (runs.WEIGHTS, runs.PREDICTIONS, runs.METRICS)
FEATURES = data.load("iris").features
RAN, REFUSED = 0, 2


def experiment(folder: Path, seed: int = 0) -> Experiment:
    options = TrainingOptions(hidden_layer_sizes=(4,), epochs=3, batch_size=64, learning_rate=1e-2, seed=seed)
    return Experiment("iris", None, 0.2, None, options, folder, "crossent train iris")


def contents(folder: Path) -> dict[str, bytes]:
    """What two runs must have in common to the bit; the seconds are not."""
    run = runs.load(folder)
    found = {name: runs._existing(folder, name).read_bytes() for name in COMPARED}
    metrics = json.loads(found[runs.METRICS])
    for record in metrics["history"]:
        del record["seconds"]
    inputs = run.transformer.transform(FEATURES).tobytes()
    return {**found, runs.METRICS: json.dumps(metrics).encode(), runs.PREPROCESSING: inputs}


def stop(record: dict[str, object]) -> None:
    raise KeyboardInterrupt


def load_once(load: Callable[[Experiment], None], loaded: dict[int, dict[str, object]]) -> Callable[[Experiment], None]:
    """The data are the same in every trial, and need not be read and scaled each time."""

    def cached(self: Experiment) -> None:
        if self.options.seed not in loaded:
            before = set(vars(self))
            load(self)
            loaded[self.options.seed] = {name: value for name, value in vars(self).items() if name not in before}
        vars(self).update(loaded[self.options.seed])

    return cached


class Scenario:
    """What is in the folder before, what is run there, and what must be so afterwards, wherever it was stopped."""

    def __init__(self, name: str, base: Path) -> None:
        self.name, self.base, self.folder = name, base, base / "trial" / "runs" / "iris"
        self.reference = self._run(base / "reference", 0)
        self.before = base / "before"
        self.before.mkdir()
        if name == "overwrite":
            self.old = self._run(self.before / "runs" / "iris", 1)
            (self.before / "runs" / "iris" / "notes.txt").write_text("mine")
        if name == "resume":
            with contextlib.suppress(TrainingInterruptedError):
                experiment(self.before / "runs" / "iris").run(on_epoch=stop)

    @staticmethod
    def _run(folder: Path, seed: int) -> dict[str, bytes]:
        experiment(folder, seed).run()
        return contents(folder)

    def trial(self, number: int, mode: int, code: int, trace: int = -1) -> tuple[int, int]:
        """Fork, arm, run: how the child ended, and how many calls it made."""
        shutil.rmtree(self.base / "trial", ignore_errors=True)
        shutil.copytree(self.before, self.base / "trial")
        read, write = os.pipe()
        child = os.fork()
        if not child:
            ended = 1
            try:
                SHIM.shim_arm(os.fsencode(self.folder), number, mode, code, trace)
                experiment(self.folder).run(resume=self.name == "resume")
                ended = RAN
            except RunFolderError as error:
                ended = REFUSED if "\n" not in str(error) else 1
            finally:
                os.write(write, str(SHIM.shim_seen()).encode())
                os._exit(ended)
        os.close(write)
        with os.fdopen(read) as pipe:
            seen = int(pipe.read() or 0)
        return os.waitpid(child, 0)[1], seen

    def check(self) -> None:
        """Nothing is lost, and going on ends as if nothing had happened."""
        if self.name == "overwrite":
            seed = runs.load(self.folder).settings["options"]["seed"]
            assert contents(self.folder) == (self.old if seed == 1 else self.reference)
            assert (self.folder / "notes.txt").read_text() == "mine"
        resumable = runs.is_interrupted(self.folder)
        if self.name == "resume":
            assert resumable or runs.load(self.folder)
        experiment(self.folder).run(resume=resumable)
        assert contents(self.folder) == self.reference
        left = {path.name for path in self.folder.iterdir()} - {"notes.txt"}
        assert left == set(runs.FINISHED), left
        assert [path.name for path in self.folder.parent.iterdir()] == ["iris"]


def main(name: str, modes: list[str], base: Path) -> None:
    """Every mode at every call of a scenario."""
    base.mkdir()
    scenario = Scenario(name, base)
    trace = os.open(base / "trace", os.O_WRONLY | os.O_CREAT, 0o600)
    ended, calls = scenario.trial(0, COUNT, 0, trace)
    assert ended == 0, ended
    scenario.check()
    for mode in modes:
        outcomes = {}
        for number in range(1, calls + 1):
            ended, _ = scenario.trial(number, *MODES[mode])
            ended = os.waitstatus_to_exitcode(ended)
            outcomes[ended] = outcomes.get(ended, 0) + 1
            assert ended in ((-9,) if mode.startswith("kill") else (RAN, REFUSED)), (mode, number, ended)
            try:
                scenario.check()
            except BaseException:
                print(f"{name}: {mode} at call {number} of {calls}", file=sys.stderr)
                raise
        print(f"{name}: {mode} at each of {calls} calls: {outcomes}")


if __name__ == "__main__":
    torch.set_num_threads(1)
    report.render = lambda *args: "a page"  # the slow part, and one file like the others
    nothing = Insight(**{field.name: () for field in dataclasses.fields(Insight)})
    Insight.metrics = lambda self: {}
    Experiment._look = lambda *args: nothing  # what others reach, which no file needs
    experiments.SECONDS_TO_FIRST_CHECKPOINT = experiments.SECONDS_BETWEEN_CHECKPOINTS = -1.0
    Experiment._load = load_once(Experiment._load, {})
    for plan in sys.argv[2:]:
        scenario, *modes = plan.split(": ")
        main(scenario, modes, Path(sys.argv[1], scenario))

"""`crossent train --data-parallel` under torchrun: the result of one process, a death in the middle, other numbers."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
import torch
from click.testing import CliRunner

from crossent.classify import parallel
from crossent.classify.options import TrainingOptions
from crossent.classify.training import Trainer
from crossent.cli import main
from crossent.errors import OptionError

TORCHRUN = [sys.executable, "-m", "torch.distributed.run", "--standalone"]
LIMIT = 120


def start(processes: int, words: Sequence[str], **more: Any) -> subprocess.Popen[str]:
    """torchrun with crossent's command; a port is picked free."""
    command = [*TORCHRUN, f"--nproc-per-node={processes}", "-m", "crossent", "train", *words, "--data-parallel"]
    pipes: dict[str, Any] = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
    return subprocess.Popen(command, start_new_session=True, **pipes, **more)


def ended(process: subprocess.Popen[str]) -> tuple[int, str, str]:
    """(exit code, stdout, stderr), within a bounded time, and no process left."""
    try:
        out, err = process.communicate(timeout=LIMIT)
    finally:
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)
    return process.returncode, out, err


def worker(parent: int, rank: int) -> int | None:
    """The process of a rank, among the children of torchrun."""
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            status = (folder / "stat").read_text().rpartition(")")[2].split()
            if int(status[1]) == parent and f"\0RANK={rank}\0" in "\0" + (folder / "environ").read_text():
                return int(folder.name)
        except OSError:
            continue
    return None


def history(folder: Path) -> list[dict[str, Any]]:
    """The epochs of a finished run."""
    found: list[dict[str, Any]] = json.loads((folder / "metrics.json").read_text())["history"]
    return found


def test_two_processes_give_what_one_gives(tmp_path: Path) -> None:
    words = ["wine", "--epochs", "6", "--batch-size", "25", "--no-baselines", "--class-weight", "balanced"]
    code, out, err = ended(start(2, [*words, "--out", str(tmp_path / "two")]))
    assert code == 0, err
    assert out.count("held-out accuracy") == 1
    done = CliRunner().invoke(main, ["train", *words, "--out", str(tmp_path / "one")])
    assert done.exit_code == 0, done.output
    for one, two in zip(history(tmp_path / "one"), history(tmp_path / "two"), strict=True):
        for name in ("loss", "held_out_loss", "held_out_accuracy"):
            assert two[name] == pytest.approx(one[name], rel=1e-4)


@pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="finds the worker in /proc")
def test_a_death_ends_the_run_and_another_number_goes_on(tmp_path: Path) -> None:
    folder = tmp_path / "run"
    words = ["wine", "--epochs", "1500", "--hidden", "0", "--no-baselines", "--out", str(folder)]
    process = start(2, [*words, "--progress"])
    assert process.stderr is not None
    seen = ""
    while "loss=" not in seen and process.poll() is None:  # the bar, after some epochs
        seen += process.stderr.read(1)
    victim = worker(process.pid, 1)
    assert victim is not None, seen
    started = time.monotonic()
    os.kill(victim, signal.SIGKILL)
    code, _, err = ended(process)
    assert time.monotonic() - started < 60
    assert code != 0
    lines = [line for line in err.splitlines() if "go on with: crossent train --resume" in line]
    assert len(lines) == 1, err
    assert "another process of the training has ended" in lines[0] or "interrupted" in lines[0]
    code, out, err = ended(start(3, ["--resume", "--out", str(folder)]))
    assert code == 0, err
    assert "going on after epoch" in out
    assert [record["epoch"] for record in history(folder)] == list(range(1, 1501))


def test_what_torchrun_is_needed_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("RANK", raising=False)
    assert parallel.ranks(False) is None
    with pytest.raises(OptionError, match="--data-parallel needs the processes that torchrun starts"):
        parallel.ranks(True)
    monkeypatch.setenv("RANK", "1")
    monkeypatch.setenv("WORLD_SIZE", "3")
    assert parallel.ranks(True) == parallel.Ranks(1, 3)
    with pytest.raises(OptionError, match="3 processes would each train alone: add --data-parallel"):
        parallel.ranks(False)


@pytest.mark.parametrize(("size", "batch_size"), [(1, 7), (3, 7), (5, 2), (2, 100)])
def test_the_shares_of_a_batch_are_the_batch(size: int, batch_size: int) -> None:
    trainer = Trainer(TrainingOptions((), batch_size=batch_size), n_features=2, n_classes=3)
    x = torch.arange(46.0).reshape(23, 2)
    rows = trainer._rows(x, torch.arange(23) % 3)
    order = torch.randperm(23, generator=torch.Generator().manual_seed(0))
    whole = list(rows.batches(order, batch_size))
    own = [list(parallel.Ranks(rank, size).batches(rows, order, batch_size)) for rank in range(size)]
    for k, (features, _, _) in enumerate(whole):
        parts = [one[k][0][0] for one in own if one[k][0] is not None]
        assert sorted(torch.cat(parts)[:, 0].tolist()) == sorted(features[:, 0].tolist())
        assert sum(one[k][1] for one in own) == pytest.approx(1)

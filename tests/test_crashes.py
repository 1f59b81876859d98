"""A run is never lost: killed at every system call that creates, writes, syncs, renames or removes, and each failed."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

HERE = Path(__file__).parent
COMPILER = shutil.which("cc") or shutil.which("gcc")
pytestmark = pytest.mark.skipif(
    not sys.platform.startswith("linux") or COMPILER is None, reason="the shim is preloaded, and is in C"
)
QUICK = ["overwrite: kill", "resume: kill", "fresh: ENOSPC: EIO"]
REST = [
    "overwrite: kill halfway through a write: ENOSPC: EIO: ENOSPC from then on",
    "resume: kill halfway through a write: ENOSPC: EIO: ENOSPC from then on",
    "fresh: kill: kill halfway through a write: ENOSPC from then on",
]


def drive(folder, plans):
    """Run tests/crash_driver.py with the shim; what it says, a line a scenario and mode."""
    shim = folder / "shim.so"
    subprocess.run([COMPILER, "-shared", "-fPIC", "-O1", "-o", shim, HERE / "crash_shim.c"], check=True)
    done = subprocess.run(
        [sys.executable, HERE / "crash_driver.py", folder, *plans],
        env={**os.environ, "LD_PRELOAD": str(shim)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    return done.stdout.splitlines()


@pytest.mark.parametrize("plans", [QUICK, pytest.param(REST, marks=pytest.mark.slow)], ids=["quick", "rest"])
def test_nothing_is_lost_wherever_it_stops(tmp_path, plans):
    lines = drive(tmp_path, plans)
    assert len(lines) == sum(plan.count(":") for plan in plans)
    for line in lines:
        assert int(re.search(r"at each of (\d+) calls", line)[1]) > 35, line
    for scenario in {plan.split(":")[0] for plan in plans}:
        check_order((tmp_path / scenario / "trace").read_text().splitlines())


def check_order(trace):
    """Every file, and then its folder, is synced after the last write and before the rename that makes it count."""
    written, renames = {}, 0
    for line in trace:
        call, _, path = line.partition(" ")
        parent = path.rpartition("/")[0]
        if call in {"create", "write"}:
            written[path] = "written"
            written[parent] = "written"
        elif call == "sync":
            written[path] = "synced"
        elif call == "rename" and path.startswith("/.crossent.next"):
            renames += 1
            staged = {name: state for name, state in written.items() if name.startswith("/.crossent.next")}
            assert set(staged.values()) == {"synced"}, staged
            written = {}
    assert renames >= 2


def test_the_order_check_can_fail():
    good = ["create /.crossent.next/a", "write /.crossent.next/a", "sync /.crossent.next/a", "sync /.crossent.next"]
    check_order([*good, "rename /.crossent.next", *good, "rename /.crossent.next/a"])
    for missing in (good[2], good[3]):
        with pytest.raises(AssertionError):
            check_order(
                [*(line for line in good if line != missing), "rename /.crossent.next", "rename /.crossent.next"]
            )

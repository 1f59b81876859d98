"""Every kernel compiled for three generations of GPUs: no spills, 128-bit accesses, little shared memory."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("triton")
KERNELS = {
    "resident",
    "swept",
    "finish",
    "backward",
    "softmax",
    "softmax_swept",
    "moments",
    "likelihood",
    "binary",
    "times",
    "weigh",
    "total",
}
REGISTERS = 65536  # of a multiprocessor
WIDTHS = ("plain 1000", "plain 8192", "plain 16384")
RESIDENT = {80: (32, 4, 2), 90: (32, 4, 2), 100: (32, 3, 1)}  # programs that one holds at once, by their registers
SHARED = 48 * 1024  # bytes that a program has on every generation without asking


@pytest.fixture(scope="module", params=[80, 90, 100], ids=lambda number: f"sm_{number}")
def told(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """What the launchers would launch."""
    environment = {name: value for name, value in os.environ.items() if name != "TRITON_INTERPRET"}
    environment["TRITON_CACHE_DIR"] = str(tmp_path_factory.mktemp("triton"))
    command = [sys.executable, str(Path(__file__).with_name("compiled_kernels.py")), str(request.param)]
    done = subprocess.run(command, capture_output=True, text=True, check=False, env=environment)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def test_a_batch_of_another_size_compiles_nothing_anew(told: dict[str, Any]) -> None:
    assert told["anew"] == 0


def test_as_many_rows_of_bfloat16_are_on_a_multiprocessor_as_hide_the_memory(told: dict[str, Any]) -> None:
    found = {note["case"]: note for note in told["kernels"] if note["kernel"] == "resident"}
    for case, programs in zip(WIDTHS, RESIDENT[told["architecture"]], strict=True):
        registers = -(-found[case]["registers"] // 8) * 8 * 32 * found[case]["warps"]
        assert REGISTERS // registers >= programs, found[case]


def test_every_kernel_is_there_spills_nothing_and_uses_128_bits(told: dict[str, Any]) -> None:
    compiled = told["kernels"]
    assert {note["kernel"] for note in compiled} == KERNELS
    for note in compiled:
        assert note["spills"] <= (8 if note["case"].startswith("every") else 0), note  # two numbers, of every option
        assert note["shared"] <= SHARED, note
        if note["case"].startswith(("aligned", "few", "every")) and note["kernel"] not in ("finish",):
            assert note.get("ld 128", 0) >= 1, note
            if note["kernel"] in ("resident", "backward", "softmax", "softmax_swept"):
                assert note.get("st 128", 0) >= 1, note

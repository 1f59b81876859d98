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

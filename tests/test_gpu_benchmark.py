"""benchmarks/gpu.py, tried on the CPU: that it checks first, and that it writes what it measures."""

from __future__ import annotations

import importlib.util
import json
from pathlib import Path
from types import ModuleType

import pytest

import crossent

SMALL = ["--device", "cpu", "--rows", "4", "--widths", "16", "--runs", "2", "--no-compile"]


@pytest.fixture
def script() -> ModuleType:
    path = Path(__file__).parent.parent / "benchmarks" / "gpu.py"
    spec = importlib.util.spec_from_file_location("benchmark_of_the_gpu", path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_it_measures_every_contender_and_keeps_the_samples(script, tmp_path, capsys):
    assert script.main([*SMALL, "--json", str(tmp_path / "gpu.json")]) == 0
    told = json.loads((tmp_path / "gpu.json").read_text())
    names = {(record["work"], record["name"]) for record in told["records"]}
    assert {("cross-entropy", "crossent, autograd"), ("cross-entropy", "torch"), ("softmax", "crossent")} <= names
    assert all(len(record["samples_ms"]) == 2 and record["median_ms"] > 0 for record in told["records"])
    assert told["versions"]["torch"]
    assert "of copy" in capsys.readouterr().out


def test_a_wrong_answer_ends_it(script, monkeypatch):
    right = crossent.softmax
    monkeypatch.setattr(crossent, "softmax", lambda x: right(x) * 1.01)
    with pytest.raises(SystemExit, match="times what is allowed"):
        script.main(SMALL)


def test_when_the_time_is_up_it_says_what_is_left_out(script, capsys):
    assert script.main([*SMALL, "--budget", "0"]) == 0
    assert "are over: cross-entropy 4×16 crossent, one pass and what follows is left out" in capsys.readouterr().out


def test_without_a_gpu_it_says_so(script, monkeypatch, capsys):
    monkeypatch.setattr(script.torch.cuda, "is_available", lambda: False)
    assert script.main([]) == 1
    assert "no GPU" in capsys.readouterr().err

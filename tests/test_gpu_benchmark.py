"""benchmarks/gpu.py, tried on the CPU: that it checks first, and that it writes what it measures."""

from __future__ import annotations

import importlib.util
import json
import runpy
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
    names = {(record["work"], record.get("name")) for record in told["records"]}
    assert {("cross-entropy", "crossent, autograd"), ("cross-entropy", "torch"), ("softmax", "crossent")} <= names
    timed = [record for record in told["records"] if "samples_ms" in record]
    assert all(len(record["samples_ms"]) == 2 and record["median_ms"] > 0 for record in timed)
    order = [record["work"] for record in told["records"]]
    assert order.index("right") < order.index("host") < order.index("cross-entropy")
    assert told["versions"]["torch"]
    assert "of copy" in capsys.readouterr().out


def test_a_wrong_answer_ends_it(script, monkeypatch):
    right = crossent.softmax
    monkeypatch.setattr(crossent, "softmax", lambda x: right(x) * 1.01)
    with pytest.raises(SystemExit, match="times what is allowed"):
        script.main(SMALL)


def test_when_the_time_is_up_it_says_what_is_left_out(script, capsys):
    assert script.main([*SMALL, "--budget", "0"]) == 0
    assert "are over: cross-entropy 16 and what follows is left out" in capsys.readouterr().out


def test_what_is_found_is_kept_though_the_run_ends(script, tmp_path, monkeypatch):
    def end(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(script, "compare", end)
    with pytest.raises(KeyboardInterrupt):
        script.main([*SMALL, "--json", str(tmp_path / "gpu.json")])
    works = {record["work"] for record in json.loads((tmp_path / "gpu.json").read_text())["records"]}
    assert {"behaviour", "right", "host"} <= works


def test_a_step_that_fails_is_a_finding_and_the_others_go_on(script, tmp_path, monkeypatch):
    def fail(*_: object) -> None:
        raise RuntimeError("no room")

    monkeypatch.setattr(script, "host", fail)
    assert script.main([*SMALL, "--json", str(tmp_path / "gpu.json")]) == 1
    told = json.loads((tmp_path / "gpu.json").read_text())["records"]
    assert any("no room" in record.get("failed", "") for record in told)
    assert any(record["work"] == "softmax" for record in told)


def test_quick_ends_in_seven_minutes(script):
    assert script.parse(["--quick"]).budget <= 420
    assert script.parse(["--quick", "--rows", "16"]).rows == 16


def test_without_a_gpu_it_says_so(script, monkeypatch, capsys):
    monkeypatch.setattr(script.torch.cuda, "is_available", lambda: False)
    assert script.main([]) == 1
    assert "no GPU" in capsys.readouterr().err


def test_the_linear_layer_is_checked_and_then_timed_beside_its_products(tmp_path, capsys):
    path = Path(__file__).parent.parent / "benchmarks" / "gpu_linear.py"
    main = runpy.run_path(str(path))["main"]
    small = ["--device", "cpu", "--shapes", "32x16x64", "--runs", "2", "--no-compile"]
    assert main([*small, "--json", str(tmp_path / "linear.json")]) == 0
    told = json.loads((tmp_path / "linear.json").read_text())["records"]
    assert [record["work"] for record in told][:3] == ["right", "right", "linear"]
    names = {record.get("name") for record in told}
    assert {"three products", "crossent", "crossent, chunks of 8", "torch"} <= names
    assert "of products" in capsys.readouterr().out

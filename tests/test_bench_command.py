"""`crossent bench` as people meet it, on cases small enough for a test."""

from __future__ import annotations

import json

import pytest
from click.testing import CliRunner

from crossent.bench import command, suite
from crossent.cli import main


@pytest.fixture
def bench(tmp_path, monkeypatch):
    """Run `crossent bench …` in an empty folder."""
    monkeypatch.chdir(tmp_path)

    def run(*words, code=0):
        result = CliRunner().invoke(main, ["bench", *words])
        assert result.exit_code == code, result.output
        assert "Traceback" not in result.output
        return result

    return run


TINY = ("--shrink", "400", "--runs", "2")


@pytest.mark.parametrize(
    ("name", "only", "rows"),
    [
        ("cpu", "300000×100", ["crossent", "torch eager", "scipy.special", "scikit-learn log_loss", "NumPy by hand"]),
        ("softmax", "logsumexp float32 8192", ["crossent", "scipy.special", "one read of the logits"]),
        ("small", "32×2*module", ["crossent", "torch eager", "copy of the logits"]),
        ("linear", "linear float32 32×64×10", ["crossent", "torch eager", "torch chunked", "matrix products alone"]),
    ],
)
def test_a_suite(bench, tmp_path, name, only, rows):
    result = bench(name, "--only", only, *TINY, "--json", "figures.json", "--plot", "curves.png")
    assert "threads" in result.stdout
    assert "numpy" in result.stdout
    for row in rows:
        assert f"\n  {row} " in result.stdout
    assert "wrong" not in result.stdout
    content = json.loads((tmp_path / "figures.json").read_text())
    assert content["suite"] == name
    assert content["options"]["only"] == only
    assert {row["peer"] for row in content["results"][0]["rows"]} >= set(rows)
    timed = [row for case in content["results"] for row in case["rows"] if row["value"] is not None]
    assert {row["runs"] for row in timed} == {2}
    assert (tmp_path / "curves.png").read_bytes().startswith(b"\x89PNG")


def test_peak_memory(bench, tmp_path):
    result = bench("memory", "--only", "softmax", "--shrink", "16", "--json", "figures.json")
    assert "beyond the inputs, against the logits" in result.stdout
    (case,) = json.loads((tmp_path / "figures.json").read_text())["results"]
    assert [row["peer"] for row in case["rows"]] == ["crossent", "torch eager"]
    for row in case["rows"]:
        assert row["note"] or 0.9 < row["ratio"]["middle"] < 1.5


def test_what_the_measuring_process_says_is_shown(bench, monkeypatch):
    from crossent.bench import memory

    monkeypatch.setattr(memory.sys, "executable", "false")
    assert "exit code 1" in bench("memory", "--only", "softmax").stdout


@pytest.mark.parametrize(
    ("words", "text"),
    [
        (("small", "--only", "jam"), "--only 'jam' matches no case of small"),
        (("small", "--json", "no/folder/f.json"), "there is no folder"),
    ],
)
def test_what_is_wrong_is_told_before_anything_is_measured(bench, words, text):
    result = bench(*words, code=2)
    assert text in result.stderr
    assert result.stderr.startswith("crossent: ")
    assert result.stdout == ""


def test_a_missing_library_is_named(bench, monkeypatch):
    monkeypatch.setattr(command.importlib.util, "find_spec", lambda name: None)
    assert bench("small", code=2).stderr == "crossent: crossent bench needs tqdm: install the extra crossent[train]\n"


def test_the_suite_of_gpus_is_called_where_there_is_a_gpu(bench, tmp_path, monkeypatch):
    monkeypatch.setattr(command.importlib.util, "find_spec", lambda name: None)
    monkeypatch.setattr(command, "GPU_SCRIPTS", tmp_path)
    assert bench("gpu", code=2).stderr == f"crossent: {command.NO_GPU_SUITE}\n"
    (tmp_path / "gpu.py").write_text("import sys\ndef main():\n    print(sys.argv)\n")
    assert "needs a GPU that torch can use" in bench("gpu", code=2).stderr
    monkeypatch.setattr(command, "_has_gpu", lambda: True)
    monkeypatch.setattr(command.sys, "argv", command.sys.argv)
    assert bench("gpu", "--rows", "8").stdout == "['crossent bench gpu', '--rows', '8']\n"


def test_quick_is_an_eighth_and_compiles_nothing():
    timed, _ = suite.cases_of("cpu", suite.Options(quick=True))
    assert timed[0].shape == (512, 32000)
    assert "torch.compile" in suite._plan("cpu", suite.Options(quick=True)).without
    assert not suite._plan("cpu", suite.Options()).without


def test_a_picture_adds_sizes(tmp_path):
    plain, _ = suite.cases_of("cpu", suite.Options())
    drawn, _ = suite.cases_of("cpu", suite.Options(plot_file=tmp_path / "p.png"))
    assert len({case.size for case in drawn if case.family == plain[0].family}) >= 5


def test_the_suites_that_are_scripts_are_among_the_commands(bench):
    text = bench("--help").stdout
    assert "gpu-linear" in text
    assert "--quick" in bench("gpu", "--help").stdout


@pytest.mark.parametrize("name", ["cpu", "softmax", "small", "memory", "linear"])
def test_help_suffices(bench, name):
    text = bench(name, "--help").stdout
    for option in ("--only", "--quick", "--runs", "--threads", "--json", "--plot"):
        assert option in text
    assert "--shrink" not in text
    assert name in bench("--help").stdout


def test_sharded_classes_beside_torchs(bench, tmp_path):
    told = bench("distributed", "--quick", "--processes", "2", "--rows", "64", "--classes", "50", "--json", "d.json")
    assert "crossent  " in told.stdout
    assert "torch loss_parallel" in told.stdout
    found = json.loads((tmp_path / "d.json").read_text())["results"][0]
    assert found["processes"] == 2
    assert {name: len(times) for name, times in found["seconds"].items()} == {"crossent": 2, "torch": 2}
    assert 0 < found["relative errors"]["crossent"] < 1e-6
    assert "expected one class each" in bench("distributed", "--classes", "3", code=2).stderr

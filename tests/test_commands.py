"""`crossent train` and `crossent predict` as people meet them: answers, files, and one clear line for what is wrong."""

from __future__ import annotations

import csv
import io
import json
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from click.testing import CliRunner

from crossent.classify import commands, runs
from crossent.cli import main

TABLE = "size,colour,kind\n" + "".join(
    f"{'' if i % 9 == 0 else i % 5 + (3 if i % 2 else 0)},{['red', 'blue'][i % 2]},{['rose', 'iris'][i % 2]}\n"
    for i in range(60)
)
QUICK = ("--epochs", "3", "--hidden", "8", "--no-baselines")


@pytest.fixture
def crossent(tmp_path, monkeypatch):
    """Run a command line in an empty folder."""
    monkeypatch.chdir(tmp_path)

    def run(*words, code=0):
        result = CliRunner().invoke(main, [str(word) for word in words])
        assert result.exit_code == code, result.output
        assert result.exception is None or isinstance(result.exception, SystemExit)
        if code == 2:
            assert "Traceback" not in result.output
        return result

    return run


def refused(result):
    """The one line on stderr that says what is wrong."""
    lines = result.stderr.splitlines()
    assert len(lines) == 1
    assert lines[0].startswith("crossent: ")
    return lines[0]


# --- train ------------------------------------------------------------------------------------------------------------


def test_train_without_arguments_is_digits(crossent, tmp_path):
    result = crossent("train", *QUICK)
    assert "held-out accuracy" in result.stdout
    assert "calibration error" in result.stdout
    assert f"report             {Path('runs/digits/report.html')}" in result.stdout
    page = (tmp_path / "runs" / "digits" / "report.html").read_text()
    assert "crossent train digits --hidden 8 --epochs 3" in page
    assert page.count("<img") == 24
    assert not result.stderr  # no progress bar where nobody looks


def test_quiet_says_nothing(crossent):
    result = crossent("train", "iris", *QUICK, "--quiet")
    assert result.output == ""


def test_train_a_table_with_text_and_gaps(crossent, tmp_path):
    (tmp_path / "flowers.csv").write_text(TABLE)
    result = crossent("train", "flowers.csv", *QUICK, "--hidden", "0", "--class-weight", "balanced", "--seed", "3")
    assert "target: column 'kind', the last one (--target chooses another)" in result.stdout
    assert "2 features, 2 classes, 48 rows to train on, 12 held out (20%)" in result.stdout
    settings = json.loads((tmp_path / "runs" / "flowers" / "run.json").read_text())
    assert settings["options"]["hidden_layer_sizes"] == []
    assert settings["arguments"]["data"] == str(tmp_path / "flowers.csv")
    assert runs.load(tmp_path / "runs" / "flowers").trainer.model(_zeros(3)).shape == (1, 1)


def _zeros(columns):
    import torch

    return torch.zeros(1, columns)


def test_another_target_is_another_classifier(crossent, tmp_path):
    (tmp_path / "flowers.csv").write_text(TABLE)
    crossent("train", "flowers.csv", "--target", "colour", *QUICK, "--quiet")
    assert runs.load(tmp_path / "runs" / "flowers").classes == ["blue", "red"]


def test_an_older_run_is_kept_unless_told_otherwise(crossent, tmp_path):
    crossent("train", "iris", *QUICK, "--quiet")
    before = (tmp_path / "runs" / "iris" / "run.json").read_bytes()
    line = refused(crossent("train", "iris", *QUICK, code=2))
    assert "runs/iris exists already; --overwrite replaces it" in line
    assert (tmp_path / "runs" / "iris" / "run.json").read_bytes() == before
    crossent("train", "iris", *QUICK, "--seed", "5", "--overwrite", "--quiet")
    assert (tmp_path / "runs" / "iris" / "run.json").read_bytes() != before


def interrupt_after(monkeypatch, epoch):
    """Make the next training stop as Ctrl-C would."""
    from crossent.classify.experiment import Experiment

    original = Experiment.run

    def stop(record):
        if record["epoch"] == epoch:
            raise KeyboardInterrupt

    monkeypatch.setattr(Experiment, "run", lambda self, **options: original(self, **options, on_epoch=stop))


def test_interrupt_and_resume(crossent, tmp_path, monkeypatch):
    words = ("train", "wine", "--hidden", "8,4", "--epochs", "5", "--quiet")
    crossent(*words, "--out", "whole")
    with monkeypatch.context() as patch:
        interrupt_after(patch, 2)
        result = crossent(*words, "--out", "parts", code=130)
    assert result.stderr == (
        "interrupted after epoch 2; saved in parts; go on with: crossent train --resume --out parts\n"
    )
    assert "--resume goes on with it" in refused(crossent(*words, "--out", "parts", code=2))
    assert "was interrupted" in refused(crossent("predict", "parts", "wine", code=2))
    line = refused(crossent("train", "--resume", "--out", "parts", "--epochs", "9", code=2))
    assert "--epochs is 9 here and 5 in parts" in line
    result = crossent("train", "--resume", "--out", "parts")
    assert "going on after epoch 2 of 5" in result.stdout
    assert (tmp_path / "whole" / "weights.safetensors").read_bytes() == (
        tmp_path / "parts" / "weights.safetensors"
    ).read_bytes()
    assert "finished already" in crossent("train", "--resume", "--out", "parts").stdout
    assert "no run folder" in refused(crossent("train", "--resume", "--out", "nowhere", code=2))
    assert "choose one" in refused(crossent("train", "--resume", "--overwrite", "--out", "parts", code=2))


@pytest.mark.parametrize("shape", [(8, 8), (64,)])
def test_npz_with_a_test_part(crossent, tmp_path, shape):
    from sklearn.datasets import load_digits

    x, y = load_digits(return_X_y=True)
    x = x.reshape(-1, *shape)
    np.savez(tmp_path / "d.npz", x_train=x[:400], y_train=y[:400], x_test=x[400:500], y_test=y[400:500])
    assert "100 held out (the test part)" in crossent("train", "d.npz", *QUICK).stdout
    result = crossent("predict", "runs/d", "d.npz")
    assert len(result.stdout.splitlines()) == 101
    accuracy = json.loads((tmp_path / "runs" / "d" / "metrics.json").read_text())["accuracy"]
    assert f"accuracy: {accuracy:.1%} over 100 rows" in result.stderr


@pytest.mark.parametrize(
    ("words", "text"),
    [
        (("train", "no_such.csv"), "no such file"),
        (("train", "t.csv", "--target", "kin"), "did you mean 'kind'"),
        (("train", "empty.csv"), "is empty"),
        (("train", "one.csv"), "a single class, 'a'"),
        (("train", "lonely.csv"), "class 'v' has a single row"),
        (("train", "regression.csv"), "regression target"),
        (("train", "words.csv"), "holds numbers, but 60% of its values are words: 'many'"),
        (("train", "infinite.csv"), "infinity"),
        (("train", "unseen.npz"), "never in training: class '7'"),
        (("train", "."), "has no train-images"),
        (("train", "iris", "--learning-rate", "1e30"), "the training diverged"),
        (("train", "iris", "--learning-rate", "0"), "learning_rate must be"),
        (("train", "iris", "--label-smoothing", "2"), "label_smoothing must be"),
        (("train", "iris", "--device", "abacus"), "abacus"),
        (("train", "iris", "--held-out", "0.001"), "change --held-out"),
        (("train", "iris", "--out", "t.csv"), "is a file"),
        (("train", "iris", "--overwrite", "--out", "."), "not a run folder and will not be overwritten"),
        (("predict", "nowhere", "iris"), "no run folder"),
        (("predict", ".", "iris"), "not a complete run folder"),
    ],
)
def test_what_is_wrong_is_one_line_and_nothing_is_written(crossent, tmp_path, words, text):
    for name, content in {
        "t.csv": TABLE,
        "empty.csv": "",
        "one.csv": "x,y\n1,a\n2,a\n3,a\n",
        "lonely.csv": "x,y\n1,u\n2,u\n3,v\n4,u\n5,u\n",
        "regression.csv": "x,price\n" + "".join(f"{i},{i * 1.37}\n" for i in range(99)),
        "words.csv": "x,y\n" + "".join(f"{i},{i % 2}\n" for i in range(20)) + "many,1\n" * 30,
        "infinite.csv": "x,y\n1,a\n2,b\ninf,a\n4,b\n5,a\n6,b\n7,a\n8,b\n",
    }.items():
        (tmp_path / name).write_text(content)
    np.savez(tmp_path / "unseen.npz", x_train=np.eye(4), y_train=[0, 1, 0, 1], x_test=np.eye(4), y_test=[0, 1, 7, 1])
    before = sorted(tmp_path.rglob("*"))
    assert text in refused(crossent(*words, *(["--quiet"] if words[0] == "train" else []), code=2))
    assert sorted(tmp_path.rglob("*")) == before


@pytest.mark.parametrize(
    ("words", "text"),
    [
        (("--hidden", "wide"), "'wide' is not a list of layer sizes"),
        (("--hidden", "8,-1"), "not a list of layer sizes"),
        (("--epochs", "0"), "x>=1"),
        (("--held-out", "1"), "0<x<1"),
        (("--class-weight", "fair"), "balanced"),
    ],
)
def test_options_are_checked_by_the_command_line(crossent, words, text):
    assert text in crossent("train", "iris", *words, code=2).stderr


# --- predict ----------------------------------------------------------------------------------------------------------


@pytest.fixture
def flowers(crossent, tmp_path):
    """A run on the small table, and the table without its target."""
    (tmp_path / "flowers.csv").write_text(TABLE)
    crossent("train", "flowers.csv", *QUICK, "--quiet", "--out", "run")
    pd.read_csv("flowers.csv").drop(columns="kind").to_csv("new.csv", index=False)
    return tmp_path


def rows(text):
    return list(csv.DictReader(io.StringIO(text)))


def test_predictions_to_stdout_and_to_a_file(crossent, flowers):
    result = crossent("predict", "run", "new.csv")
    predictions = rows(result.stdout)
    assert result.stderr == ""
    assert list(predictions[0]) == ["label", "probability", "probability_iris", "probability_rose"]
    assert len(predictions) == 60
    for row in predictions:
        assert float(row["probability_iris"]) + float(row["probability_rose"]) == pytest.approx(1)
        assert float(row["probability"]) == float(row[f"probability_{row['label']}"]) >= 0.5
    crossent("predict", "run", "new.csv", "--out", "deep/p.csv")
    assert (flowers / "deep" / "p.csv").read_text() == result.stdout


def test_the_accuracy_is_told_where_the_target_is_known(crossent, flowers):
    result = crossent("predict", "run", "flowers.csv")
    right = np.mean([row["label"] == ["rose", "iris"][i % 2] for i, row in enumerate(rows(result.stdout))])
    assert f"accuracy: {right:.1%} over 60 rows with a label" in result.stderr
    assert "the data it was trained on" in result.stderr
    (flowers / "part.csv").write_text("kind,colour,size\nrose,red,1\ntulip,red,1\n,red,1\n")
    result = crossent("predict", "run", "part.csv")
    assert len(rows(result.stdout)) == 3
    assert "over 2 rows with a label" in result.stderr
    assert "never seen in training, counted as wrong: 'tulip'" in result.stderr
    assert "trained on" not in result.stderr


def test_values_never_seen_are_told(crossent, flowers):
    (flowers / "new.csv").write_text("size,colour\n1,green\n2,\n")
    assert "column 'colour' has values never seen in training: 'green'" in crossent("predict", "run", "new.csv").stderr


@pytest.mark.parametrize(
    ("content", "text"),
    [
        ("size\n1\n", "lacks 1 of the columns trained on: 'colour'"),
        ("size,colour\nbig,red\n", "column 'size' holds 'big' (row 1) where a number is expected"),
        ("size,colour\ninf,red\n", "infinity"),
        ("size,colour\n", "no rows"),
        ("", "is empty"),
    ],
)
def test_predict_refuses(crossent, flowers, content, text):
    (flowers / "new.csv").write_text(content)
    assert text in refused(crossent("predict", "run", "new.csv", "--out", "p.csv", code=2))
    assert not (flowers / "p.csv").exists()


def test_cells_that_a_spreadsheet_would_compute(crossent, tmp_path):
    names = ['=HYPERLINK("http://x")', "@sum", "-1.5"]
    lines = [f"{i % 5},{names[i % 3]!r}" for i in range(60)]
    (tmp_path / "d.csv").write_text("a,y\n" + "\n".join(lines).replace("'", "") + "\n")
    for flag in ([], ["--safe-cells"]):
        crossent("train", "d.csv", *QUICK, "--quiet", "--sep", ",", "--quote", "", "--out", "run", "--overwrite", *flag)
        written = (tmp_path / "run" / "held_out_predictions.csv").read_text()
        shown = crossent("predict", "run", "d.csv", *flag).stdout
        for text in (written, shown):
            cells = {cell for row in csv.reader(io.StringIO(text)) for cell in row}
            assert ("'@sum" in cells) == bool(flag)
            assert ("@sum" in cells) == (not flag)
            assert "-1.5" in cells


def test_no_calibration(crossent, flowers):
    metrics = json.loads((flowers / "run" / "metrics.json").read_text())
    (flowers / "run" / "metrics.json").write_text(json.dumps({**metrics, "temperature": 9.0}))
    soft = rows(crossent("predict", "run", "new.csv").stdout)
    plain = rows(crossent("predict", "run", "new.csv", "--no-calibration").stdout)
    assert [row["label"] for row in soft] == [row["label"] for row in plain]
    assert all(float(one["probability"]) < float(other["probability"]) for one, other in zip(soft, plain, strict=True))


def test_a_missing_library_is_named(crossent, monkeypatch):
    monkeypatch.setattr(commands, "LIBRARIES", (*commands.LIBRARIES, "no_such_library"))
    assert "needs no_such_library: install the extra crossent[train]" in refused(crossent("train", code=2))


@pytest.mark.parametrize("command", ["train", "predict"])
def test_help_suffices(crossent, command):
    text = crossent(command, "--help").stdout
    for parameter in commands.__dict__[command].params:
        if parameter.opts[0].startswith("--"):
            assert parameter.opts[0] in text
            assert parameter.help
        else:
            assert parameter.human_readable_name in text


# --- in a process of its own ------------------------------------------------------------------------------------------


def command(*words):
    return [sys.executable, "-c", "from crossent.cli import main; main()", *words]


@pytest.mark.parametrize("held", ["big", "1e400"])
def test_row_numbers_are_those_of_the_file(crossent, tmp_path, held):
    """Row 31 of 60 is not the 31st of the shuffled training part."""
    lines = [f"{i % 7},{i % 3},{'uv'[i % 2]}" for i in range(60)]
    (tmp_path / "d.csv").write_text("\n".join(["a,b,y", *lines]) + "\n")
    crossent("train", "d.csv", *QUICK, "--quiet")
    lines[30] = f"{'1' if held == 'big' else held},{'1e308' if held == 'big' else 2},v"
    (tmp_path / "d.csv").write_text("\n".join(["a,b,y", *lines]) + "\n")
    for words in (("train", "d.csv", *QUICK, "--quiet", "--overwrite"), ("predict", "runs/d", "d.csv")):
        assert "row 31" in refused(crossent(*words, code=2))


def test_a_process_exits_with_one_line(tmp_path):
    done = subprocess.run(command("train", "no.csv"), cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert done.stdout == ""
    assert done.stderr.startswith("crossent: no such file")
    assert done.stderr.count("\n") == 1
    assert list(tmp_path.iterdir()) == []


def read_until(stream, text):
    """What a process writes, up to a text; a process that ends without it fails the test."""
    shown = b""
    while text not in shown:
        piece = stream.read1(4096)
        assert piece, shown.decode()
        shown += piece
    return shown


@pytest.fixture(scope="module")
def uninterrupted(tmp_path_factory):
    """The run that the interrupted ones must equal to the bit."""
    folder = tmp_path_factory.mktemp("uninterrupted") / "whole"
    assert CliRunner().invoke(main, [*LONG, "--out", str(folder), "--quiet"]).exit_code == 0
    return folder


LONG = ("train", "iris", "--hidden", "8", "--epochs", "400", "--progress", "--no-baselines")


@pytest.mark.parametrize(("name", "times"), [("SIGINT", 5), ("SIGTERM", 1), ("SIGHUP", 1)])
def test_a_signal_saves_and_resume_is_bit_identical(tmp_path, uninterrupted, name, times):
    number = getattr(signal, name)
    with subprocess.Popen(
        command(*LONG, "--out", "parts"), cwd=tmp_path, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE
    ) as process:
        read_until(process.stderr, b"accuracy=")  # the bar shows a finished epoch
        for _ in range(times):
            process.send_signal(number)
        shown = read_until(process.stderr, b"go on with") + process.stderr.read()
    assert process.returncode == 128 + number
    assert b"Traceback" not in shown
    folder = tmp_path / "parts"
    assert sorted(path.name for path in folder.iterdir()) == [runs.CHECKPOINT]
    assert 1 <= runs.load_checkpoint(folder).epoch < 400
    assert CliRunner().invoke(main, ["train", "--resume", "--out", str(folder), "--quiet"]).exit_code == 0
    for name in ("weights.safetensors", "held_out_predictions.csv"):
        assert (folder / name).read_bytes() == (uninterrupted / name).read_bytes()


def test_a_second_training_into_a_folder_is_refused(crossent, tmp_path):
    with runs.hold(tmp_path / "run"):
        line = refused(crossent("train", "iris", *QUICK, "--out", "run", code=2))
    assert "run is in use: another process trains into it" in line
    assert list(tmp_path.iterdir()) == []


def test_an_interrupted_run_is_listed(crossent, monkeypatch):
    with monkeypatch.context() as patch:
        interrupt_after(patch, 1)
        crossent("train", "iris", *QUICK, "--quiet", code=130)
    assert "iris  interrupted" in crossent("runs").stdout


def test_what_a_killed_training_left_is_no_run(crossent, tmp_path):
    (tmp_path / "run" / ".crossent.next").mkdir(parents=True)
    (tmp_path / "run" / ".crossent.next" / "weights.safetensors").write_bytes(b"half")
    (tmp_path / "run" / ".crossent.lock").touch()
    crossent("train", "iris", *QUICK, "--quiet", "--out", "run")
    assert sorted(path.name for path in (tmp_path / "run").iterdir()) == sorted(runs.FINISHED)


@pytest.mark.parametrize("name", ["report.html", "metrics.json", "weights.safetensors", "run.json"])
def test_files_that_merely_have_our_names_are_not_overwritten(crossent, tmp_path, name):
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / name).write_text("{}")
    line = refused(crossent("train", "iris", *QUICK, "--overwrite", "--out", "mine", code=2))
    assert "not a run folder and will not be overwritten" in line
    assert [path.name for path in (tmp_path / "mine").iterdir()] == [name]


def test_predict_says_that_a_newer_training_was_interrupted(crossent, monkeypatch):
    crossent("train", "iris", *QUICK, "--quiet", "--out", "run")
    before = crossent("predict", "run", "iris").stdout
    with monkeypatch.context() as patch:
        interrupt_after(patch, 2)
        crossent("train", "iris", *QUICK, "--seed", "4", "--quiet", "--out", "run", "--overwrite", code=130)
    result = crossent("predict", "run", "iris")
    assert result.stdout == before
    assert "run has a newer training that was interrupted" in result.stderr
    crossent("train", "--resume", "--quiet", "--out", "run")
    assert crossent("predict", "run", "iris").stdout != before


@pytest.mark.skipif(sys.platform == "win32", reason="as Unix has them")
def test_predictions_go_to_streams(crossent, flowers):
    expected = crossent("predict", "run", "new.csv").stdout
    assert crossent("predict", "run", "new.csv", "--out", "-").stdout == expected
    assert crossent("predict", "run", "new.csv", "--out", "/dev/null").stdout == ""
    assert Path("/dev/null").is_char_device()
    assert not (flowers / "-").exists()

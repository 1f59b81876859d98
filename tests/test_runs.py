"""Run folders: written whole or not at all, read back to the same answers, and refused where they are damaged."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest

from crossent.classify import data, runs
from crossent.classify.experiment import Experiment, TrainingInterruptedError
from crossent.classify.options import TrainingOptions
from crossent.errors import DataError, OptionError, RunFolderError


def experiment(folder, source="iris", **options):
    settings = {"hidden_layer_sizes": (8,), "epochs": 6, "batch_size": 32, "learning_rate": 1e-2, **options}
    return Experiment(source, None, 0.2, None, TrainingOptions(**settings), folder, f"crossent train {source}")


def stop_after(epoch):
    """An on_epoch callback that does what Ctrl-C does."""

    def callback(record):
        if record["epoch"] == epoch:
            raise KeyboardInterrupt

    return callback


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    """A finished run on iris, not to be changed."""
    folder = tmp_path_factory.mktemp("runs") / "iris"
    experiment(folder).run()
    return folder


@pytest.fixture
def run_folder(finished, tmp_path):
    """A copy of the finished run, to be damaged."""
    return Path(shutil.copytree(finished, tmp_path / "iris"))


def test_what_a_run_folder_holds(finished):
    assert sorted(path.name for path in finished.iterdir()) == sorted(set(runs.FILES) - {runs.CHECKPOINT})
    metrics = json.loads((finished / "metrics.json").read_text())
    assert len(metrics["history"]) == metrics["epochs"] == 6
    assert 0 < metrics["accuracy"] <= 1
    assert metrics["held_out_rows"] == 30
    assert metrics["temperature"] > 0
    settings = runs.load_settings(finished)
    assert settings["classes"] == ["setosa", "versicolor", "virginica"]
    assert settings["status"] == "finished"
    assert not any(b"pickle" in path.read_bytes() for path in finished.iterdir())


def test_a_run_reads_back_to_the_same_predictions(finished):
    held_out = data.split(data.load("iris"), 0.2, seed=0)[1]
    run = runs.load(finished)
    probabilities = run.probabilities(held_out.features)
    written = np.genfromtxt(
        finished / "held_out_predictions.csv", delimiter=",", names=True, dtype=None, encoding="utf-8"
    )
    np.testing.assert_allclose(probabilities.max(axis=1), written["probability"], rtol=1e-6)
    assert [run.classes[i] for i in probabilities.argmax(axis=1)] == written["predicted"].tolist()
    assert (written["row"] - 1).tolist() == held_out.positions.tolist()
    assert np.mean(written["true"] == written["predicted"]) == pytest.approx(run.metrics["accuracy"])


def test_preprocessing_has_seen_the_training_part_alone(finished):
    train = data.split(data.load("iris"), 0.2, seed=0)[0].features
    scaler = runs.load(finished).transformer.named_transformers_["numbers"].named_steps["scaler"]
    np.testing.assert_allclose(scaler.mean_, train.mean(), rtol=1e-12)
    assert scaler.n_samples_seen_ == 120


def test_the_temperature_is_applied_unless_asked_not_to(run_folder):
    metrics = json.loads((run_folder / "metrics.json").read_text())
    (run_folder / "metrics.json").write_text(json.dumps({**metrics, "temperature": 5.0}))
    features = data.load("iris").features
    run = runs.load(run_folder)
    soft, plain = run.probabilities(features), run.probabilities(features, calibrated=False)
    raised = plain ** (1 / 5)
    np.testing.assert_allclose(soft, raised / raised.sum(axis=1, keepdims=True), rtol=1e-9)


@pytest.mark.parametrize("options", [{}, {"early_stopping": True, "patience": 3, "epochs": 12}, {"weight_decay": 0.1}])
@pytest.mark.parametrize("source", ["iris", "breast_cancer"])
def test_stopped_and_resumed_is_bit_identical(tmp_path, source, options):
    whole, parts = tmp_path / "whole", tmp_path / "parts"
    experiment(whole, source, **options).run()
    for epoch in (2, 4):
        with pytest.raises(TrainingInterruptedError, match=f"epoch {epoch}"):
            experiment(parts, source, **options).run(resume=parts.exists(), on_epoch=stop_after(epoch))
        assert sorted(path.name for path in parts.iterdir()) == [runs.CHECKPOINT]
    experiment(parts, source, **options).run(resume=True)
    for name in ("weights.safetensors", "held_out_predictions.csv"):
        assert (whole / name).read_bytes() == (parts / name).read_bytes()
    one, other = (json.loads((folder / "metrics.json").read_text()) for folder in (whole, parts))
    for metrics in (one, other):
        for record in metrics["history"]:
            del record["seconds"]
    assert one == other
    assert not (parts / runs.CHECKPOINT).exists()


def test_resume_refuses_other_data_and_other_options(tmp_path):
    source = tmp_path / "d.csv"
    text = "a,y\n" + "".join(f"{i % 7},{'uv'[i % 2]}\n" for i in range(40))
    source.write_text(text)
    folder = tmp_path / "run"
    with pytest.raises(TrainingInterruptedError):
        experiment(folder, str(source)).run(on_epoch=stop_after(1))
    with pytest.raises(RunFolderError, match="other options"):
        experiment(folder, str(source), epochs=7).run(resume=True)
    source.write_text(text.replace("6,u", "5,u"))
    with pytest.raises(DataError, match="has changed since"):
        experiment(folder, str(source)).run(resume=True)


def test_interrupted_before_the_first_epoch_writes_nothing(tmp_path, monkeypatch):
    from crossent.classify.training import Trainer

    def interrupted(*args, **options):
        raise KeyboardInterrupt

    monkeypatch.setattr(Trainer, "fit", interrupted)
    with pytest.raises(TrainingInterruptedError, match="epoch 0"):
        experiment(tmp_path / "run").run()
    assert not (tmp_path / "run").exists()


def test_a_diverging_run_writes_nothing_and_keeps_the_old_one(run_folder):
    before = {path.name: path.read_bytes() for path in run_folder.iterdir()}
    with pytest.raises(DataError, match="diverged"):
        experiment(run_folder, learning_rate=1e30).run()
    assert {path.name: path.read_bytes() for path in run_folder.iterdir()} == before


def test_an_older_run_stays_until_the_new_one_is_whole(run_folder, finished):
    (run_folder / "notes.txt").write_text("mine")
    with pytest.raises(TrainingInterruptedError):
        experiment(run_folder, seed=5).run(on_epoch=stop_after(1))
    for name in runs.FINISHED:
        assert (run_folder / name).read_bytes() == (finished / name).read_bytes()
    assert runs.load(run_folder).settings["options"]["seed"] == 0
    assert runs.load_checkpoint_settings(run_folder)["options"]["seed"] == 5
    experiment(run_folder, seed=5).run(resume=True)
    assert runs.load(run_folder).settings["options"]["seed"] == 5
    assert sorted(path.name for path in run_folder.iterdir()) == sorted(["notes.txt", *runs.FINISHED])


def test_an_interrupted_run_is_no_finished_one(tmp_path):
    with pytest.raises(TrainingInterruptedError):
        experiment(tmp_path / "run").run(on_epoch=stop_after(1))
    with pytest.raises(RunFolderError, match="was interrupted; finish it: crossent train --resume"):
        runs.load(tmp_path / "run")


def test_checkpoints_are_saved_now_and_then(tmp_path, monkeypatch):
    monkeypatch.setattr("crossent.classify.experiment.SECONDS_TO_FIRST_CHECKPOINT", -1.0)
    monkeypatch.setattr("crossent.classify.experiment.SECONDS_BETWEEN_CHECKPOINTS", -1.0)
    seen = []
    experiment(tmp_path / "run").run(on_epoch=lambda _: seen.append(runs.load_checkpoint(tmp_path / "run").epoch))
    assert seen == [1, 2, 3, 4, 5, 5]  # after the last epoch comes the run itself


# --- what is refused --------------------------------------------------------------------------------------------------


def test_claim(finished, tmp_path):
    runs.claim(tmp_path / "new", overwrite=False)
    runs.claim(tmp_path, overwrite=False)
    with pytest.raises(RunFolderError, match="exists already; --overwrite replaces it"):
        runs.claim(finished, overwrite=False)
    runs.claim(finished, overwrite=True)
    (tmp_path / "thesis.tex").write_text("years of work")
    with pytest.raises(RunFolderError, match="not a run folder and will not be overwritten"):
        runs.claim(tmp_path, overwrite=True)
    with pytest.raises(RunFolderError, match="is a file"):
        runs.claim(tmp_path / "thesis.tex", overwrite=True)


@pytest.mark.parametrize("name", [runs.SETTINGS, runs.METRICS, runs.WEIGHTS, runs.PREPROCESSING])
@pytest.mark.parametrize("damage", ["missing", "empty", "truncated", "foreign", "folder"])
def test_a_damaged_run_folder_is_refused_in_one_line(run_folder, name, damage):
    path = run_folder / name
    content = path.read_bytes()
    path.unlink()
    if damage == "folder":
        path.mkdir()
    elif damage != "missing":
        path.write_bytes({"empty": b"", "truncated": content[: len(content) // 2], "foreign": b'["x"]'}[damage])
    with pytest.raises(RunFolderError, match=name.replace(".", r"\.")) as caught:
        runs.load(run_folder)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("name", "changes"),
    [
        ("run.json", {"format": "other"}),
        ("run.json", {"classes": "abc"}),
        ("run.json", {"options": {"epochs": -1}}),
        ("run.json", {"options": {"surprise": 1}}),
        ("run.json", {"classes": ["a", "b"]}),
        ("run.json", {"inputs": 7}),
        ("run.json", {"inputs": None}),
        ("run.json", {"target": None}),
        ("run.json", {"fingerprint": 3}),
        ("metrics.json", {"temperature": 0.0}),
        ("metrics.json", {"temperature": "hot"}),
    ],
)
def test_a_run_whose_files_do_not_fit_is_refused(run_folder, name, changes):
    content = json.loads((run_folder / name).read_text())
    (run_folder / name).write_text(json.dumps({**content, **changes}))
    with pytest.raises(RunFolderError):
        runs.load(run_folder)


@pytest.mark.parametrize("content", [b"", b"no tensors", None])
def test_a_damaged_checkpoint_is_refused(tmp_path, finished, content):
    with pytest.raises(TrainingInterruptedError):
        experiment(tmp_path / "run").run(on_epoch=stop_after(1))
    path = tmp_path / "run" / runs.CHECKPOINT
    path.write_bytes((finished / runs.WEIGHTS).read_bytes() if content is None else content)
    with pytest.raises(RunFolderError, match=r"checkpoint\.safetensors is damaged"):
        experiment(tmp_path / "run").run(resume=True)


def test_writing_is_whole_or_not_at_all(tmp_path, monkeypatch):
    path = tmp_path / "deep" / "file"
    runs.write_whole(path, b"old")

    def full(self, target):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Path, "replace", full)
    with pytest.raises(RunFolderError, match="cannot be written: No space left"):
        runs.write_whole(path, b"new")
    assert path.read_bytes() == b"old"
    assert [entry.name for entry in path.parent.iterdir()] == ["file"]


def test_written_files_have_the_usual_permissions(tmp_path):
    (tmp_path / "usual").write_bytes(b"")
    runs.write_whole(tmp_path / "ours", b"")
    assert (tmp_path / "ours").stat().st_mode == (tmp_path / "usual").stat().st_mode


def test_an_option_out_of_range_is_refused(tmp_path):
    with pytest.raises(OptionError, match="device"):
        experiment(tmp_path / "run", device="abacus").run()
    assert not (tmp_path / "run").exists()

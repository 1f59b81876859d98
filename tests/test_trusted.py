"""A stranger's run folder: what `fit` and training write is read, whatever else is in it is refused in one line."""

from __future__ import annotations

import io
import json
import shutil
import zipfile

import numpy as np
import pandas as pd
import pytest
import skops.io
import torch
from safetensors.torch import load_file, save_file
from sklearn.compose import ColumnTransformer
from sklearn.decomposition import PCA
from sklearn.feature_extraction.text import CountVectorizer, TfidfVectorizer
from sklearn.impute import SimpleImputer
from sklearn.pipeline import Pipeline
from sklearn.preprocessing import FunctionTransformer, MinMaxScaler, OneHotEncoder, StandardScaler

from crossent.classify import preprocessing, runs, trusted
from crossent.classify.experiment import Experiment, TrainingInterruptedError
from crossent.classify.options import TrainingOptions
from crossent.classify.trusted import load_transformer
from crossent.errors import RunFolderError

ROWS = 40
TABLE = pd.DataFrame(
    {
        "number": np.arange(ROWS) % 7.0,
        "colour": ["red", "blue"] * (ROWS // 2),
        "day": pd.date_range("2026-01-01", periods=ROWS).astype(str),
        "prose": [f"the cat number {i} sat on the mat with {i * 7 % 13} hats" for i in range(ROWS)],
    }
)


@pytest.fixture(scope="module")
def transformer():
    return preprocessing.fit(TABLE)[0]


@pytest.fixture
def path(tmp_path):
    return tmp_path / "preprocessing.skops"


def refused(path):
    with pytest.raises(RunFolderError) as caught:
        load_transformer(path)
    assert str(path) in str(caught.value)
    assert "\n" not in str(caught.value)
    return str(caught.value)


@pytest.mark.parametrize("pictures", [False, True])
def test_what_fit_writes_is_read(path, transformer, pictures):
    table = pd.DataFrame(np.random.default_rng(0).random((9, 16))).add_prefix("pixel") if pictures else TABLE
    fitted = preprocessing.fit(table, pictures)[0]
    skops.io.dump(fitted, path)
    back = load_transformer(path)
    np.testing.assert_array_equal(preprocessing.transform(back, table), preprocessing.transform(fitted, table))


def other(step):
    """A transformer of one foreign step, fitted."""
    return ColumnTransformer([step], sparse_threshold=0.0).fit(TABLE)


FOREIGN = {
    "opens files that the data name": other(("prose 0", CountVectorizer(input="content"), "prose")),
    "another estimator": other(("numbers", PCA(1), ["number"])),
    "a function": other(("numbers", FunctionTransformer(np.log1p), ["number"])),
    "another step": other(("others", StandardScaler(), ["number"])),
    "no pipeline": other(("numbers", StandardScaler(), ["number"])),
    "another order": other(
        ("numbers", Pipeline([("scaler", StandardScaler()), ("imputer", SimpleImputer())]), ["number"])
    ),
    "a cache": other(("text", preprocessing.templates()["text"], ["colour"])),
    "a pattern of its own": other(("prose 0", TfidfVectorizer(token_pattern=r"\w\w+"), "prose")),
    "another strategy": other(
        ("numbers", Pipeline([("imputer", SimpleImputer(strategy="mean")), ("scaler", StandardScaler())]), ["number"])
    ),
    "columns by place": ColumnTransformer([("numbers", StandardScaler(), [0])], sparse_threshold=0.0).fit(TABLE),
    "many processes": other(("pixels", MinMaxScaler(clip=True), ["number"])).set_params(n_jobs=1000),
    "the rest passes": ColumnTransformer(
        [("pixels", MinMaxScaler(clip=True), ["number"])], remainder="passthrough", sparse_threshold=0.0
    ).fit(TABLE[["number"]]),
    "a pandas output": other(("pixels", MinMaxScaler(clip=True), ["number"])).set_output(transform="pandas"),
    "unfitted": preprocessing.joined([("pixels", MinMaxScaler(clip=True), ["number"])]),
    "an estimator of its own": StandardScaler().fit(TABLE[["number"]]),
    "no transformer": {"a": [1, 2]},
    "another encoder": other(
        (
            "text",
            Pipeline([("imputer", SimpleImputer(strategy="constant")), ("one-hot", OneHotEncoder())]),
            ["colour"],
        )
    ),
}


FOREIGN["a cache"].transformers[0][1].set_params(memory="cache")


@pytest.mark.parametrize("name", FOREIGN)
def test_other_types_and_parameters_are_refused(path, name):
    skops.io.dump(FOREIGN[name], path)
    refused(path)


def test_files_that_the_data_name_are_not_opened(path, tmp_path, transformer):
    step = transformer.named_transformers_["prose 0"]
    before = step.input
    try:
        step.input = "filename"
        skops.io.dump(transformer, path)
    finally:
        step.input = before
    assert "input='filename', not 'content'" in refused(path)


def test_a_stored_attribute_cannot_hide_a_method(path):
    one = preprocessing.fit(TABLE[["number"]])[0]
    one.named_transformers_["numbers"].named_steps["scaler"].transform = np.zeros(3)
    skops.io.dump(one, path)
    assert "stores 'transform'" in refused(path)


def rewritten(path, transformer, change):
    """The archive with its description changed."""
    content = io.BytesIO(skops.io.dumps(transformer))
    with zipfile.ZipFile(content) as old, zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as new:
        for name in old.namelist():
            data = old.read(name)
            new.writestr(name, json.dumps(change(json.loads(data))) if name == "schema.json" else data)


def nested(schema):
    for _ in range(150):
        schema = {
            **schema,
            "content": {"__class__": "list", "__module__": "builtins", "__loader__": "ListNode", "content": [schema]},
        }
    return schema


@pytest.mark.parametrize(
    "change",
    [
        lambda schema: {**schema, "protocol": 0},
        lambda schema: {**schema, "protocol": 99},
        lambda schema: {**schema, "protocol": None},
        lambda schema: {**schema, "__class__": "system", "__module__": "os", "__loader__": "FunctionNode"},
        lambda schema: {**schema, "__loader__": "MethodNode"},
        lambda schema: {**schema, "__loader__": ["x"]},
        lambda schema: {**schema, "__module__": "sklearn.externals"},
        lambda schema: {**schema, "content": None},
        lambda schema: {**schema, "content": {}},
        lambda schema: [],
        nested,
    ],
)
def test_a_forged_description_is_refused(path, transformer, change):
    rewritten(path, transformer, change)
    refused(path)


def test_what_unpacks_to_too_much_is_refused_before_it_is(path, transformer, monkeypatch):
    monkeypatch.setattr(trusted, "MOST_CONTENT", 8 << 20)
    skops.io.dump(transformer, path)
    with zipfile.ZipFile(path, "a", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("zeros.npy", bytes(9 << 20))
    assert path.stat().st_size < 1_000_000
    assert "unpacks to more than 8 MiB" in refused(path)


def test_many_entries_and_large_files_are_refused(path, transformer, monkeypatch):
    skops.io.dump(transformer, path)
    monkeypatch.setattr(trusted, "MOST_ENTRIES", 3)
    assert "3 files" in refused(path)
    monkeypatch.setattr(trusted, "MOST_FILE", 100)
    assert "more than" in refused(path)


# --- the other files of a run -----------------------------------------------------------------------------------------


def experiment(folder):
    options = TrainingOptions((4,), epochs=3, batch_size=64)
    return Experiment("iris", None, 0.2, None, options, folder, "crossent train iris")


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    folder = tmp_path_factory.mktemp("trusted") / "run"
    experiment(folder).run()
    return folder


@pytest.fixture
def folder(finished, tmp_path):
    return shutil.copytree(finished, tmp_path / "run")


@pytest.mark.parametrize(
    ("file", "key", "value"),
    [
        ("run.json", "classes", ["a", "a", "b"]),
        ("run.json", "classes", [1, 2, 3]),
        ("run.json", "classes", ["a"]),
        ("run.json", "inputs", True),
        ("run.json", "inputs", -4),
        ("run.json", "command", 5),
        ("run.json", "arguments", {"sep": {"a": 1}}),
        ("run.json", "arguments", []),
        ("run.json", "picture_shape", ["8", 8]),
        ("run.json", "versions", {"torch": 2}),
        ("run.json", "options", {"surprise": 1}),
        ("run.json", "options", {"hidden_layer_sizes": [100000, 100000]}),
        ("run.json", "options", {"hidden_layer_sizes": [5]}),
        ("run.json", "options", {"dtype": "float64"}),
        ("metrics.json", "temperature", 1e-320),
        ("metrics.json", "temperature", 1e300),
        ("metrics.json", "temperature", True),
        ("metrics.json", "temperature", [1.0]),
    ],
)
def test_odd_settings_are_refused(folder, file, key, value):
    content = json.loads((folder / file).read_text())
    (folder / file).write_text(json.dumps({**content, key: value}))
    with pytest.raises(RunFolderError, match=r"damaged|does not fit"):
        runs.load(folder)


@pytest.mark.parametrize("text", ['{"format": NaN}', '{"a": 1, "a": 2}', "[" * 100_000, '{"a": 1e999}', '"text"'])
def test_json_beyond_the_standard_is_refused(folder, text):
    (folder / "run.json").write_text(text)
    with pytest.raises(RunFolderError, match=r"run\.json") as caught:
        runs.load(folder)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    "change",
    [
        lambda tensor: torch.full_like(tensor, torch.nan),
        lambda tensor: torch.full_like(tensor, torch.inf),
        lambda tensor: torch.zeros_like(tensor, dtype=torch.int32),
        lambda tensor: tensor.double(),
        lambda tensor: tensor.half(),
        lambda tensor: tensor[:0],
        lambda tensor: tensor.flatten()[:1],
        lambda tensor: torch.zeros(1, tensor.numel()),
    ],
)
def test_odd_weights_are_refused(folder, change):
    weights = load_file(folder / runs.WEIGHTS)
    name = next(iter(weights))
    save_file({**weights, name: change(weights[name]).contiguous()}, folder / runs.WEIGHTS)
    with pytest.raises(RunFolderError, match=r"weights\.safetensors") as caught:
        runs.load(folder)
    assert "\n" not in str(caught.value)


def test_preprocessing_of_another_run_is_refused(folder, transformer):
    skops.io.dump(transformer, folder / runs.PREPROCESSING)
    with pytest.raises(RunFolderError, match=r"numbers a row, the network takes 4"):
        runs.load(folder)


def stop(record):
    raise KeyboardInterrupt


@pytest.mark.parametrize(
    "change",
    [
        {"history": []},
        {"history": [{"epoch": 7}]},
        {"best_loss": "low"},
        {"best_epoch": -1},
        {"n_classes": 10**9},
        {"n_features": 10**9},
        {"options": {"hidden_layer_sizes": [100000, 100000]}},
        {"epochs_without_progress": 1.5},
    ],
)
def test_an_odd_checkpoint_is_refused(tmp_path, change):
    with pytest.raises(TrainingInterruptedError):
        experiment(tmp_path / "run").run(on_epoch=stop)
    path = tmp_path / "run" / runs.CHECKPOINT
    tensors, texts = runs.stored.read_tensors(path)
    values = {**json.loads(texts["state"]), **change}
    save_file(tensors, path, {**texts, "state": json.dumps(values)})
    if change == {"history": []}:
        assert runs.load_checkpoint(tmp_path / "run").epoch == 0  # as after no epoch: odd, but nothing is wrong with it
        return
    with pytest.raises(RunFolderError, match=r"checkpoint\.safetensors"):
        runs.load_checkpoint(tmp_path / "run")

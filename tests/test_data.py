"""Data: every format, the choice of the target, what is refused and in which words, and the preprocessing."""

from __future__ import annotations

import gzip
import struct

import numpy as np
import pandas as pd
import pytest

from crossent.classify import data, preprocessing
from crossent.classify.trusted import load_transformer
from crossent.errors import DataError, RunFolderError

FLOWERS = "size,colour,kind\n1.5,red,rose\n2.5,blue,iris\n,red,rose\n4.5,,iris\n"


@pytest.fixture
def written(tmp_path):
    """Write a file of text or bytes and give its path."""

    def write(name, content):
        path = tmp_path / name
        path.write_bytes(content.encode() if isinstance(content, str) else content)
        return str(path)

    return write


def idx(array):
    codes = {np.dtype(np.uint8): 8, np.dtype(np.float32): 13}
    header = struct.pack(f">BBBB{array.ndim}I", 0, 0, codes[array.dtype], array.ndim, *array.shape)
    return header + array.astype(array.dtype.newbyteorder(">")).tobytes()


def mnist_like(folder, compress=False, rows=40):
    """A folder of IDX files as MNIST is distributed; class k is a bright row k."""
    folder.mkdir(exist_ok=True)
    generator = np.random.default_rng(0)
    for part, count in (("train", rows), ("t10k", rows // 2)):
        labels = (np.arange(count) % 4).astype(np.uint8)
        images = generator.integers(0, 60, (count, 6, 6)).astype(np.uint8)
        images[np.arange(count), labels] = 255
        for name, array in ((f"{part}-images-idx3-ubyte", images), (f"{part}-labels-idx1-ubyte", labels)):
            content = idx(array)
            path = folder / (name + (".gz" if compress else ""))
            path.write_bytes(gzip.compress(content) if compress else content)
    return str(folder)


# --- formats ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "shape", "classes"),
    [("digits", (1797, 64), 10), ("wine", (178, 13), 3), ("iris", (150, 4), 3), ("breast_cancer", (569, 30), 2)],
)
def test_built_in(name, shape, classes):
    dataset = data.load(name)
    assert dataset.features.shape == shape
    assert len(dataset.classes) == classes
    assert dataset.picture_shape == ((8, 8) if name == "digits" else None)


@pytest.mark.parametrize("separator", [",", ";", "\t", "|"])
@pytest.mark.parametrize("compress", [False, True])
def test_text_in_every_separator(written, separator, compress):
    text = FLOWERS.replace(",", separator).encode()
    path = written("f.csv.gz" if compress else "f.csv", gzip.compress(text) if compress else text)
    dataset = data.load(path)
    assert list(dataset.features) == ["size", "colour"]
    assert dataset.labels.tolist() == ["rose", "iris", "rose", "iris"]


def test_tsv_byte_order_mark_blanks_and_stored_index(written):
    path = written("f.tsv", "\ufeff" + "\tsize\tkind\n0\t1\t rose \n1\t2\tiris\n2\t3\trose\n3\t4\tiris\n")
    dataset = data.load(path)
    assert list(dataset.features) == ["size"]
    assert dataset.classes == ["iris", "rose"]


def test_parquet_is_as_csv(tmp_path, written):
    frame = pd.read_csv(written("f.csv", FLOWERS))
    frame.to_parquet(tmp_path / "f.parquet")
    from_text, from_parquet = data.load(str(tmp_path / "f.csv")), data.load(str(tmp_path / "f.parquet"))
    assert from_text.labels.tolist() == from_parquet.labels.tolist()
    pd.testing.assert_frame_equal(from_text.features, from_parquet.features, check_dtype=False)


def test_npz_with_and_without_a_test_part(tmp_path):
    x, y = np.arange(24.0).reshape(12, 2), np.arange(12) % 3
    np.savez(tmp_path / "a.npz", X=x, y=y[:, None])
    np.savez(tmp_path / "b.npz", x_train=x, y_train=y, x_test=x[:3], y_test=y[:3])
    assert data.load(str(tmp_path / "a.npz")).classes == ["0", "1", "2"]
    train, held_out = data.split(data.load(str(tmp_path / "b.npz")), 0.5, seed=0)
    assert (len(train.features), len(held_out.features)) == (12, 3)


@pytest.mark.parametrize(
    ("shape", "picture"), [((12, 5, 4), (5, 4)), ((12, 5, 4, 3), (5, 4, 3)), ((12, 1, 5, 4), (5, 4)), ((12, 20), None)]
)
def test_pictures_in_npz(tmp_path, shape, picture):
    np.savez(tmp_path / "a.npz", x=np.zeros(shape, np.uint8), y=np.arange(12) % 2)
    assert data.load(str(tmp_path / "a.npz")).picture_shape == picture


def test_a_table_of_pixels_holds_pictures(tmp_path):
    frame = pd.DataFrame(np.zeros((8, 16), int), columns=[f"pixel{i}" for i in range(16)]).assign(label=[0, 1] * 4)
    frame.to_csv(tmp_path / "p.csv", index=False)
    assert data.load(str(tmp_path / "p.csv")).picture_shape == (4, 4)


@pytest.mark.parametrize("compress", [False, True])
def test_idx_folder(tmp_path, compress):
    dataset = data.load(mnist_like(tmp_path / "mnist", compress))
    assert dataset.picture_shape == (6, 6)
    assert dataset.features.shape == (40, 36)
    assert dataset.features.to_numpy()[1, 6:12].tolist() == [255] * 6
    assert len(dataset.test.features) == 20
    assert len(data.load_for_prediction(str(tmp_path / "mnist"), "target").features) == 20


# --- the target -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("header", "target", "why"),
    [
        ("a,Label,b", "Label", "by its name"),
        ("y,target,b", "target", "by its name"),
        ("a,b,c", "c", "the last one"),
    ],
)
def test_default_target(written, header, target, why):
    dataset = data.load(written("t.csv", header + "\n1,1,1\n0,0,0\n1,0,1\n0,1,0\n"))
    assert dataset.target == target
    assert why in dataset.notes[0]


def test_labels_are_text_in_the_order_of_their_values(written):
    dataset = data.load(written("t.csv", "a,y\n1,10\n2,9\n3,10\n4,9\n5,\n"))
    assert dataset.classes == ["9", "10"]
    assert "1 rows without a label in 'y' left out" in dataset.notes


@pytest.mark.parametrize(
    ("name", "content", "text"),
    [
        ("a.csv", "", "is empty"),
        ("a.csv", "a,y\n", "no rows"),
        ("a.csv", "a,y\n1,x\n2,x\n", "a single class, 'x'"),
        ("a.csv", "a,y\n1,\n2,\n", "no label at all"),
        ("a.csv", "y\nu\nv\nu\nv\n", "no column besides the target"),
        ("a.csv", "a,y\n1,u,3,4\n2,v,3,4\n", "more values than the header"),
        ("a.csv", "a,y\n1,u\n2,v,7,8,9\n", "not a table of text"),
        ("a.csv", b"\xff\xfea,y\n1", "is not text in utf-16: line 2"),
        ("a.csv.gz", b"\x1f\x8bnot gzip", "damaged gzip"),
        ("a.csv.gz", b"a,y\n1,u", "is not a .gz file"),
        ("a.zip", b"PK\x03\x04 but no more", "damaged zip"),
        ("a.parquet", b"PAR1 but no more", "cannot be read|not a Parquet"),
        ("a.npz", b"PK but no more", "NPZ"),
        ("a.npz", b"", "NPZ"),
        ("a.xlsx", "x", "not an Excel workbook"),
        ("a.xls", "x", "save it as .xlsx"),
        ("a.arff", "x", "not an ARFF file"),
        ("a.feather", "x", "not an Arrow file"),
        ("a.jsonl", '{"a": 1}\n{"a"', "line 2"),
        ("a.jsonl", "3\n", "record 1 is '3'"),
        ("a.sas7bdat", b"\0\0\1", "format is not known"),
    ],
)
def test_broken_files(written, name, content, text):
    with pytest.raises(DataError, match=text) as caught:
        data.load(written(name, content))
    assert "\n" not in str(caught.value)


def test_no_such_file_or_column(written):
    with pytest.raises(DataError, match=r"no such file.*digits, wine"):
        data.load("no/such/file.csv")
    with pytest.raises(DataError, match="did you mean 'kind'"):
        data.load(written("f.csv", FLOWERS), "knid")
    with pytest.raises(DataError, match="the columns are 'size', 'colour', 'kind'"):
        data.load(written("f.csv", FLOWERS), "zzz")
    with pytest.raises(DataError, match="labels apart"):
        data.load("iris", "petal length (cm)")


def test_measurements_are_no_target(tmp_path):
    frame = pd.DataFrame({"a": range(300), "price": np.random.default_rng(0).normal(size=300)})
    frame.to_csv(tmp_path / "f.csv", index=False)
    with pytest.raises(DataError, match="regression target"):
        data.load(str(tmp_path / "f.csv"))
    frame.assign(price=np.arange(300) * 1000).to_csv(tmp_path / "f.csv", index=False)
    with pytest.raises(DataError, match="regression target"):
        data.load(str(tmp_path / "f.csv"))
    frame.assign(price=[f"name {i}" for i in range(300)]).to_csv(tmp_path / "f.csv", index=False)
    with pytest.raises(DataError, match="too many to be classes"):
        data.load(str(tmp_path / "f.csv"))


@pytest.mark.parametrize(
    ("arrays", "text"),
    [
        ({"x": np.zeros((4, 2))}, "no labels"),
        ({"x": np.zeros((4, 2)), "y": np.eye(4)}, "argmax"),
        ({"x": np.zeros((4, 2)), "y": np.zeros(3)}, r"y has shape \(3,\)"),
        ({"x": np.zeros(4), "y": np.zeros(4)}, "numbers of shape"),
        ({"x": np.array(["a"] * 4), "y": np.zeros(4)}, "numbers of shape"),
        ({"z": np.zeros(4)}, "holds z"),
        ({"x": np.array([{}], dtype=object), "y": np.zeros(1)}, "plain arrays"),
        ({"x_train": np.zeros((4, 2)), "y_train": [0, 1, 0, 1], "x_test": np.zeros((2, 2))}, "without labels"),
        (
            {"x_train": np.zeros((4, 2)), "y_train": [0, 1, 0, 1], "x_test": np.zeros((2, 2)), "y_test": [0, 7]},
            "never in training: class '7'",
        ),
        (
            {"x_train": np.zeros((4, 2)), "y_train": [0, 1, 0, 1], "x_test": np.zeros((2, 3)), "y_test": [0, 1]},
            "2 features a row to train on, 3",
        ),
    ],
)
def test_broken_npz(tmp_path, arrays, text):
    np.savez(tmp_path / "a.npz", **arrays)
    with pytest.raises(DataError, match=text):
        data.load(str(tmp_path / "a.npz"))


def test_broken_idx(tmp_path):
    folder = tmp_path / "mnist"
    mnist_like(folder)
    images = folder / "train-images-idx3-ubyte"
    whole = images.read_bytes()
    for content, text in ((whole[:-1], "damaged"), (b"GIF89a", "not an IDX file"), (b"\x1f\x8b\0\0", "gzip")):
        images.write_bytes(content)
        with pytest.raises(DataError, match=text):
            data.load(str(folder))
    images.unlink()
    with pytest.raises(DataError, match="labels only"):
        data.load(str(folder))
    with pytest.raises(DataError, match="has no train-images"):
        data.load(str(tmp_path))


# --- the split --------------------------------------------------------------------------------------------------------


def test_split_is_stratified_repeatable_and_complete():
    dataset = data.load("wine")
    train, held_out = data.split(dataset, 0.25, seed=3)
    again = data.split(dataset, 0.25, seed=3)[1]
    assert sorted([*train.positions, *held_out.positions]) == list(range(178))
    assert again.positions.tolist() == held_out.positions.tolist()
    assert data.split(dataset, 0.25, seed=4)[1].positions.tolist() != held_out.positions.tolist()
    for name in dataset.classes:
        assert abs(np.mean(held_out.labels == name) - np.mean(dataset.labels == name)) < 0.02


def test_split_refuses_what_it_cannot_share(written):
    with pytest.raises(DataError, match="leaves 1 on one side, fewer than the 3"):
        data.split(data.load("iris"), 0.005, seed=0)


def test_a_class_of_one_row_stays_in_training(written):
    lonely = data.load(written("t.csv", "a,y\n1,u\n2,u\n3,v\n4,u\n5,w\n6,w\n7,w\n"))
    for seed in range(5):
        train, held_out = data.split(lonely, 0.4, seed)
        assert train.labels.tolist().count("v") == 1
        assert sorted([*train.positions, *held_out.positions]) == list(range(7))
    with pytest.raises(DataError, match="class 'v' has a single row"):
        data.split(data.load(written("t.csv", "a,y\n1,u\n2,u\n3,v\n4,u\n")), 0.5, seed=0)


def test_the_fingerprint_knows_every_value():
    dataset = data.load("iris")
    changed = dataset.features.copy()
    changed.iloc[7, 2] += 1e-9
    same = data.load("iris").fingerprint()
    assert dataset.fingerprint() == same
    assert data.Dataset("iris", changed, dataset.labels, "target").fingerprint() != same
    assert data.Dataset("iris", dataset.features, dataset.labels[::-1], "target").fingerprint() != same


# --- preprocessing ----------------------------------------------------------------------------------------------------


def table(rows=40):
    generator = np.random.default_rng(0)
    return pd.DataFrame(
        {
            "number": np.where(np.arange(rows) % 7 == 0, np.nan, generator.normal(5, 3, rows)),
            "flag": np.arange(rows) % 2 == 0,
            "text": [["red", "blue", None][i % 3] for i in range(rows)],
            "name": [f"person {i}" for i in range(rows)],
            "when": pd.date_range("2024-01-01", periods=rows),
            "nothing": [None] * rows,
        }
    )


def test_columns_become_numbers():
    frame = table()
    transformer, notes = preprocessing.fit(frame)
    rows = preprocessing.transform(transformer, frame)
    assert rows.shape == (40, 9)  # number, flag; (missing), blue, red; year, month, weekday, days
    assert rows.dtype == np.float32
    np.testing.assert_allclose(rows[:, :2].mean(axis=0), 0, atol=1e-6)
    np.testing.assert_allclose(rows[:, :2].std(axis=0), 1, atol=1e-6)
    assert rows[:3, 2:5].tolist() == [[0, 0, 1], [0, 1, 0], [1, 0, 0]]
    assert [note.split("'")[1] for note in notes] == ["name", "nothing"]
    days = frame["when"] - frame["when"].min()
    np.testing.assert_allclose(rows[:, 8], (days.dt.days - 19.5) / days.dt.days.std(ddof=0), atol=1e-6)


def test_columns_are_found_by_name_and_unknown_values_are_none_of_the_known():
    frame = table()
    transformer, _ = preprocessing.fit(frame)
    other = frame[frame.columns[::-1]].assign(extra=1)
    np.testing.assert_array_equal(
        preprocessing.transform(transformer, other), preprocessing.transform(transformer, frame)
    )
    unknown = frame.assign(text="green")
    assert preprocessing.transform(transformer, unknown)[:, 2:5].sum() == 0
    assert preprocessing.unseen_values(transformer, unknown) == [
        "column 'text' has values never seen in training: 'green'"
    ]
    assert preprocessing.unseen_values(transformer, frame) == []


def test_pixels_are_scaled_to_one():
    frame = pd.DataFrame({"a": [0, 4, 8], "b": [0, 0, 0]})
    transformer, _ = preprocessing.fit(frame, pictures=True)
    rows = preprocessing.transform(transformer, pd.DataFrame({"a": [2, 80], "b": [0, 255]}))
    assert rows.tolist() == [[0.25, 0.0], [1.0, 1.0]]


@pytest.mark.parametrize(
    ("change", "text"),
    [
        ({"number": ["many"] * 40}, "column 'number' holds 'many' .row 1. where a number is expected"),
        ({"number": [1.0, np.inf] * 20}, "infinity .row 2."),
        ({"number": [1.0, 1e300] * 20}, "row 2 holds a number too large"),
    ],
)
def test_transform_refuses(change, text):
    frame = table()
    transformer, _ = preprocessing.fit(frame)
    with pytest.raises(DataError, match=text):
        preprocessing.transform(transformer, frame.assign(**change))
    with pytest.raises(DataError, match="lacks 2 of the columns trained on: 'flag', 'text'"):
        preprocessing.transform(transformer, frame.drop(columns=["flag", "text"]))


def test_a_column_that_is_mostly_numbers_is_numbers():
    for words in (1, 20):
        numbers = [str(i) for i in range(40 - words)] + ["n.a!"] * words
        transformer, notes = preprocessing.fit(pd.DataFrame({"a": numbers}))
        assert preprocessing.columns_of(transformer) == {"numbers": ["a"]}
        assert notes == [f"column 'a' holds numbers; 'n.a!' ({words}×) are taken as missing (--text 'a' keeps words)"]
    with pytest.raises(DataError, match=r"holds numbers, but 52% of its values are words: 'n.a!' .*--na 'n.a!'"):
        preprocessing.fit(pd.DataFrame({"a": [str(i) for i in range(19)] + ["n.a!"] * 21}))


def test_fit_refuses_what_only_the_user_knows():
    with pytest.raises(DataError, match="decimal comma"):
        preprocessing.fit(pd.DataFrame({"a": ["1,5", "2,5"] * 5}))
    with pytest.raises(DataError, match="no column can be learned from"):
        preprocessing.fit(pd.DataFrame({"a": [None, None]}))


def test_lists_and_records_are_left_out():
    _, notes = preprocessing.fit(pd.DataFrame({"a": [[1], [2]], "b": [1, 2]}))
    assert notes == ["column 'a' left out: it holds lists or records"]


def test_a_foreign_preprocessing_file_is_refused(tmp_path):
    import skops.io
    from sklearn.preprocessing import FunctionTransformer, StandardScaler

    path = tmp_path / "p.skops"
    skops.io.dump(FunctionTransformer(_custom), path)
    with pytest.raises(RunFolderError, match=r"not trusted.*FunctionTransformer"):
        load_transformer(path)
    skops.io.dump(StandardScaler(), path)
    with pytest.raises(RunFolderError, match="a StandardScaler"):
        load_transformer(path)
    path.write_bytes(path.read_bytes()[:100])
    with pytest.raises(RunFolderError, match="damaged"):
        load_transformer(path)


def _custom(x):
    return x

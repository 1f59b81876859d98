"""One boundary: whatever goes wrong in a command is one line on stderr and exit code 2, and leaves nothing behind."""

from __future__ import annotations

import gzip
import os
import re
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from click.testing import CliRunner
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from crossent._system.messages import exit_code_of, printable
from crossent.classify import report, runs
from crossent.classify.reading import opened
from crossent.cli import main

QUICK = ("--quiet", "--epochs", "1", "--hidden", "0")
TABLE = "size,colour,kind\n" + "".join(
    f"{i % 5 + i % 2 * 3},{['red', 'blue'][i % 2]},{['rose', 'iris'][i % 2]}\n" for i in range(40)
)
X, Y = np.arange(60.0).reshape(20, 3) % 7, np.arange(20) % 2


def idx(folder, images, labels):
    folder.mkdir()
    (folder / "train-images-idx3-ubyte").write_bytes(images)
    (folder / "train-labels-idx1-ubyte").write_bytes(labels)


def big(numbers):
    return "a,b,y\n" + "".join(f"{numbers(i)},{i},{'uv'[i % 2]}\n" for i in range(20))


FILES = {
    "utf16.csv": lambda path: path.write_bytes(TABLE.encode("utf-16-le")),
    "nul.csv": lambda path: path.write_bytes(TABLE.encode().replace(b"red", b"r\0d")),
    "controls.csv": lambda path: path.write_text(TABLE.replace("colour", "co\x1b[31mlour\x07")),
    "quote.csv": lambda path: path.write_text('a,b,y\n1,"2,u\n' + "1,2,v\n" * 10),
    "large.csv": lambda path: path.write_text(big(lambda i: (i + 1) * 1e300)),
    "largest.csv": lambda path: path.write_text(big(lambda i: 1.7e308 * (-1) ** i)),
    "utf32.csv": lambda path: path.write_bytes(TABLE.encode("utf-32-be")),
    "zeros_only.csv": lambda path: path.write_bytes(bytes(300_000)),
    "one_quote.csv": lambda path: path.write_text('"'),
    "deep.jsonl": lambda path: path.write_text("[" * 100_000 + "]" * 100_000),
    "lists.jsonl": lambda path: path.write_text("".join(f'{{"x": [1, 2], "y": {i % 2}}}\n' for i in range(20))),
    "records.jsonl": lambda path: path.write_text("".join(f'{{"x": {{"a": 1}}, "y": {i % 2}}}\n' for i in range(20))),
    "same_lists.parquet": lambda path: pd.DataFrame({"x": [[1, 2, 3]] * 20, "y": ["a", "b"] * 10}).to_parquet(path),
    "structs.parquet": lambda path: pd.DataFrame({"x": [{"a": 1}] * 20, "y": ["a", "b"] * 10}).to_parquet(path),
    "lists.parquet": lambda path: pd.DataFrame({"x": [[1, 2], [3]] * 10, "y": ["a", "b"] * 10}).to_parquet(path),
    "list_labels.parquet": lambda path: pd.DataFrame({"x": [1, 2] * 10, "y": [["a"], ["b"]] * 10}).to_parquet(path),
    "bytes.parquet": lambda path: pd.DataFrame({"x": [b"\xff", b"b"] * 10, "y": ["a", "b"] * 10}).to_parquet(path),
    "structs.npz": lambda path: np.savez(path, x=np.zeros(20, [("a", "f4"), ("b", "i4")]), y=Y),
    "struct_labels.npz": lambda path: np.savez(path, x=X, y=np.zeros(20, [("a", "f4")])),
    "long.npz": lambda path: np.savez(path, x=X.astype(np.longdouble), y=Y.astype(np.longdouble)),
    "complex.npz": lambda path: np.savez(path, x=X, y=Y.astype(complex)),
    "scalar.npz": lambda path: np.savez(path, x=np.float64(3), y=np.float64(3)),
    "nan.npz": lambda path: np.savez(path, x=np.full((20, 3), np.nan), y=Y),
    "idx0": lambda path: idx(path, b"\0\0\x08\0\1", b"\0\0\x08\0\1"),
    "idx65": lambda path: idx(path, b"\0\0\x08\x41" + b"\0\0\0\1" * 65 + b"\1", b"\0\0\x08\1\0\0\0\1\1"),
    "pipe.csv": os.mkfifo if hasattr(os, "mkfifo") else Path.touch,
    "zeros.csv": lambda path: path.symlink_to("/dev/zero"),
    "circle.csv": lambda path: path.symlink_to("circle.csv"),
    os.fsdecode(b"\xff\xfe.csv"): lambda path: path.write_text(TABLE),
}
WORKS = {
    "utf16.csv",
    "utf32.csv",
    "nul.csv",
    "controls.csv",
    "long.npz",
    "bytes.parquet",
    "list_labels.parquet",
    os.fsdecode(b"\xff\xfe.csv"),
}


@pytest.fixture(scope="module")
def run_folder(tmp_path_factory):
    """A run on the table, by a report that takes no time."""
    folder = tmp_path_factory.mktemp("boundary")
    (folder / "ok.csv").write_text(TABLE)
    assert (
        CliRunner().invoke(main, ["train", str(folder / "ok.csv"), "--out", str(folder / "run"), *QUICK]).exit_code == 0
    )
    return folder / "run"


@pytest.fixture
def here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(report, "render", lambda *args: "a page")
    (tmp_path / "ok.csv").write_text(TABLE)
    return tmp_path


def check(words, folder):
    """Run a command; what it may never do is a traceback, a second line, a partial file, a library's own error."""
    before = {path: path.lstat().st_mtime_ns for path in folder.rglob("*")}
    result = CliRunner().invoke(main, [str(word) for word in words])
    assert isinstance(result.exception, SystemExit | None), result.exception
    assert result.exit_code in {0, 2}, result.output
    assert "unexpected" not in result.stderr.replace("Got unexpected extra", ""), result.stderr
    if result.exit_code == 2:
        assert result.stderr.startswith("crossent: ")
        assert len(result.stderr.splitlines()) == 1, result.stderr
        assert all(char.isprintable() for char in result.stderr[:-1])
        assert result.stdout == ""
        after = {path: path.lstat().st_mtime_ns for path in folder.rglob("*")}
        assert after.keys() == before.keys()
        assert {path: after[path] for path in after if path.is_file()} == {
            path: before[path] for path in before if path.is_file()
        }
    return result


@pytest.mark.skipif(sys.platform == "win32", reason="pipes, devices and names as Unix has them")
@pytest.mark.parametrize("name", FILES, ids=ascii)
def test_hostile_files(here, run_folder, name):
    FILES[name](here / name)
    result = check(["train", name, *QUICK], here)
    assert (result.exit_code == 0) == (name in WORKS), result.stderr
    if result.exit_code == 0:
        assert runs.load(next((here / "runs").iterdir())).classes
    check(["predict", run_folder, name, "--out", "p.csv"], here)


def packed(path, names, contents):
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in zip(names, contents, strict=True):
            archive.writestr(name, content)


def workbook(path, change):
    """A workbook of 20 rows, its parts changed."""
    pd.DataFrame({"a": range(20), "y": ["u", "v"] * 10}).to_excel(path, index=False)
    with zipfile.ZipFile(path) as archive:
        parts = {name: archive.read(name) for name in archive.namelist()}
    change(parts)
    packed(path, parts, parts.values())


def far_cells(parts):
    rows = b"".join(b'<row r="%d"><c r="XFD%d"><v>1</v></c></row>' % (i, i) for i in range(30, 60))
    sheet = "xl/worksheets/sheet1.xml"
    plain = re.sub(rb"<dimension[^>]*>", b"", parts[sheet])  # it would bound the sheet
    parts[sheet] = plain.replace(b"</sheetData>", rows + b"</sheetData>")


def many_texts(parts):
    parts["xl/more.xml"] = b"<si><t>aaaa</t></si>" * 50_000


def sparse(path):
    names = "".join(f"@attribute a{i} numeric\n" for i in range(300))
    rows = "".join(f"{{300 {'uv'[i % 2]}}}\n" for i in range(300))
    path.write_text(f"@relation r\n{names}@attribute y {{u,v}}\n@data\n{rows}")


LONG = pd.DataFrame({"x": range(1000), "y": ["u" * 10_000] * 1000})
BOMBS = {  # each of less than a megabyte, of which a table of many would be made
    "rows.csv.gz": lambda path: path.write_bytes(gzip.compress(b"a,b\n" + b"1,2\n" * 2_000_000)),
    "rows.zip": lambda path: packed(path, ["a.csv"], ["a,b\n" + "1,2\n" * 2_000_000]),
    "cells.csv": lambda path: path.write_text("a,b\n" + "1,2\n" * 30_000),
    "blanks.txt": lambda path: path.write_text("a  b\n" + "1  2\n" * 30_000),
    "keys.jsonl": lambda path: path.write_text("".join(f'{{"a{i}": 1, "y": {i % 2}}}\n' for i in range(300))),
    "keys.json": lambda path: path.write_text("[" + ",".join(f'{{"a{i}": 1}}' for i in range(300)) + "]"),
    "sparse.arff": sparse,
    "far.xlsx": lambda path: workbook(path, far_cells),
    "texts.xlsx": lambda path: workbook(path, many_texts),
    "rows.parquet": lambda path: pd.DataFrame({"x": [1.0] * 200_000, "y": ["u"] * 200_000}).to_parquet(path),
    "texts.parquet": LONG.to_parquet,
    "bytes.parquet": lambda path: LONG.assign(y=b"u" * 10_000).to_parquet(path),
    "rows.feather": lambda path: pd.DataFrame({"x": [1.0] * 200_000}).to_feather(path, compression="zstd"),
    "categories.feather": lambda path: LONG.astype({"y": "category"}).to_feather(path),
    "x.npz": lambda path: np.savez_compressed(path, x=np.zeros((200_000, 1)), y=np.zeros(200_000)),
}


@pytest.mark.parametrize("name", BOMBS)
def test_files_that_unpack_to_more_than_fits(here, name, monkeypatch):
    BOMBS[name](here / name)
    assert (here / name).stat().st_size < 1_000_000
    monkeypatch.setattr(opened, "most_bytes", lambda: 1_000_000)
    result = check(["train", name, *QUICK], here)
    assert result.exit_code == 2
    assert f"{name} holds more than 0.0 GiB, a quarter of this machine's memory" in result.stderr


@pytest.mark.parametrize(
    "words",
    [
        ("--seed", "4294967296"),
        ("--held-out", "nan"),
        ("--held-out", "1e-320"),
        ("--hidden", "99999999999"),
        ("--hidden", "2147483647,2147483647"),
        ("--hidden", "9" * 5000),
        ("--batch-size", "2147483648"),
        ("--epochs", "9" * 30),
        ("--device", "meta"),
        ("--device", "mkldnn"),
        ("--device", ""),
        ("--device", "cuda:99"),
        ("--learning-rate", "1e308"),
        ("--weight-decay", "1e308"),
        ("--out", "x" * 300),
        ("--out", "/dev/null"),
        ("--out", "/dev/null/x"),
        ("--target", os.fsdecode(b"\xff")),
        ("--encoding", "rot13"),
        ("--no-such-option",),
        ("more", "arguments"),
    ],
    ids=lambda words: " ".join(words)[:30].encode("unicode_escape").decode(),
)
def test_hostile_options(here, words):
    assert check(["train", "ok.csv", *QUICK, *words], here).exit_code == 2


@pytest.mark.skipif(sys.platform == "win32", reason="paths as Unix has them")
@pytest.mark.parametrize("source", ["", ".", "~nobody/x.csv", "x" * 300, "/dev/zero", "/dev/null", "/proc/self/mem"])
def test_hostile_paths(here, run_folder, source):
    for words in (["train", source, *QUICK], ["predict", run_folder, source, "--out", "p.csv"]):
        assert check(words, here).exit_code == 2


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="Linux has it")
@pytest.mark.parametrize("command", ["predict", "info", "--help"])
def test_a_full_standard_output_is_one_line(run_folder, command):
    words = {"predict": ["predict", run_folder, "ok.csv"], "info": ["info"], "--help": ["--help"]}[command]
    with Path("/dev/full").open("w") as full:
        done = subprocess.run(
            [sys.executable, "-c", "from crossent.cli import main; main()", *words],
            cwd=run_folder.parent,
            stdout=full,
            stderr=subprocess.PIPE,
            text=True,
            check=False,
        )
    assert done.returncode == 2
    assert done.stderr == "crossent: standard output cannot be written: No space left on device\n"


# --- the boundary itself ----------------------------------------------------------------------------------------------


def raising(error):
    def run():
        raise error

    return run


@pytest.mark.parametrize(
    ("error", "code", "line"),
    [
        (KeyError("x"), 2, "unexpected KeyError: 'x' (CROSSENT_TRACEBACK=1 shows where)"),
        (RecursionError(), 2, "unexpected RecursionError: RecursionError (CROSSENT_TRACEBACK=1 shows where)"),
        (MemoryError("no"), 2, "out of memory: no"),
        (OSError(28, "No space left on device", "p\n.csv"), 2, "p\\n.csv: No space left on device"),
        (OSError(5, "Input/output error"), 2, "standard output cannot be written: Input/output error"),
        (KeyboardInterrupt(), 130, "interrupted"),
    ],
)
def test_every_error_is_a_line_and_a_code(capsys, error, code, line):
    assert exit_code_of(raising(error)) == code
    assert capsys.readouterr().err == f"crossent: {line}\n"


def test_a_closed_pipe_is_nobodys_mistake(capsys):
    assert exit_code_of(raising(BrokenPipeError())) == 1
    assert capsys.readouterr().err == ""


def test_the_traceback_is_there_for_who_asks(capsys, monkeypatch):
    monkeypatch.setenv("CROSSENT_TRACEBACK", "1")
    assert exit_code_of(raising(KeyError("x"))) == 2
    lines = capsys.readouterr().err.splitlines()
    assert lines[0].startswith("Traceback")
    assert lines[-1].startswith("crossent: unexpected KeyError")


@given(st.text())
def test_printable_text_is_one_line_and_obeyed_by_no_terminal(text):
    shown = printable(text)
    assert all(char.isprintable() for char in shown)
    assert text != shown or text.isprintable()


# --- other inputs of the same kinds -----------------------------------------------------------------------------------

SETTINGS = settings(
    max_examples=25, deadline=None, derandomize=True, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
NUMBERS = st.one_of(
    st.integers(-3, 3).map(str),
    st.integers().map(str),
    st.floats().map(repr),
    st.sampled_from(["", "nan", "-0", "1e999", "0x10", "1_0", "٣", "--", "9" * 400]),
)
OPTIONS = st.lists(
    st.one_of(
        st.tuples(st.sampled_from(["--held-out", "--seed", "--learning-rate", "--weight-decay"]), NUMBERS),
        st.tuples(st.sampled_from(["--label-smoothing", "--patience", "--batch-size"]), NUMBERS),
        st.tuples(st.just("--hidden"), st.lists(NUMBERS, max_size=3).map(",".join)),
        st.tuples(st.sampled_from(["--target", "--device", "--out", "--class-weight"]), st.text(max_size=5)),
        st.sampled_from([("--early-stopping",), ("--resume",), ("--overwrite",), ("--class-weight", "balanced")]),
    ),
    max_size=3,
)


@SETTINGS
@given(options=OPTIONS)
def test_any_options(here, options):
    words = [word for option in options for word in option]
    if any("\0" in word for word in words):
        return  # no system hands it over
    folder = here / "options"
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir()
    os.chdir(folder)
    check(["train", "iris", "--epochs", "1", "--hidden", "2", "--quiet", "--out", "run", *words], folder)


@pytest.fixture(scope="module")
def sound(tmp_path_factory):
    """A file of each kind, whole."""
    folder = tmp_path_factory.mktemp("sound")
    (folder / "t.csv").write_text(TABLE)
    pd.DataFrame({"size": [1.0, 2.0] * 10, "colour": ["red", "blue"] * 10}).to_parquet(folder / "t.parquet")
    np.savez(folder / "t.npz", x=X, y=Y)
    np.savez_compressed(folder / "z.npz", x=X, y=Y)
    (folder / "t.csv.gz").write_bytes(gzip.compress(TABLE.encode()))
    idx(folder / "idx", b"\0\0\x08\3\0\0\0\4\0\0\0\2\0\0\0\2" + bytes(range(16)), b"\0\0\x08\1\0\0\0\4\0\1\0\1")
    return folder


EDITS = st.lists(st.tuples(st.sampled_from("xidct"), st.floats(0, 1), st.binary(min_size=1, max_size=6)), max_size=4)


def mutated(data, edits):
    """Bytes changed, inserted, removed, repeated, cut off."""
    for kind, share, piece in edits:
        place = int(share * len(data))
        before, after = data[:place], data[place:]
        data = {
            "x": before + piece + after[len(piece) :],
            "i": before + piece + after,
            "d": before + after[len(piece) :],
            "c": before + after[:20] + after,
            "t": before or data,
        }[kind]
    return data


@SETTINGS
@given(
    name=st.sampled_from(["t.csv", "t.parquet", "t.npz", "z.npz", "t.csv.gz", "idx"]), edits=EDITS, train=st.booleans()
)
def test_any_damage(here, sound, run_folder, name, edits, train):
    folder = here / "damage"
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir()
    os.chdir(folder)
    if name == "idx":
        shutil.copytree(sound / name, folder / name)
        target = folder / name / "train-images-idx3-ubyte"
    else:
        shutil.copy(sound / name, folder / name)
        target = folder / name
    target.write_bytes(mutated(target.read_bytes(), edits))
    if train:
        check(["train", name, *QUICK, "--out", "run"], folder)
    else:
        check(["predict", run_folder, name, "--out", "p.csv"], folder)

"""The example notebook: it runs in a fresh kernel, prints the known numbers, is stored as built, in both languages."""

from __future__ import annotations

import base64
import importlib.util
import re
from pathlib import Path

import pytest

pytest.importorskip("nbclient")
EXAMPLES = Path(__file__).parents[1] / "examples"
NUMBERS = [
    "formula:  [0.659  0.2424 0.0986]",
    "torch.softmax:    tensor([0.6590, 0.2424, 0.0986])",
    "Loss_good: 0.3567\nLoss_bad:  2.3026",
    "by columns:\n [[0.8176 0.2689 0.4502]\n [0.1824 0.7311 0.5498]] sums of the rows: [1.5367 1.4633]",
    "torch:    0.4170 1.8406\ncrossent: 0.4170 1.8406\nNumPy:    0.4170 1.8406",
    "prediction1: torch.return_types.max(\nvalues=tensor([2.]),\nindices=tensor([0]))",
    "prediction2: torch.return_types.max(\nvalues=tensor([2.]),\nindices=tensor([1]))",
    "prediction1: tensor([2.]) tensor([0])\nprediction2: tensor([2.]) tensor([1])",
    "mean: 0.3018 1.6242\nsum: 0.9055 4.8725",
    "none: tensor([0.3840, 0.4170, 0.1044]) tensor([2.3840, 2.3840, 0.1044])",
    "NumPy: [0.384  0.417  0.1044]",
    "prediction1: tensor([2.1000, 2.0000, 3.0000]) tensor([2, 0, 1])",
    "prediction2: tensor([2.1000, 2.1000, 3.0000]) tensor([0, 2, 1])",
    "BCELoss: 0.6987 = 0.6987",
    "CrossEntropyLoss, three classes: loss 1.154 -> 0.188",
    "BCEWithLogitsLoss, is it a 1?: loss 0.664 -> 0.030",
    "logits: (4, 3)",
    "logits: (4, 1)",
    "C =    2: right 0.0000, softmax twice 0.3133 = 0.3133",
    "C = 1000: right 0.0000, softmax twice 5.9095 = 5.9095",
    "right:         0.99995\nsoftmax twice: 7.84e-05",
    "plain formula: [nan nan  0.]",
    "log of 0:      inf",
    "index:   0.3018, 24 bytes\none-hot: 0.3018, 36 bytes",
    "sigmoid + BCELoss: loss 100.0000, gradient 0.0000",
    "BCE with logits:   loss 20.0000000021, gradient 1.0000",
]


@pytest.fixture(scope="module")
def builder():
    """The script that builds the notebook."""
    spec = importlib.util.spec_from_file_location("build_notebook", EXAMPLES / "build_notebook.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def source(builder):
    """The cells as the source has them, without outputs."""
    return builder.read_cells(builder.SOURCE.read_text(encoding="utf-8"))


@pytest.fixture(scope="module", params=["en", "zh"])
def lang(request):
    """The languages of the notebook."""
    return request.param


@pytest.fixture(scope="module")
def stored(builder, lang):
    """The notebook in the repository."""
    return builder.nbformat.read(builder.NOTEBOOKS[lang], as_version=4)


def figures(notebook):
    """The PNG images among the outputs."""
    outputs = [output for cell in notebook.cells for output in cell.get("outputs", [])]
    return [base64.b64decode(o.data["image/png"]) for o in outputs if "image/png" in o.get("data", {})]


def test_runs_in_a_fresh_kernel_and_prints_the_stored_numbers(builder, source, tmp_path, monkeypatch):
    unusable = tmp_path / "kernels" / "python3" / "kernel.json"  # a kernel of the machine's, of the same name
    unusable.parent.mkdir(parents=True)
    unusable.write_text('{"argv": ["no-such-python"], "display_name": "Python 3", "language": "python"}')
    monkeypatch.setenv("JUPYTER_PATH", str(tmp_path))
    monkeypatch.setenv("JUPYTER_DATA_DIR", str(tmp_path))
    builder.execute(source)
    text = builder.printed(source)
    for number in NUMBERS:
        assert number in text
    for path in builder.NOTEBOOKS.values():
        assert text == builder.printed(builder.nbformat.read(path, as_version=4))
    assert len(figures(source)) == 6


def test_stored_cells_are_those_of_the_source(builder, stored, lang):
    fresh = builder.read_cells(builder.SOURCE.read_text(encoding="utf-8"), lang)
    rebuild = "the source has changed: run python examples/build_notebook.py"
    assert [(c.id, c.cell_type, c.source) for c in stored.cells] == [
        (c.id, c.cell_type, c.source) for c in fresh.cells
    ], rebuild


def test_stored_outputs_are_complete_and_hold_nothing_of_the_machine(builder, stored, lang):
    code = [cell for cell in stored.cells if cell.cell_type == "code"]
    assert [cell.execution_count for cell in code] == list(range(1, len(code) + 1))
    kinds = {(o.output_type, o.get("name")) for cell in code for o in cell.outputs}
    assert kinds == {("stream", "stdout"), ("display_data", None)}
    text = re.sub(r'"image/png": "[^"]*"', "", builder.NOTEBOOKS[lang].read_text(encoding="utf-8"))
    assert not re.search(r"/(home|root|usr|tmp|work|Users|opt)\b|[A-Z]:\\\\|site-packages|0x[0-9a-f]{6}", text)
    assert set(stored.metadata) == {"kernelspec", "language_info"}


def test_stored_notebook_is_small_and_has_its_figures(builder, stored, lang):
    assert builder.NOTEBOOKS[lang].stat().st_size < 500_000
    assert len(figures(stored)) == 6
    assert all(image.startswith(b"\x89PNG") and len(image) > 5_000 for image in figures(stored))


def test_cells_are_short_and_explained(stored):
    kinds = [cell.cell_type for cell in stored.cells]
    assert kinds[0] == "markdown"
    assert not any(kinds[i : i + 4] == ["code"] * 4 for i in range(len(kinds)))
    assert max(len(cell.source.splitlines()) for cell in stored.cells) <= 16


def test_read_cells(builder):
    script = '# %% [markdown]\n# # Title\n#\n# text\n\n# %%\nx = 1  # %% not a cell\n\n\n# %%\nprint("a")\n'
    cells = builder.read_cells(script).cells
    assert [(c.cell_type, c.source) for c in cells] == [
        ("markdown", "# Title\n\ntext"),
        ("code", "x = 1  # %% not a cell"),
        ("code", 'print("a")'),
    ]


def test_every_text_is_in_both_languages(builder):
    script = builder.SOURCE.read_text(encoding="utf-8")
    cells = {lang: builder.read_cells(script, lang).cells for lang in builder.NOTEBOOKS}
    assert [cell.cell_type for cell in cells["en"]] == [cell.cell_type for cell in cells["zh"]]
    for english, chinese in zip(*cells.values(), strict=True):
        if english.cell_type == "code":
            assert english.source == chinese.source
            continue
        assert re.findall("^#+ ", english.source, re.M) == re.findall("^#+ ", chinese.source, re.M)
        assert re.search("[\u4e00-\u9fff]", chinese.source)
        assert "你" not in chinese.source
        assert not re.search("[\u4e00-\u9fff]\n[\u4e00-\u9fff]", chinese.source)


def test_a_failing_cell_fails_the_build_and_nothing_is_written(builder, tmp_path, monkeypatch):
    from nbclient.exceptions import CellExecutionError

    broken = tmp_path / "broken.py"
    broken.write_text("# %%\n1 / 0\n", encoding="utf-8")
    monkeypatch.setattr(builder, "SOURCE", broken)
    monkeypatch.setattr(builder, "NOTEBOOKS", {"en": tmp_path / "en.ipynb", "zh": tmp_path / "zh.ipynb"})
    with pytest.raises(CellExecutionError, match="ZeroDivisionError"):
        builder.main()
    assert list(tmp_path.iterdir()) == [broken]

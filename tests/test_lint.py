"""The source linter: the corpus, whole projects, notebooks, odd files, comments, formats, fixes."""

from __future__ import annotations

import ast
import json
import re
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner

import crossent
from crossent.checks.fixes import fixed
from crossent.checks.rules import STATES
from crossent.checks.source import report
from crossent.cli import main
from crossent.errors import DataError

ROOT = Path(__file__).parents[1]
CORPUS = Path(__file__).parent / "corpus"
WRONG, RIGHT = sorted((CORPUS / "wrong").glob("*.py")), sorted((CORPUS / "right").glob("*.py"))
BAD = "import torch.nn.functional as F\nloss = F.cross_entropy(F.softmax(x, dim=1), y)\n"


def expected(path: Path) -> set[tuple[str, int]]:
    lines = path.read_text().splitlines()
    return {(m[1], n) for n, line in enumerate(lines, 1) for m in re.finditer(r"# expect: (X\d+)", line)}


def found(*paths: Path, **options: bool) -> set[tuple[str, int]]:
    return {(finding.rule_id, finding.line) for finding in crossent.checks.lint(paths, **options)}


def command(*words: object) -> object:
    return CliRunner().invoke(main, ["check", *map(str, words)])


def test_the_corpus_is_large_enough():
    assert len(WRONG) >= 120
    assert len(RIGHT) >= 100


@pytest.mark.parametrize("path", WRONG, ids=lambda path: path.stem)
def test_what_is_wrong_is_found_at_its_line(path):
    assert expected(path)
    assert found(path) == expected(path)


@pytest.mark.parametrize("path", RIGHT, ids=lambda path: path.stem)
def test_what_is_right_is_left_alone(path):
    assert found(path) == set()


def test_the_whole_corpus_at_once_gives_the_same():
    result = report([CORPUS])
    assert result.problems == []
    assert {(Path(f.path).name, f.rule_id, f.line) for f in result.findings} == {
        (path.name, *one) for path in WRONG for one in expected(path)
    }


def test_the_examples_show_what_they_are_about(monkeypatch):
    monkeypatch.chdir(ROOT)
    done = command("examples")
    assert done.exit_code == 1
    rules = {finding.rule_id for finding in crossent.checks.lint("examples")}
    assert rules == {"X001", "X019", "X020", "X021"}
    assert "examples/softmax_and_cross_entropy.ipynb:cell " in done.output


def test_crossent_itself_is_sound():
    assert {rule for rule, _ in found(ROOT / "src")} <= {"not-analysed"}


# ---------------------------------------------------------------------- possible findings

POSSIBLE = {
    "an unknown trainer": (
        "from somewhere import fit\nmodel = nn.Sequential(nn.Linear(2, 3), nn.Softmax(dim=1))\n"
        "fit(model, data, nn.CrossEntropyLoss())\n", ("X001", 6),
    ),
    "an unknown trainer, by keyword": (
        "def main(engine, data):\n    net = nn.Sequential(nn.Linear(2, 1), nn.Sigmoid())\n"
        "    engine.run(data, model=net, loss_fn=nn.BCEWithLogitsLoss())\n", ("X004", 6),
    ),
    "a model that ends in a softmax": (
        "class Net(nn.Module):\n    def forward(self, x):\n        return F.softmax(x, dim=1)\n\n\n"
        "def train(model, loader):\n    for x, y in loader:\n        F.cross_entropy(model(x), y).backward()\n",
        ("X001", 11),
    ),
    "one of several losses": (
        "def step(x, y, hard):\n    criterion = nn.CrossEntropyLoss() if hard else nn.MSELoss()\n"
        "    return criterion(F.softmax(x, dim=1), y)\n", ("X001", 6),
    ),
    "one of several models": (
        "class A(nn.Module):\n    def forward(self, x):\n        return x.softmax(1)\n\n\n"
        "class B(nn.Module):\n    def forward(self, x):\n        return x\n\n\n"
        "def train(x, y, plain):\n    model = B() if plain else A()\n    return F.cross_entropy(model(x), y)\n",
        ("X001", 16),
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", POSSIBLE)
def test_what_may_be_a_mistake_is_a_possible_finding(name, tmp_path):
    code, place = POSSIBLE[name]
    path = tmp_path / "a.py"
    path.write_text(f"import torch.nn as nn\nimport torch.nn.functional as F\n\n{code}")
    assert found(path) == set()
    assert place in found(path, possible=True)


def test_an_unknown_call_with_a_model_that_ends_in_scores_is_none(tmp_path):
    path = tmp_path / "a.py"
    path.write_text(
        "import torch.nn as nn\nfrom somewhere import fit\n\nmodel = nn.Sequential(nn.Linear(2, 3))\n"
        "fit(model, data, nn.CrossEntropyLoss())\n"
    )
    assert found(path, possible=True, notes=True) == set()


# ---------------------------------------------------------------------- projects


@pytest.fixture
def project(tmp_path):
    """A package whose softmax is made in one file, passed on in another, and reaches the loss in a third."""
    package = tmp_path / "net"
    package.mkdir()
    (package / "__init__.py").write_text("from .model import Net\n")
    (package / "head.py").write_text("from torch import nn\n\n\ndef head():\n    return nn.Softmax(dim=1)\n")
    (package / "model.py").write_text(
        "import torch.nn as nn\nfrom .head import head\n\n\nclass Net(nn.Module):\n    def __init__(self, n):\n"
        "        super().__init__()\n        self.fc = nn.Linear(3, n)\n        self.head = head()\n\n"
        "    def forward(self, x):\n        return self.head(self.fc(x))\n"
    )
    (tmp_path / "losses.py").write_text(
        "import torch.nn as nn\n\n\ndef get(name='ce'):\n    if name == 'ce':\n        return nn.CrossEntropyLoss()\n"
        "    return nn.MSELoss()\n"
    )
    (tmp_path / "train.py").write_text(
        "from net import Net\nfrom losses import get\n\n\ndef main():\n    model, criterion = Net(3), get()\n"
        "    for x, y in loader:\n        loss = criterion(model(x), y)\n        loss.backward()\n\n\nmain()\n"
    )
    return tmp_path


def test_a_softmax_is_followed_through_the_files_of_a_project(project):
    (finding,) = crossent.checks.lint(project)
    assert (Path(finding.path).name, finding.line, finding.rule_id) == ("train.py", 8, "X001")
    assert finding.origin.endswith("head.py:5")
    assert found(project / "train.py") == {("X001", 8)}


def test_modules_that_import_each_other(tmp_path):
    (tmp_path / "a.py").write_text(f"from b import two\n{BAD}def one(): return two\n")
    (tmp_path / "b.py").write_text("from a import one\nimport softmax\ndef two(): return one()\n")
    assert found(tmp_path) == {("X001", 3)}


# ---------------------------------------------------------------------- files of every kind


def test_a_notebook_is_read_by_cells(tmp_path):
    cells = [
        ("markdown", "# softmax"),
        ("code", "%matplotlib inline\n!pip install torch\nfiles = !ls\nimport torch.nn as nn\nnn.Linear?"),
        ("code", "%%bash\nls softmax"),
        ("code", "def broken(:"),
        (
            "code",
            "%%time\nm = nn.Sequential(nn.Linear(3, 3), nn.Softmax(dim=1))\nloss = nn.CrossEntropyLoss()(m(x), y)",
        ),
    ]
    path = tmp_path / "a.ipynb"
    path.write_text(json.dumps({"cells": [{"cell_type": kind, "source": [code]} for kind, code in cells]}))
    broken, finding = crossent.checks.lint(path)
    assert (broken.rule_id, broken.cell, broken.line) == ("invalid-syntax", 4, 1)
    assert (finding.cell, finding.line, finding.origin) == (5, 3, "cell 5, line 2")
    assert str(finding).startswith(f"{path}:cell 5:3:8: X001 softmax before cross-entropy (from cell 5, line 2)")


@pytest.mark.parametrize(
    "data",
    [
        f'print "hello"\ntry:\n    pass\nexcept ValueError, e:\n    print e\n{BAD}'.encode(),
        b"# -*- coding: latin-1 -*-\ns = '\xe9'\n" + BAD.encode(),
        b"s = '\xe9'\n" + BAD.encode(),
        BAD.encode("utf-16"),
        b"\xef\xbb\xbf" + BAD.encode(),
        BAD.replace("\n", "\r\n").encode(),
        b"# coding: no-such-encoding\n" + BAD.encode(),
    ],
)
def test_encodings_and_python_2(data, tmp_path):
    path = tmp_path / "a.py"
    path.write_bytes(data)
    assert {finding.rule_id for finding in crossent.checks.lint(path)} == {"X001"}


@pytest.mark.parametrize(
    ("name", "data", "rule", "text"),
    [
        ("a.py", b"softmax = (", "invalid-syntax", "a.py:1:11: invalid-syntax"),
        ("a.py", b"x = 1\nexec softmax in 3 +\n", "invalid-syntax", "a.py:2:"),
        ("a.py", b"softmax = " + b"(" * 3000 + b")" * 3000, "not-analysed", "nested too deeply"),
        ("a.py", b"softmax = 1\n" * 200_000, "not-analysed", "too large to be a source (2,400,000 bytes)"),
        ("a.ipynb", b'{"cells": 3}', "invalid-syntax", "is not a notebook"),
        ("a.ipynb", b"softmax", "invalid-syntax", "is not a notebook"),
        ("a.ipynb", b'{"cells": [', "invalid-syntax", "is not a notebook"),
    ],
)
def test_what_cannot_be_looked_at_is_a_finding_and_nothing_raises(name, data, rule, text, tmp_path):
    (tmp_path / name).write_bytes(data)
    (tmp_path / "b.py").write_text(BAD)
    result = report([tmp_path])
    assert text in result.problems[0]
    assert {finding.rule_id for finding in result.findings} == {rule, "X001"}
    assert command(tmp_path / name).exit_code == 1


def test_a_file_that_may_not_be_read_is_a_finding(tmp_path, monkeypatch):
    def refused(path):
        raise PermissionError(13, "Permission denied")

    (tmp_path / "a.py").write_text(BAD)
    monkeypatch.setattr(Path, "read_bytes", refused)
    (finding,) = crossent.checks.lint(tmp_path)
    assert (finding.rule_id, finding.detail) == ("not-analysed", "cannot be read: Permission denied")


def test_a_file_without_a_word_that_matters_is_nobodys_concern(tmp_path):
    (tmp_path / "a.py").write_text("x = (")
    (tmp_path / "b.py").write_bytes(b"x = 1\n" * 400_000)
    (tmp_path / "c.ipynb").write_text(json.dumps({"cells": [{"cell_type": "code", "source": "x = ("}]}))
    assert crossent.checks.lint(tmp_path) == []


def test_a_long_file_is_looked_at_to_its_end(tmp_path):
    path = tmp_path / "a.py"
    path.write_text("softmax = f(x)\n" * 30_000 + BAD)
    assert found(path) == {("X001", 30_002)}


def test_what_takes_too_long_to_follow_is_said_and_what_comes_after_it_is_found(tmp_path):
    levels = "\n".join(
        f"def f{n}(x, y):\n    z = [softmax(x, k) for k in x]\n"
        f"    return {', '.join(f'f{n + 1}(x, (y, {k}))' for k in range(8))}"
        for n in range(9)
    )
    (tmp_path / "a.py").write_text(f"{levels}\nf0(softmax, 3)\n{BAD}")
    result = report([tmp_path])
    assert {finding.rule_id for finding in result.findings} == {"X001", "not-analysed"}
    assert "was not followed" in result.problems[0]


def test_a_cell_that_is_no_python_is_named_and_the_others_are_looked_at(tmp_path):
    cells = [{"cell_type": "code", "source": "softmax = ("}, {"cell_type": "code", "source": BAD}]
    (tmp_path / "a.ipynb").write_text(json.dumps({"cells": cells}))
    done = command(tmp_path)
    assert done.exit_code == 1
    assert [(f.rule_id, f.cell, f.line) for f in crossent.checks.lint(tmp_path)] == [
        ("invalid-syntax", 1, 1),
        ("X001", 2, 2),
    ]


@pytest.mark.parametrize(
    "code",
    [
        "",
        "softmax = " + "+".join(["x"] * 900),
        "if a == 0:\n    softmax = 1\n" + "".join(f"elif a == {n}:\n    softmax = {n}\n" for n in range(400)),
        "def softmax(n):\n    return softmax(n - 1) + softmax(n - 2)\nsoftmax(9)\n",
        "class Softmax(Softmax):\n    def forward(self):\n        return self.forward()\n",
        "from softmax import *\nfrom . import softmax\nfrom ... import entropy\nimport softmax.softmax as s\n",
        "match softmax:\n    case {'a': [x, *rest]}:\n        pass\n    case _:\n        softmax = 2\n",
        "async def f():\n    async with a as b:\n        async for c in d:\n            yield await softmax(c)\n",
        "x = [*softmax, *y]\nf(*x, **softmax)\n(a, *b), c = softmax\nx[softmax:1, ..., None] = 3\ndel x[0], y.a\n",
        "try:\n    softmax\nexcept* ValueError as e:\n    pass\n" if sys.version_info >= (3, 11) else "softmax",
        "lambda *a, k=softmax, **b: (yield)\nglobal softmax\nwhile True:\n    break\nelse:\n    softmax\n",
        "softmax[()], x[...], F.softmax(x, 1)[()], F.softmax(*x)[-1][None]\nimport torch.nn.functional as F\n",
        "return softmax\nbreak\nnonlocal softmax\n",
    ],
)
def test_odd_programs(code, tmp_path):
    path = tmp_path / "a.py"
    path.write_text(code)
    result = report([path], possible=True, notes=True)
    assert not any("cannot be followed" in problem for problem in result.problems)


def test_a_path_that_is_not_there(tmp_path):
    with pytest.raises(DataError, match="no such file or folder"):
        crossent.checks.lint(tmp_path / "none.py")
    done = command(tmp_path / "none.py")
    assert (done.exit_code, done.output.count("\n")) == (2, 1)


# ---------------------------------------------------------------------- the command


@pytest.fixture
def bad(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Path("bad.py").write_text(BAD)
    return Path("bad.py")


def test_exit_codes(bad):
    assert command(bad).exit_code == 1
    bad.write_text("softmax = 1\n")
    assert command(bad).exit_code == 0


@pytest.mark.parametrize(
    "comment", ["# crossent: ignore", "# crossent: ignore[X001]", "# crossent: ignore[X005, X001]"]
)
def test_a_comment_turns_a_rule_off(bad, comment):
    bad.write_text(BAD.rstrip("\n") + f"  {comment}\n")
    assert found(bad) == set()


def test_a_comment_for_another_rule_does_not(bad):
    bad.write_text(BAD.rstrip("\n") + "  # crossent: ignore[X005]\n")
    assert found(bad) == {("X001", 2)}
    bad.write_text(f"# crossent: ignore-file[X001]\n{BAD}")
    assert found(bad) == set()


def test_formats(bad):
    (row,) = json.loads(command(bad, "--format", "json").stdout)
    assert (row["rule_id"], row["path"], row["line"], row["column"]) == ("X001", "bad.py", 2, 8)
    annotation = command(bad, "--format", "github").stdout
    assert annotation.startswith("::error file=bad.py,line=2,endLine=2,col=8,title=X001 softmax before cross-entropy::")
    log = json.loads(command(bad, "--format", "sarif").stdout)
    (result,) = log["runs"][0]["results"]
    assert result["locations"][0]["physicalLocation"]["region"] == {
        "startLine": 2, "startColumn": 8, "endLine": 2, "endColumn": 47,
    }  # fmt: skip
    assert {rule["id"] for rule in log["runs"][0]["tool"]["driver"]["rules"]} == {*crossent.checks.RULES, *STATES}
    bad.write_text("softmax = 1\n")
    assert json.loads(command(bad, "--format", "json").stdout) == []


def test_select(bad):
    assert command(bad, "--select", "X002,X003").exit_code == 0
    assert command(bad, "--select", "x001").exit_code == 1
    assert "X999 is no rule" in command(bad, "--select", "X999").output


def test_possible_findings_are_asked_for(bad):
    bad.write_text(
        "import torch.nn.functional as F\n\n\ndef f(x, y, p):\n    if p:\n        x = F.softmax(x, dim=1)\n"
        "    return F.cross_entropy(x, y)\n"
    )
    assert found(bad) == set()
    assert found(bad, possible=True) == {("X001", 7)}
    assert "bad.py:7:12: X001 possibly softmax before" in command(bad, "--possible").output


FIXES = [
    ("loss = F.cross_entropy(F.softmax(x, dim=1), y)", "loss = F.cross_entropy(x, y)"),
    ("loss = F.cross_entropy(x.softmax(dim=-1), y)", "loss = F.cross_entropy(x, y)"),
    ("F.binary_cross_entropy_with_logits(torch.sigmoid(x), y)", "F.binary_cross_entropy_with_logits(x, y)"),
    ("m = nn.Sequential(nn.Linear(2, 3), nn.Softmax(1))\nnn.CrossEntropyLoss()(m(x), y)",
     "m = nn.Sequential(nn.Linear(2, 3))\nnn.CrossEntropyLoss()(m(x), y)"),
    ("act = nn.Softmax(1)\nnn.CrossEntropyLoss()(act(x), y)", "act = nn.Identity()\nnn.CrossEntropyLoss()(act(x), y)"),
    ("z = torch.log(F.softmax(x, dim=-1))", "z = F.log_softmax(x, dim=-1)"),
    ("nn.BCELoss()(torch.sigmoid(x), y)", "nn.BCEWithLogitsLoss()(x, y)"),
]  # fmt: skip


@pytest.mark.parametrize(("before", "after"), FIXES)
def test_fixes(bad, before, after):
    head = "import torch\nimport torch.nn as nn\nimport torch.nn.functional as F\n"
    bad.write_text(head + before + "\n")
    diff = fixed([bad], notes=True, unsafe=True)
    assert bad.read_text() == head + before + "\n"
    assert {f"-{line}" for line in before.split("\n")} - {f"-{line}" for line in after.split("\n")} <= set(
        diff.split("\n")
    )
    command(bad, "--fix", "--write", "--notes", "--unsafe-fixes")
    assert bad.read_text() == head + after + "\n"
    assert found(bad, notes=True) == set()


def test_fix_shows_a_diff_and_writes_nothing(bad):
    done = command(bad, "--fix")
    assert done.exit_code == 1
    assert done.stdout.startswith("--- a/bad.py\n+++ b/bad.py\n@@ ")
    assert bad.read_text() == BAD


# ---------------------------------------------------------------------- the house


def imported(path: Path) -> set[str]:
    """The neighbours that a file imports: at its top, in its functions, for its types."""
    nodes = [n for n in ast.walk(ast.parse(path.read_text())) if isinstance(n, ast.ImportFrom) and n.level == 1]
    return {name for n in nodes for name in ([n.module] if n.module else [alias.name for alias in n.names])}


def test_no_file_of_the_linter_imports_itself_by_way_of_others():
    folder = Path(crossent.checks.source.__file__).parent
    graph = {path.stem: imported(path) for path in folder.glob("*.py")}
    floors: dict[str, int] = {}
    while len(floors) < len(graph):
        ready = [name for name, below in graph.items() if name not in floors and below & set(graph) <= set(floors)]
        assert ready, f"a circle among {sorted(set(graph) - set(floors))}"
        floors |= dict.fromkeys(ready, len(set(floors.values())))
    assert floors["values"] < floors["operations"] < floors["evaluator"] < floors["lint"]

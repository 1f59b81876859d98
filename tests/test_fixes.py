"""Fixes: programs run before and after on random input; who else uses a value keeps a fix from being made unasked."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from click.testing import CliRunner

from crossent.checks import lint
from crossent.checks.fixes import Plan, planned
from crossent.checks.settings import Settings
from crossent.checks.source import rules_of
from crossent.cli import main

HEAD = "import torch\nimport torch.nn as nn\nimport torch.nn.functional as F\n\ntorch.manual_seed(0)\n"
DATA = "x, y = torch.randn(16, 4), torch.randint(0, 3, (16,))\nt = torch.rand(16, 1).round()\n"
NET = """

class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.fc = nn.Linear(4, 3)

    def forward(self, x):
        return F.softmax(self.fc(x), dim=1)


model = Net()
"""
SEQUENCE = "model = nn.Sequential(nn.Linear(4, 3), nn.Softmax(dim=1))\n"
BINARY = "model = nn.Sequential(nn.Linear(4, 1), nn.Sigmoid())\n"

# The program, and the names of its outputs: "loss" is what the fix is about, all others must stay.
SAFE = {
    "functional": ("w = torch.randn(4, 3)\nloss = F.cross_entropy(F.softmax(x @ w, dim=1), y)\n", []),
    "method": ("w = torch.randn(4, 3)\nloss = F.cross_entropy((x @ w).softmax(-1), y)\n", []),
    "a sum": ("w = torch.randn(16, 3)\nloss = F.cross_entropy(F.softmax(w + 2 * w, dim=1).squeeze(), y)\n", []),
    "a name": ("z = torch.randn(16, 3)\np = F.softmax(z, dim=1)\nloss = F.cross_entropy(p, y)\n", ["z"]),
    "the same name": (
        "z = torch.randn(16, 3)\nz = F.softmax(z, dim=1)  # in place\nloss = F.cross_entropy(z, y)\n",
        [],
    ),
    "in a block": (
        "z = torch.randn(16, 3)\nif True:\n    z = F.softmax(z, dim=1)\nloss = F.cross_entropy(z, y)\n", []
    ),
    "several lines": (
        "z = torch.randn(16, 3)\np = F.softmax(\n    z\n    + 1,\n    dim=1,\n)\nloss = F.cross_entropy(p, y)\n", []
    ),
    "a class": (NET + "loss = nn.CrossEntropyLoss()(model(x), y)\n", []),
    "argmax": (
        NET + "out = model(x)\nloss = F.cross_entropy(out, y)\nhits = (out.argmax(dim=1) == y).sum()\n",
        ["hits"],
    ),
    "max": (
        NET + "out = model(x)\nloss = F.cross_entropy(out, y)\n_, best = torch.max(out.data, 1)\nn = out.size(0)\n",
        ["best", "n"],
    ),
    "indices": (NET + "out = model(x)\nloss = F.cross_entropy(out, y)\nbest = out.max(1)[1]\nb = out.max(1).indices\n",
                ["best", "b"]),
    "a function": (
        NET + "\n\ndef evaluate(net):\n    return net(x).argmax(1)\n\n\nloss = F.cross_entropy(model(x), y)\n"
        "best = evaluate(model)\n", ["best"],
    ),
    "a sequence": (SEQUENCE + "loss = nn.CrossEntropyLoss()(model(x), y)\n", []),
    "a sequence read by number": (
        SEQUENCE + "loss = nn.CrossEntropyLoss()(model(x), y)\nn = len(model)\nhead = model[0](x)\n", ["n", "head"]
    ),
    "a sequence of lines": (
        "model = nn.Sequential(\n    nn.Linear(4, 3),  # scores\n    nn.Softmax(dim=1),  # probabilities\n)\n"
        "loss = nn.CrossEntropyLoss()(model(x), y)\n", []
    ),
    "a layer by its bare name": (
        "from torch.nn import Softmax\n\nact = Softmax(dim=1)\nfc = nn.Linear(4, 3)\n"
        "loss = nn.CrossEntropyLoss()(act(fc(x)), y)\n", []
    ),
    "both ways": (
        "z = torch.randn(16, 3)\np = F.softmax(z, dim=1) if len(z) > 3 else torch.softmax(2 * z, 1)\n"
        "loss = F.cross_entropy(p, y)\n", []
    ),
    "sigmoid": (BINARY + "loss = nn.BCELoss()(model(x), t)\n", []),
    "sigmoid in logits": (BINARY + "loss = nn.BCEWithLogitsLoss()(model(x), t)\n", []),
    "sigmoid, functional": (
        "z = torch.randn(16, 1)\nloss = F.binary_cross_entropy(torch.sigmoid(z), t, reduction='sum')\n", ["z"]
    ),
    "log": ("z = torch.randn(16, 3)\nlog_p = torch.log(F.softmax(z, dim=1))\nloss = F.nll_loss(log_p, y)\n", ["log_p"]),
    "log as a method": ("z = torch.randn(16, 3)\nlog_p = z.softmax(1).log()\nloss = F.nll_loss(log_p, y)\n", ["log_p"]),
}  # fmt: skip

# The program, and what the consumer is said to do.
UNSAFE = {
    "multinomial": (
        NET + "loss = F.cross_entropy(model(x), y)\ndraw = torch.multinomial(model(x), 1)\n",
        "multinomial gets it",
    ),
    "confidence": (
        NET + "out = model(x)\nloss = F.cross_entropy(out, y)\nsure = out.max(1).values > 0.9\n", "it is compared"
    ),
    "another loss": (
        NET + "out = model(x)\nloss = F.cross_entropy(out, y)\nbrier = F.mse_loss(out, F.one_hot(y).float())\n",
        "mse_loss gets it",
    ),
    "threshold": (
        BINARY + "pred = model(x)\nloss = nn.BCELoss()(pred, t)\nhits = (pred >= 0.5) == t\n",
        "it is compared",
    ),
    "threshold elsewhere": (
        BINARY + "loss = nn.BCELoss()(model(x), t)\n\n\ndef accuracy(net):\n    return (net(x) > 0.5).float()\n\n\n"
        "hits = accuracy(model)\n", "it is compared",
    ),
    "rounded": (BINARY + "pred = model(x)\nloss = nn.BCELoss()(pred, t)\nhits = torch.round(pred)\n", "round gets it"),
    "returned": (
        NET + "\n\ndef step(x, y):\n    out = model(x)\n    loss = F.cross_entropy(out, y)\n    return loss, out\n",
        "step returns the value",
    ),
    "kept": (
        "class Run:\n    def step(self, z, y):\n        self.p = F.softmax(z, dim=1)\n"
        "        return F.cross_entropy(self.p, y)\n",
        "it is kept in self.p",
    ),
    "printed": (NET + "out = model(x)\nloss = F.cross_entropy(out, y)\nprint(out)\n", "print gets it"),
    "formatted": (NET + "out = model(x)\nloss = F.cross_entropy(out, y)\ns = f'{out}'\n", "it is printed"),
    "entropy": (
        NET + "out = model(x)\nloss = F.cross_entropy(out, y)\nh = -(out * out.log()).sum()\n", "it is calculated with"
    ),
    "saved": (NET + "loss = F.cross_entropy(model(x), y)\ntorch.save(model, 'model.pt')\n", "save gets model"),
    "an unknown caller": (
        NET + "loss = F.cross_entropy(model(x), y)\n\n\ndef predict(net, x):\n    return net(x).max(1).values > 0.9\n",
        "net is called, which may be the model",
    ),
    "code that was not followed": (
        NET + "out = model(x)\nloss = F.cross_entropy(out, y)\nif False:\n    print(out.max())\n", "was not followed"
    ),
    "argmax along another axis": (
        NET + "out = model(x)\nloss = F.cross_entropy(out, y)\nbest = out.argmax(dim=0)\n", "along another axis"
    ),
}  # fmt: skip


def plan(path: Path, *, unsafe: bool = False, **options: bool) -> Plan:
    return planned([path], rules_of(Settings(notes=True, **options)), unsafe=unsafe)


def run(code: str) -> dict[str, object]:
    names: dict[str, object] = {}
    exec(compile(code, "program", "exec"), names)
    return names


def fixed(path: Path, code: str, *, unsafe: bool = False) -> tuple[str, Plan]:
    path.write_text(code)
    made = plan(path, unsafe=unsafe)
    return made.contents.get(str(path), code.encode()).decode(), made


@pytest.mark.parametrize("name", SAFE)
def test_a_safe_fix_changes_the_loss_and_nothing_else(name, tmp_path):
    body, outputs = SAFE[name]
    before = HEAD + DATA + body
    after, made = fixed(tmp_path / "a.py", before)
    assert [(fix.refused, list(map(str, fix.consumers))) for fix in made.fixes] == [("", [])]
    assert after != before
    assert lint(tmp_path / "a.py") != [] or "X028" in str(made.fixes) or "X019" in str(made.fixes)
    old, new = run(before), run(after)
    for output in outputs:
        torch.testing.assert_close(new[output], old[output])
    same = {fix.findings[0].rule for fix in made.fixes} <= {"X028", "X019"}
    assert torch.allclose(new["loss"], old["loss"], atol=1e-6) is same
    (tmp_path / "a.py").write_text(after)
    assert lint(tmp_path / "a.py", notes=True) == []
    assert (
        "# " not in before.replace(HEAD, "")
        or [w for w in before.split("# ")[1:] if w.split("\n")[0] not in after] == []
    )


@pytest.mark.parametrize("name", UNSAFE)
def test_a_fix_that_others_would_notice_names_them_and_is_not_made_unasked(name, tmp_path):
    body, said = UNSAFE[name]
    after, made = fixed(tmp_path / "a.py", HEAD + DATA + body)
    fix = next(fix for fix in made.fixes if fix.findings[0].rule != "X019")
    assert after == HEAD + DATA + body
    assert not fix.safe
    assert any(said in str(consumer) for consumer in fix.consumers), list(map(str, fix.consumers))


# ---------------------------------------------------------------------- what is not offered

REFUSED = {
    "clamped on its way": (
        "z = torch.randn(16, 1)\nloss = F.binary_cross_entropy(torch.sigmoid(z).clamp(1e-6, 1 - 1e-6), t)\n",
        "changed on their way",
    ),
    "by hand on one way": (
        "z = torch.randn(16, 3)\np = F.softmax(z, 1) if len(z) > 3 else z.exp() / z.exp().sum()\n"
        "loss = F.cross_entropy(p, y)\n",
        "written out by hand",
    ),
    "a loss that is called with something else": (
        BINARY + "loss_of = nn.BCELoss()\nloss = loss_of(model(x), t)\nother = loss_of(t, t)\n",
        "called with something else",
    ),
    "a rounding that would stay": (
        BINARY + "pred = model(x)\nloss = nn.BCELoss()(pred, t)\nhits = torch.round(pred) == t\n",
        "after it the check finds X026",
    ),
    "a comment inside": (
        "z = torch.randn(16, 3)\np = F.softmax(\n    z,\n    dim=1,  # classes\n)\nloss = F.cross_entropy(p, y)\n",
        "a comment would be lost",
    ),
    "one of several on a line": (
        "z = torch.randn(16, 3); z = F.softmax(z, 1); loss = F.cross_entropy(z, y)\n",
        "several statements",
    ),
    "no import of the other loss": (
        "from torch.nn.functional import *\n\nz = torch.randn(16, 1)\nloss = BCELoss()(torch.sigmoid(z), t)\n",
        "",
    ),
}


@pytest.mark.parametrize("name", [name for name in REFUSED if REFUSED[name][1]])
def test_a_fix_that_cannot_be_right_is_not_offered_even_when_asked_for(name, tmp_path):
    body, said = REFUSED[name]
    after, made = fixed(tmp_path / "a.py", HEAD + DATA + body, unsafe=True)
    assert after == HEAD + DATA + body
    assert said in made.fixes[0].refused


def test_a_fix_that_is_asked_for_is_made_though_others_would_notice(tmp_path):
    body, said = UNSAFE["multinomial"]
    after, made = fixed(tmp_path / "a.py", HEAD + DATA + body, unsafe=True)
    assert "return self.fc(x)" in after
    assert any(said in str(consumer) for consumer in made.applied[0].consumers)


# Programs whose hits stay as they are when a threshold at 0.5 of a probability becomes one at 0 of a score.
THRESHOLDS = {
    "a comparison": BINARY + "pred = model(x)\nloss = nn.BCELoss()(pred, t)\nhits = (pred >= 0.5) == t\n",
    "a method": BINARY + "pred = model(x)\nloss = nn.BCELoss()(pred, t)\nhits = pred.gt(0.5).float()\n",
    "turned round": BINARY + "pred = model(x)\nloss = nn.BCELoss()(pred, t)\nhits = torch.where(0.5 < pred, 1, 0)\n",
    "another function": (
        BINARY + "loss = nn.BCELoss()(model(x), t)\n\n\ndef accuracy(net):\n    return (net(x) > 0.5).float()\n\n\n"
        "hits = accuracy(model)\n"
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", THRESHOLDS)
def test_a_threshold_on_what_becomes_a_score_is_rewritten_where_unsafe_fixes_are_asked_for(name, tmp_path):
    before = HEAD + DATA + THRESHOLDS[name]
    after, made = fixed(tmp_path / "a.py", before)
    assert after == before
    after, made = fixed(tmp_path / "a.py", before, unsafe=True)
    assert [fix.refused for fix in made.fixes] == [""]
    assert not made.fixes[0].safe
    old, new = run(before), run(after)
    torch.testing.assert_close(new["hits"], old["hits"])
    torch.testing.assert_close(new["loss"], old["loss"])
    (tmp_path / "a.py").write_text(after)
    assert lint(tmp_path / "a.py", notes=True) == []


def test_a_threshold_on_a_score_is_put_right(tmp_path):
    before = HEAD + DATA + (
        "z = nn.Linear(4, 1)(x)\nloss = nn.BCEWithLogitsLoss()(z, t)\nhits = z > 0.5\nright = z.sigmoid() > 0.5\n"
    )  # fmt: skip
    after, made = fixed(tmp_path / "a.py", before)
    assert [fix.safe for fix in made.fixes] == [True]
    new = run(after)
    torch.testing.assert_close(new["hits"], new["right"])
    assert not torch.equal(run(before)["hits"], new["hits"])


def test_the_binary_loss_of_probabilities_that_was_given_scores_becomes_the_one_of_scores(tmp_path):
    before = HEAD + DATA + "net = nn.Linear(4, 1)\nz = net(x)\nscale = 1\nloss = nn.BCELoss()(z, t)\n"
    after, made = fixed(tmp_path / "a.py", before)
    assert [fix.safe for fix in made.fixes] == [True]
    new = run(after)
    torch.testing.assert_close(new["loss"], torch.nn.functional.binary_cross_entropy(new["z"].sigmoid(), new["t"]))
    (tmp_path / "a.py").write_text(after)
    assert lint(tmp_path / "a.py", notes=True) == []


def test_a_softmax_that_another_method_makes_anew_goes_too(tmp_path):
    before = HEAD + DATA + (
        "class Net(nn.Module):\n    def __init__(self):\n        super().__init__()\n"
        "        self.fc = nn.Linear(4, 3)\n        self.out = nn.Softmax(dim=1)\n\n"
        "    def again(self):\n        self.out = nn.Softmax(dim=-1)\n\n"
        "    def forward(self, x):\n        return self.out(self.fc(x))\n\n\n"
        "model = Net()\nloss = nn.CrossEntropyLoss()(model(x), y)\n"
    )  # fmt: skip
    after, _ = fixed(tmp_path / "a.py", before, unsafe=True)
    assert "Softmax" not in after
    assert after.count("nn.Identity()") == 2


HEAD_OF_KERAS = "from tensorflow import keras\nfrom tensorflow.keras.losses import BinaryCrossentropy\n\n"
MODEL = "model = keras.Sequential([keras.layers.Dense(10%s)])\n"
SOFTMAX, SIGMOID = MODEL % ", activation='softmax'", MODEL % ", activation='sigmoid'"
KERAS = {
    "an argument alone": (
        SOFTMAX + "model.compile('adam', keras.losses.SparseCategoricalCrossentropy(from_logits=True))\n",
        "keras.losses.SparseCategoricalCrossentropy())",
    ),
    "the first of several": (
        SOFTMAX + "model.compile('adam', keras.losses.CategoricalCrossentropy(from_logits=True, axis=-1))\n",
        "keras.losses.CategoricalCrossentropy(axis=-1))",
    ),
    "the last of several": (
        SIGMOID + "model.compile('adam', loss=BinaryCrossentropy(label_smoothing=0.1, from_logits=True))\n",
        "loss=BinaryCrossentropy(label_smoothing=0.1))",
    ),
    "no arguments": (
        MODEL % "" + "model.compile('adam', loss=keras.losses.SparseCategoricalCrossentropy())\n",
        "keras.losses.SparseCategoricalCrossentropy(from_logits=True))",
    ),
    "false": (
        MODEL % "" + "model.compile('adam', loss=BinaryCrossentropy(from_logits=False))\n",
        "BinaryCrossentropy(from_logits=True))",
    ),
    "by its name": (
        MODEL % "" + "model.compile('adam', 'sparse_categorical_crossentropy', metrics=['accuracy'])\n",
        "'adam', keras.losses.SparseCategoricalCrossentropy(from_logits=True), metrics=",
    ),
    "a tape": (
        MODEL % "" + "loss_of = keras.losses.CategoricalCrossentropy()\n\n\ndef step(x, y):\n"
        "    return loss_of(y, model(x))\n",
        "keras.losses.CategoricalCrossentropy(from_logits=True)\n",
    ),
    "a model that is used otherwise": (
        SOFTMAX + "model.compile('adam', keras.losses.SparseCategoricalCrossentropy(from_logits=True))\n"
        "sure = model.predict(x).max(1) > 0.9\n",
        "keras.losses.SparseCategoricalCrossentropy())",
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", KERAS)
def test_a_loss_of_keras_is_told_what_it_gets_and_the_model_stays(name, tmp_path):
    body, said = KERAS[name]
    after, made = fixed(tmp_path / "a.py", HEAD_OF_KERAS + body)
    assert [(fix.refused, fix.safe) for fix in made.fixes] == [("", True)]
    assert said in after
    assert after.split("\n")[:4] == (HEAD_OF_KERAS + body).split("\n")[:4]
    (tmp_path / "a.py").write_text(after)
    assert lint(tmp_path / "a.py", notes=True) == []


def test_a_loss_of_keras_that_is_given_something_else_is_not_changed(tmp_path):
    before = HEAD_OF_KERAS + MODEL % "" + (
        "loss_of = keras.losses.CategoricalCrossentropy()\n\n\ndef step(x, y, p):\n"
        "    return loss_of(y, model(x)) + loss_of(y, p)\n"
    )  # fmt: skip
    after, _ = fixed(tmp_path / "a.py", before, unsafe=True)
    assert after == before


# ---------------------------------------------------------------------- projects and notebooks


@pytest.fixture
def project(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Path("net.py").write_text(
        f"import torch.nn as nn\nimport torch.nn.functional as F\n{NET.replace('model = Net()', '')}"
    )
    Path("train.py").write_text(
        "import torch.nn as nn\nfrom net import Net\n\nmodel = Net()\nfor x, y in loader:\n"
        "    loss = nn.CrossEntropyLoss()(model(x), y)\n    loss.backward()\n"
    )
    return tmp_path


def test_a_fix_in_another_file_of_those_given(project):
    assert command("--fix", "--write", ".").exit_code == 0
    assert "return self.fc(x)" in Path("net.py").read_text()


def test_a_file_that_was_not_given_is_not_changed(project):
    done = command("--fix", "--write", "train.py")
    assert "net.py would have to change and is not among the files checked" in done.stderr
    assert done.exit_code == 1


def test_a_file_that_uses_the_model_and_was_not_checked_is_named(project):
    Path("serve.py").write_text("from net import Net\n\n\ndef sure(x):\n    return Net()(x).max(1).values > 0.9\n")
    done = command("--fix", "net.py", "train.py")
    assert "serve.py:1: net is imported, and this file was not checked" in done.stderr
    assert done.stdout == ""
    done = command("--fix", ".")
    assert "serve.py:5: it is compared" in done.stderr
    assert done.stdout == ""


def test_a_notebook_is_fixed_and_keeps_its_form(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    cells = [
        {"cell_type": "markdown", "source": ["# Größe"], "metadata": {}},
        {"cell_type": "code", "source": ["%matplotlib inline\n", "import torch.nn.functional as F"], "outputs": []},
        {"cell_type": "code", "source": ["!ls\n", "p = F.softmax(z, dim=1)  # é\n", "loss = F.cross_entropy(p, y)"]},
    ]
    text = json.dumps({"cells": cells, "nbformat": 4}, indent=1, ensure_ascii=False) + "\n"
    Path("a.ipynb").write_text(text)
    assert command("--fix", "--write", "a.ipynb").exit_code == 0
    assert Path("a.ipynb").read_text() == text.replace("F.softmax(z, dim=1)", "z")


@pytest.mark.parametrize(
    ("encoding", "head", "end"),
    [
        ("utf-8", "", "\r\n"),
        ("latin-1", "# -*- coding: latin-1 -*-\n", "\n"),
        ("utf-8-sig", "", "\n"),
        ("utf-16", "", "\n"),
    ],
)
def test_encoding_and_line_ends_stay(encoding, head, end, tmp_path):
    text = f"{head}import torch.nn.functional as F\ns = 'é'; p = F.softmax(z, dim=1)\nloss = F.cross_entropy(p, y)\n"
    path = tmp_path / "a.py"
    path.write_bytes(text.replace("\n", end).encode(encoding))
    made = plan(path)
    (after,) = made.contents.values()
    assert after == text.replace("F.softmax(z, dim=1)", "z").replace("\n", end).encode(encoding)


# ---------------------------------------------------------------------- the command


def command(*words: object) -> object:
    return CliRunner().invoke(main, ["check", *map(str, words)])


@pytest.fixture
def bad(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    path = Path("bad.py")
    path.write_text("import torch.nn.functional as F\nloss = F.cross_entropy(F.softmax(x, dim=1), y)\n")
    return path


def test_the_diff_alone(bad):
    done = command("--diff", bad)
    assert (done.exit_code, done.stdout.startswith("--- a/bad.py\n+++ b/bad.py\n")) == (1, True)
    command("--fix", "--write", bad)
    done = command("--diff", bad)
    assert (done.exit_code, done.stdout) == (0, "")


def test_what_is_written_and_what_remains(bad):
    bad.write_text(bad.read_text() + "p = F.softmax(x)\n")
    done = command("--fix", "--write", bad)
    assert done.exit_code == 1
    assert "F.cross_entropy(x, y)" in bad.read_text()
    assert "1 finding fixed, 1 finding in 1 file" in done.stderr
    assert "X008" in done.stdout


def test_select_and_ignore_bind_the_fix(bad):
    before = bad.read_text()
    command("--fix", "--write", "--select", "X002", bad)
    command("--fix", "--write", "--ignore", "X001", bad)
    assert bad.read_text() == before


def test_formats_apply(bad):
    (row,) = json.loads(command("--fix", "--output-format", "json", bad).stdout)
    assert row["rule_id"] == "X001"
    assert json.loads(command("--fix", "--write", "--output-format", "json", bad).stdout) == []


def test_write_without_fix_is_an_error(bad):
    done = command("--write", bad)
    assert done.exit_code == 2
    assert "--write goes with --fix" in done.output


def test_standard_input_gives_the_changed_text(bad):
    done = CliRunner().invoke(main, ["check", "--fix", "--stdin-filename", "a.py", "-"], input=bad.read_text())
    assert done.stdout == bad.read_text().replace("F.softmax(x, dim=1)", "x")


def test_the_unsafe_is_said(bad):
    bad.write_text(bad.read_text().replace("y)", "y)").replace("F.softmax(x, dim=1), y", "p, y").replace(
        "loss =", "p = F.softmax(x, dim=1)\nprint(p)\nloss ="))  # fmt: skip
    done = command("--fix", bad)
    assert done.stdout == ""
    assert "bad.py:4: X001: not fixed without --unsafe-fixes, others use it: bad.py:3: print gets it" in done.stderr
    assert "-p = F.softmax(x, dim=1)\n" in command("--fix", "--unsafe-fixes", bad).stdout

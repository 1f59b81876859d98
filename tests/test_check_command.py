"""`crossent check` as users of linters know it: settings, comments, formats, cache, processes, editors."""

from __future__ import annotations

import json
import subprocess
import sys
import xml.etree.ElementTree
from pathlib import Path

import pytest
from click.testing import CliRunner

from crossent.checks import cache, lint, running, server
from crossent.cli import main

BAD = "import torch.nn.functional as F\nloss = F.cross_entropy(F.softmax(x, dim=1), y)\n"
NO_AXIS = "import torch.nn.functional as F\np = F.softmax(x)\n"


@pytest.fixture(autouse=True)
def here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / ".cache"))
    Path("bad.py").write_text(BAD)
    return tmp_path


def command(*words: str, text: str | None = None) -> object:
    return CliRunner().invoke(main, ["check", *words], input=text)


def rules(*words: str) -> list[str]:
    return [row["rule_id"] for row in json.loads(command(*words, "--output-format", "json").stdout)]


def configure(table: str) -> None:
    Path("pyproject.toml").write_text(f"[tool.crossent.check]\n{table}\n")


# ---------------------------------------------------------------------- settings


@pytest.mark.parametrize(
    ("table", "found"),
    [
        ('ignore = ["X001"]', ["X008"]),
        ('select = ["X008"]', ["X008"]),
        ('select = ["X00"]', ["X001", "X008"]),
        ('exclude = ["bad.py"]', ["X008"]),
        ('exclude = ["sub/*"]', ["X001"]),
        ('exclude = ["sub"]', ["X001"]),
        ('per-file-ignores = { "sub/*" = ["ALL"] }', ["X001"]),
        ('per-file-ignores = { "*.py" = ["x001"] }', ["X008"]),
    ],
)
def test_settings_of_pyproject(table, found):
    Path("sub").mkdir()
    Path("sub/axis.py").write_text(NO_AXIS)
    configure(table)
    assert rules(".") == found
    assert [finding.rule_id for finding in lint(".")] == found


@pytest.mark.parametrize(
    ("table", "said"),
    [
        ('ignroe = ["X001"]', "has no key 'ignroe': the keys are select, ignore, exclude"),
        ('ignore = "X001"', "ignore is 'X001', expected a list of strings"),
        ('ignore = ["X999"]', "X999 is no rule"),
        ("possible = 1", "possible is 1, expected true or false"),
        ("ignore = [", "cannot be read as TOML"),
    ],
)
def test_a_wrong_setting_is_an_error_that_names_it(table, said):
    configure(table)
    done = command(".")
    assert done.exit_code == 2
    assert said in done.output


def test_the_command_line_goes_before_the_settings():
    configure('ignore = ["X008"]\nselect = ["X008"]')
    assert rules("--select", "X001", ".") == ["X001"]
    assert rules("--select", "X001", "--ignore", "X001", ".") == []
    assert rules("--exclude", "bad.py", "--select", "X001", ".") == []


def test_what_git_ignores_is_left_out():
    Path(".gitignore").write_text("bad.py\nbuilt/\n!kept.py\n")
    Path("built").mkdir()
    Path("built/a.py").write_text(BAD)
    Path("kept.py").write_text(NO_AXIS)
    assert rules(".") == ["X008"]
    assert rules("bad.py") == ["X001"]
    assert rules("--no-respect-gitignore", ".") == ["X001", "X001", "X008"]


# ---------------------------------------------------------------------- comments


@pytest.mark.parametrize("comment", ["# noqa", "# noqa: X001", "# NOQA:E501, X001", "# type: ignore  # noqa: X001"])
def test_noqa_turns_a_rule_off(comment):
    Path("bad.py").write_text(BAD.rstrip("\n") + f"  {comment}\n")
    assert rules(".") == []


def test_comments_that_turn_nothing_off_are_told():
    Path("bad.py").write_text(
        BAD.rstrip("\n") + "  # noqa: E501\nx = 'softmax'  # crossent: ignore[X001]\ny = 1  # crossent: ignore[X999]\n"
        "z = '# crossent: ignore'\n"
    )
    done = command("bad.py")
    assert "bad.py:3: the comment turns nothing off here" in done.stderr
    assert "bad.py:4: the comment names X999, which is no rule" in done.stderr
    assert done.stderr.count("the comment") == 2
    assert done.exit_code == 1


# ---------------------------------------------------------------------- formats


def test_the_text_shows_the_source_and_explains_a_rule_once():
    Path("bad.py").write_text(BAD + BAD)
    done = command("bad.py").stdout
    assert "bad.py:2:8: X001 softmax before cross-entropy (from line 2)\n" in done
    assert "  2 | loss = F.cross_entropy(F.softmax(x, dim=1), y)\n    |        ^^^^^^^^^^^^^^^^^^^^^^^^" in done
    assert done.count("= Fix: ") == 1
    assert command("bad.py").stderr.endswith("2 findings in 1 file\n")


def test_columns_count_characters():
    Path("bad.py").write_text(
        "import torch.nn.functional as F\ns = 'é–😀'; loss = F.cross_entropy(F.softmax(x, 1), y)\n"
    )
    done = command("bad.py").stdout
    assert done.startswith("bad.py:2:19: X001")
    line, caret = done.split("\n")[2:4]
    assert line.index("F.cross") == caret.index("^")


def test_concise_and_grouped():
    assert (
        command("--output-format", "concise", "bad.py").stdout
        == "bad.py:2:8: X001 softmax before cross-entropy (from line 2)\n"
    )
    assert (
        command("--output-format", "grouped", ".").stdout
        == "bad.py:\n  2:8: X001 softmax before cross-entropy (from line 2)\n"
    )


def test_junit():
    tree = xml.etree.ElementTree.fromstring(command("--output-format", "junit", ".").stdout)
    assert [case.get("name") for case in tree.iter("testcase")] == ["X001 bad.py:2:8"]
    assert tree.get("failures") == "1"
    Path("bad.py").write_text("")
    tree = xml.etree.ElementTree.fromstring(command("--output-format", "junit", ".").stdout)
    assert tree.get("failures") == "0"


def notebook(*cells: str) -> None:
    Path("bad.py").unlink()
    rows = [{"cell_type": "code", "source": cell.splitlines(keepends=True)} for cell in cells]
    Path("a.ipynb").write_text(json.dumps({"cells": rows}, indent=1))


def test_places_of_a_notebook_are_the_files_own_where_a_format_needs_them():
    notebook(
        "import torch.nn.functional as F\n",
        "p = F.softmax(x, 1)\n",
        "a = F.cross_entropy(p, y)\nb = F.cross_entropy(p, z)\n",
    )
    (row,) = json.loads(command("--output-format", "json", ".").stdout)
    assert (row["cell"], row["line"], row["also"]) == (3, 1, ["cell 3, line 2"])
    number = 1 + next(n for n, line in enumerate(Path("a.ipynb").read_text().split("\n")) if "a = F.cross" in line)
    assert f"file=a.ipynb,line={number},endLine={number},title" in command("--output-format", "github", ".").stdout
    (result,) = json.loads(command("--output-format", "sarif", ".").stdout)["runs"][0]["results"]
    assert result["locations"][0]["physicalLocation"]["region"] == {"startLine": number}
    assert "cell 3, line 1" in result["message"]["text"]


def test_findings_of_one_origin_in_several_cells_are_all_named():
    notebook(
        "import torch.nn.functional as F\np = F.softmax(x, 1)\n", "a = F.cross_entropy(p, y)\n",
        "pass\n", "b = F.cross_entropy(p, y)\n",
    )  # fmt: skip
    assert (
        "cell 2:1:5: X001 softmax before cross-entropy (from cell 1, line 2); also at cell 4, line 1"
        in command(".").stdout
    )


def test_statistics_output_file_and_exit_zero():
    assert command("--statistics", ".").stdout == "1  X001  softmax before cross-entropy\n"
    done = command("--output-format", "json", "--output-file", "out.json", "--exit-zero", ".")
    assert (done.exit_code, done.stdout) == (0, "")
    assert json.loads(Path("out.json").read_text())[0]["rule_id"] == "X001"
    assert "no/out.json: cannot be written" in command("-o", "no/out.json", ".").output


def test_standard_input():
    done = command("--stdin-filename", "src/a.py", "--output-format", "concise", "-", text=BAD)
    assert done.stdout == "src/a.py:2:8: X001 softmax before cross-entropy (from line 2)\n"
    assert command("-", "bad.py", text=BAD).exit_code == 2


# ---------------------------------------------------------------------- cache and processes


def test_what_was_found_before_is_not_looked_for_again(monkeypatch):
    first = command(".").stdout
    monkeypatch.setattr(running, "look", None)
    assert command(".").stdout == first
    assert command("--no-cache", ".").exit_code not in (0, 1)


def test_a_changed_file_or_import_is_looked_at_again():
    Path("net.py").write_text("def head(x):\n    return x  # softmax\n")
    Path("bad.py").write_text("import torch.nn.functional as F\nfrom net import head\nF.cross_entropy(head(x), y)\n")
    assert rules(".") == []
    Path("net.py").write_text("import torch.nn.functional as F\ndef head(x):\n    return F.softmax(x, 1)\n")
    assert rules(".") == ["X001"]
    Path("bad.py").write_text("import torch.nn.functional as F\nfrom other import head\nF.cross_entropy(head(x), y)\n")
    assert rules(".") == []
    Path("other.py").write_text(Path("net.py").read_text())
    # Names that were looked for once are remembered in a process: in another one
    assert subprocess.run(
        [sys.executable, "-c", "from crossent.cli import main; main()", "check", "bad.py"],
        capture_output=True,
        text=True,
        check=False,
    ).stdout.startswith("bad.py:3:")


def test_a_broken_cache_is_none(monkeypatch):
    command(".")
    for path in cache.folder().rglob("*.json"):
        path.write_text("{")
    assert rules(".") == ["X001"]


def test_processes_find_the_same(monkeypatch):
    for number in range(6):
        Path(f"f{number}.py").write_text(BAD)
    alone = command("--no-cache", "--jobs", "1", ".").stdout
    monkeypatch.setattr(running, "ENOUGH", 2)
    monkeypatch.setattr(running, "SHARE", 2)
    assert command("--no-cache", "--jobs", "2", ".").stdout == alone


# ---------------------------------------------------------------------- editors


def test_an_editor_gets_findings_and_the_fixed_text(here):
    path = str(here / "bad.py")
    assert [(one.rule_id, one.line) for one in server.diagnose(path, BAD)] == [("X001", 2)]
    assert server.fix_of(path, BAD) == BAD.replace("F.softmax(x, dim=1)", "x")
    assert server.fix_of(path, NO_AXIS) is None


def test_the_server_answers_an_editor(here):
    pytest.importorskip("pygls")
    uri = (here / "bad.py").as_uri()
    messages = [
        {"jsonrpc": "2.0", "id": 1, "method": "initialize",
         "params": {"processId": None, "rootUri": None, "capabilities": {}}},
        {"jsonrpc": "2.0", "method": "initialized", "params": {}},
        {"jsonrpc": "2.0", "method": "textDocument/didOpen",
         "params": {"textDocument": {"uri": uri, "languageId": "python", "version": 1, "text": BAD}}},
        {"jsonrpc": "2.0", "id": 2, "method": "textDocument/hover",
         "params": {"textDocument": {"uri": uri}, "position": {"line": 1, "character": 9}}},
        {"jsonrpc": "2.0", "id": 3, "method": "shutdown"},
        {"jsonrpc": "2.0", "method": "exit"},
    ]  # fmt: skip
    bodies = [json.dumps(message).encode() for message in messages]
    sent = b"".join(b"Content-Length: %d\r\n\r\n%s" % (len(body), body) for body in bodies)
    words = [sys.executable, "-c", "from crossent.cli import main; main()", "check", "--server"]
    done = subprocess.run(words, input=sent, capture_output=True, timeout=60, check=False)
    assert b"textDocument/publishDiagnostics" in done.stdout
    assert b"softmax before cross-entropy" in done.stdout


# ---------------------------------------------------------------------- what is told, and in which form


def test_statistics_are_json_where_that_is_asked_for():
    done = command("--statistics", "--output-format", "json", ".")
    assert json.loads(done.stdout) == [{"rule": "X001", "title": "softmax before cross-entropy", "count": 1}]
    done = command("--statistics", "--output-format", "sarif", ".")
    assert done.exit_code == 2
    assert "--statistics has no sarif form" in done.stderr


def test_the_excerpt_of_standard_input_is_of_standard_input(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Path("a.py").write_text("# another text\n# on the disk\n")
    done = CliRunner().invoke(main, ["check", "-", "--stdin-filename", "a.py"], input=BAD)
    assert BAD.splitlines()[1] in done.stdout
    assert "on the disk" not in done.stdout
    done = CliRunner().invoke(main, ["check", "-", "--stdin-filename", "new.py"], input=BAD)
    assert BAD.splitlines()[1] in done.stdout


def test_a_gitignore_that_cannot_be_respected_is_told(monkeypatch):
    monkeypatch.setitem(sys.modules, "pathspec", None)
    Path(".gitignore").write_text("bad.py\n")
    done = command(".")
    assert done.exit_code == 1
    assert ".gitignore is not respected: that takes pathspec (pip install 'crossent[check]')" in done.stderr


def test_another_version_of_the_linter_has_another_cache(monkeypatch, tmp_path):
    first = cache._version()
    monkeypatch.setattr(cache, "__file__", str(tmp_path / "cache.py"))
    Path("cache.py").write_text("")
    second = cache._version()
    Path("rules.py").write_text("x = 1\n")
    assert len({first, second, cache._version()}) == 3

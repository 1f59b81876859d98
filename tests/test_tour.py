"""The tour: its numbers, both languages, the options, and pipes, terminals and machines without PyTorch."""

from __future__ import annotations

import io
import itertools
import os
import re
import subprocess
import sys

import pytest
from click.testing import CliRunner

from crossent import tour
from crossent.cli import main
from crossent.errors import MissingDependencyError, OptionError
from crossent.tour.layout import bars, pad, table, width, wrap
from crossent.tour.render import CHAPTERS, TEXTS
from crossent.tour.session import LIBRARIES, Session, shown

STEPS = [(chapter, step) for chapter in CHAPTERS for step in chapter.steps]
EXPECTED = {
    "formula": {"by_hand": "[0.6590 0.2424 0.0986]", "by_crossent": "[0.6590 0.2424 0.0986]"},
    "axis": {
        "by_rows": "[[0.6590 0.2424 0.0986] [0.1587 0.7113 0.1299]]",
        "by_columns": "[[0.8176 0.2689 0.4502] [0.1824 0.7311 0.5498]]",
        "sums": "[1.0000 1.0000]",
        "by_torch": ("", "[0.6590 0.2424 0.0986]"),
        "by_method": ("", "[0.6590 0.2424 0.0986]"),
    },
    "one_hot": {"loss_good": "0.3567", "loss_bad": "2.3026"},
    "nll": {"nll_good": "0.3567", "nll_bad": "2.3026"},
    "one_sample": {"loss_good": "0.4170", "loss_bad": "1.8406"},
    "two_halves": {"halves_good": "0.4170", "halves_bad": "1.8406", "torch_good": ("", "0.4170")},
    "one_prediction": {"label_good": "[0]", "label_bad": "[1]", "value_good": "[2.0000]", "value_bad": "[2.0000]"},
    "torch_max": {},
    "mean": {"mean_good": "0.3018", "mean_bad": "1.6242"},
    "predictions": {
        "value_good": "[2.1000 2.0000 3.0000]",
        "label_good": "[2 0 1]",
        "value_bad": "[2.1000 2.1000 3.0000]",
        "label_bad": "[0 2 1]",
    },
    "sum": {"sum_good": "0.9055", "sum_bad": "4.8725"},
    "none": {"each_good": "[0.3840 0.4170 0.1044]", "each_bad": "[2.3840 2.3840 0.1044]"},
    "multiclass": {"shape": "(4, 3)"},
    "sigmoid": {"loss": "0.644", "by_formula": "0.644"},
    "binary": {"loss": "0.644"},
    "learn": {"first": "2.395", "last": "0.367", "accuracy": "0.967"},
    "learn_binary": {"first": "1.323", "last": "0.247"},
    "floor": {
        "right": "[0.0000 0.0000 0.0000 0.0000]",
        "twice": "[0.3133 0.5514 1.4612 5.9095]",
        "formula": "[0.3133 0.5514 1.4612 5.9095]",
    },
    "vanishing": {"right_largest": "0.99995", "twice_largest": "7.84e-05"},
    "log_zero": {
        "by_hand": "inf",
        "by_crossent": "1000.0000",
        "perfect_by_hand": "nan",
        "perfect_by_crossent": "0.0000",
    },
    "overflow": {
        "by_hand": "[nan nan 0.0000]",
        "by_crossent": "[0.7311 0.2689 0.0000]",
        "largest": ("709.7827", "88.7228"),
    },
    "index": {
        "index_loss": "0.3018",
        "one_hot_loss": "0.3018",
        "index_bytes": "24",
        "one_hot_bytes": ("72", "36"),
        "bytes_of_1000_classes": ("24000", "12000"),
    },
    "saturation": {"sigmoid_loss": "100.0000", "sigmoid_gradient": "[0.0000]"},
    "with_logits": {"logits_loss": "20.0000000021", "pair_loss": "20.0000000021"},
}
DIFFERENT = {"by_torch", "by_method", "torch_good", "torch_bad", "twice_largest", "largest"} | {
    "one_hot_bytes",
    "bytes_of_1000_classes",
}


@pytest.fixture(scope="module")
def values():
    """What every step shows, by step and name, as (NumPy's, PyTorch's)."""
    found = {}
    for chapter in CHAPTERS:
        sessions = [Session(library) for library in LIBRARIES]
        for step in chapter.steps:
            columns = [session.run(step).values for session in sessions]
            found[step.key] = {name: tuple(column[name] for column in columns) for name in step.shows}
    return found


def printed(**options):
    """The tour as one text."""
    file = io.StringIO()
    tour.run(file=file, **options)
    return file.getvalue()


def command(*arguments, **options):
    """The outcome of `crossent tour` with these arguments."""
    return CliRunner().invoke(main, ["tour", *arguments], **options)


@pytest.mark.parametrize("key", EXPECTED)
def test_numbers(values, key):
    for name, expected in EXPECTED[key].items():
        assert values[key][name] == (expected if isinstance(expected, tuple) else (expected, expected)), name


def test_every_step_is_checked_and_both_columns_agree(values):
    assert list(EXPECTED) == [step.key for _, step in STEPS]
    for key, shown_values in values.items():
        for name, (numpy_value, torch_value) in shown_values.items():
            assert name in DIFFERENT or numpy_value == torch_value, (key, name)


def test_gradient_of_the_logits_is_one_when_the_sigmoid_does_not_lose_it(values):
    assert values["with_logits"]["logits_gradient"] == ("[0.9999999979]",) * 2


def test_numbers_come_from_the_computation(monkeypatch):
    import crossent

    softmax = crossent.softmax
    monkeypatch.setattr("crossent.softmax", lambda x, *a, **k: 0 * softmax(x, *a, **k))
    assert "by_crossent | [0.0000 0.0000 0.0000] | [0.0000 0.0000 0.0000]" in printed(chapter=1)


def test_both_languages_have_every_text():
    expected = {"tour", "intro", "result", "only", "warns", "prints", "rule", "no_torch", "end"}
    expected |= {word for _, step in STEPS for _, word in step.bars}
    expected |= {chapter.key for chapter in CHAPTERS}
    expected |= {f"{step.key}.{part}" for _, step in STEPS for part in ("title", "idea", "note")}
    rules = {f"rule.{step.rule}" for _, step in STEPS if step.rule}
    for lang, text in TEXTS.items():
        assert set(text) == expected | (rules if lang == "zh" else set()), lang
        assert all(text.values()), lang
    for key, english in TEXTS["en"].items():
        assert sorted(re.findall(r"{\w+}", english)) == sorted(re.findall(r"{\w+}", TEXTS["zh"][key])), key


def test_step_names_are_unique():
    keys = [step.key for _, step in STEPS] + [chapter.key for chapter in CHAPTERS]
    assert len(keys) == len(set(keys))


def tables(text):
    """The lines of the tables, without the headings; a matrix has a line for each row."""
    return [line for line in text.splitlines() if " | " in line and "PyTorch" not in line]


def test_both_languages_show_the_same_numbers_and_code():
    english, chinese = printed(), printed(lang="zh")
    squeeze = [[re.sub(r" +", " ", line) for line in tables(text)] for text in (english, chinese)]
    assert squeeze[0] == squeeze[1]
    assert len(squeeze[0]) == sum(len(step.shows) for _, step in STEPS) + 5  # matrices: by_rows, by_columns, p
    for _, step in STEPS:
        for line in "\n".join((step.code, step.numpy, step.torch)).splitlines():
            assert line in english
            assert line in chinese


@pytest.mark.parametrize("lang", TEXTS)
def test_lines_fit_a_terminal_and_columns_line_up(lang):
    lines = printed(lang=lang).splitlines()
    assert max(map(width, lines)) <= 80
    assert not any(line != line.rstrip() for line in lines)
    for above, line in itertools.pairwise(lines):
        if " | " in line and " | " in above:
            assert [width(line[: m.start()]) for m in re.finditer(r"\|", line)] == [
                width(above[: m.start()]) for m in re.finditer(r"\|", above)
            ]


def test_plain_english_is_ascii_and_has_no_escape():
    text = command("--plain", color=True).output
    assert text.isascii()
    assert "\x1b" not in text


def test_a_chapter_stands_alone_and_is_part_of_the_whole():
    whole = printed()
    for number, chapter in enumerate(CHAPTERS, start=1):
        alone = printed(chapter=number)
        start = alone.index(f"{number}. {TEXTS['en'][chapter.key]}")
        assert alone[start:].strip() in whole


@pytest.mark.parametrize("chapter", ["0", str(len(CHAPTERS) + 1), "-1"])
def test_chapter_out_of_range(chapter):
    result = command("--chapter", chapter)
    assert result.exit_code == 2
    assert result.stdout == ""
    assert result.stderr == f"crossent: chapter={chapter} is not a chapter of the tour: choose 1 to {len(CHAPTERS)}.\n"


@pytest.mark.parametrize(
    "options", [{"chapter": 99}, {"chapter": True}, {"chapter": "1"}, {"lang": "fr"}, {"lang": None}]
)
def test_bad_options_raise_before_anything_is_printed(options):
    file = io.StringIO()
    with pytest.raises(OptionError, match="choose"):
        tour.run(file=file, **options)
    assert file.getvalue() == ""


def test_a_pipe_gets_no_colour_but_the_box():
    result = command("--chapter", "1")
    assert result.exit_code == 0
    assert "\x1b" not in result.output
    assert "│ [0.6590 0.2424 0.0986] │ [0.6590 0.2424 0.0986]" in result.output


@pytest.mark.parametrize(
    ("environment", "coloured"),
    [({}, True), ({"NO_COLOR": "1"}, False), ({"TERM": "dumb"}, False), ({"NO_COLOR": ""}, True)],
)
def test_a_terminal_gets_colour_unless_it_says_no(monkeypatch, environment, coloured):
    class Terminal(io.StringIO):
        encoding = "utf-8"

        def isatty(self):
            return True

    for name in ("NO_COLOR", "TERM"):
        monkeypatch.delenv(name, raising=False)
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr(sys, "stdout", Terminal())
    main(["tour", "--chapter", "1"], standalone_mode=False)
    assert ("\x1b[" in sys.stdout.getvalue()) is coloured


def test_an_ascii_output_gets_plain_english_and_refuses_chinese():
    for argument in ("--chapter=1", "--help"):
        english = CliRunner(charset="ascii").invoke(main, ["tour", argument])
        assert english.exit_code == 0
        assert english.output.isascii()
    chinese = CliRunner(charset="ascii").invoke(main, ["tour", "--lang", "zh"])
    assert chinese.exit_code == 2
    assert "PYTHONIOENCODING=utf-8" in chinese.stderr


PRINTED = """\
    prediction1: torch.return_types.max(
    values=tensor([2.]),
    indices=tensor([0]))
    prediction2: torch.return_types.max(
    values=tensor([2.]),
    indices=tensor([1]))
    prediction1: tensor([2.]) tensor([0])
    prediction2: tensor([2.]) tensor([1])
"""


def test_what_torch_prints_is_shown_as_it_is():
    assert "PyTorch prints:\n" + PRINTED in printed(chapter=3)
    assert "PyTorch 打印：\n" + PRINTED in printed(chapter=3, lang="zh")
    assert "    prediction2: tensor([2.1000, 2.1000, 3.0000]) tensor([0, 2, 1])\n" in printed(chapter=4)


def test_bars_are_as_long_as_the_numbers():
    assert "class 0 ############################## 0.6590\nclass 1 ########### 0.2424\n" in printed(chapter=1)
    fancy = command("--chapter", "1", "--lang", "zh").output
    assert "类别 0 ██████████████████████████████ 0.6590\n类别 1 ███████████ 0.2424\n类别 2 ████▌ 0.0986\n" in fancy
    assert [line.split()[1] for line in bars([float(n) for n in range(30, 0, -1)], "epoch", 80, plain=True)] == [
        "0", "4", "8", "12", "17", "21", "25", "29"
    ]  # fmt: skip
    assert list(bars([0.0, 0.0], "class", 80, plain=True)) == ["class 0  0.0000", "class 1  0.0000"]


def test_the_losses_of_both_networks_fall():
    lines = printed(chapter=6).splitlines()
    drawn = [float(line.split()[-1]) for line in lines if line.startswith("epoch ")]
    assert len(drawn) == 16
    for curve in (drawn[:8], drawn[8:]):
        assert all(above > below for above, below in itertools.pairwise(curve))


def test_digits_are_what_they_say():
    images, labels = tour.digits()
    assert (images.min(), images.max(), images.dtype) == (0, 1, "float32")
    assert [int((labels == k).sum()) for k in (0, 1, 2)] == [30, 30, 30]
    X, y = pytest.importorskip("sklearn.datasets").load_digits(return_X_y=True)
    first = X[y == 2][:30].reshape(30, 8, 8) / 16
    assert (images[labels == 2] == first).all()


def test_rules_are_named_in_the_readers_language():
    last = len(CHAPTERS)
    assert "X001 softmax before cross-entropy: crossent check --explain X001" in printed(chapter=last)
    chinese = printed(chapter=last, lang="zh")
    assert "X001 在交叉熵之前做了 softmax：crossent check --explain X001" in chinese
    assert "softmax before cross-entropy:" not in chinese


@pytest.mark.parametrize("lang", TEXTS)
@pytest.mark.parametrize("wide", [40, 57, 80])
def test_narrow_terminals(lang, wide, monkeypatch):
    monkeypatch.setenv("COLUMNS", str(wide))
    result = command("--lang", lang)
    assert result.exit_code == 0
    outside = ("  ┃ ", "    ", "  NumPy  ", "  PyTorch  ")  # code, prints and long results are for the terminal to wrap
    assert not [line for line in result.output.splitlines() if width(line) > wide and not line.startswith(outside)]
    assert ("by_hand\n  NumPy    [0.6590" in result.output) is (wide < 60)


@pytest.mark.parametrize(("columns", "expected"), [("20", 40), ("72", 72), ("300", 80), ("", 80)])
def test_the_width_is_the_terminals(columns, expected, monkeypatch):
    from crossent.tour import command as module

    monkeypatch.setenv("COLUMNS", columns)
    assert module.columns() == expected


def test_a_pipe_may_be_closed_early():
    program = f"{sys.executable} -c 'from crossent.cli import main; main()' tour --lang zh | head -n 1"
    environment = {**os.environ, "PYTHONUTF8": "1"}
    done = subprocess.run(program, shell=True, check=True, capture_output=True, text=True, env=environment)
    assert done.stdout == "一步一步认识 softmax 与交叉熵\n"
    assert done.stderr == ""


def test_no_last_line_is_a_single_character():
    for columns in range(40, 81):
        for key, value in TEXTS["zh"].items():
            *_, last = wrap(value, columns)
            assert width(last) != 2, (key, columns, last)
    assert list(wrap("一二三四五六。", 10)) == ["一二三四", "五六。"]


def test_chinese_is_uniform():
    text = "".join(TEXTS["zh"].values())
    assert "你" not in text
    assert "仅 NumPy：" in printed(lang="zh")
    assert not re.search(r"^(NumPy|PyTorch)( only)?:$", printed(lang="zh"), re.M)


def test_help_lists_the_chapters():
    text = command("--help").output
    for number, chapter in enumerate(CHAPTERS, start=1):
        assert f"{number}  {TEXTS['en'][chapter.key]}" in text


@pytest.mark.parametrize("lang", TEXTS)
def test_without_torch_the_numpy_column_is_left(monkeypatch, lang):
    monkeypatch.setitem(sys.modules, "torch", None)
    text = printed(lang=lang)
    assert text.count("crossent[torch]") == 1
    assert "by_hand     | [0.6590 0.2424 0.0986]\n" in text
    assert "import torch" not in text
    assert "requires_grad" not in text


def test_colour_without_click_says_what_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, "click", None)
    with pytest.raises(MissingDependencyError, match=r"pip install click"):
        tour.run(plain=False)
    tour.run(chapter=2, file=io.StringIO())


def test_numpy_warnings_are_shown_and_do_not_escape(recwarn):
    assert "warning in NumPy: overflow encountered in exp" in printed(chapter=len(CHAPTERS))
    assert not recwarn.list


@pytest.mark.parametrize(
    ("value", "digits", "expected"),
    [
        (0.41703, 4, "0.4170"),
        (7.85e-5, 5, "7.85e-05"),
        (-7.85e-5, 4, "-7.85e-05"),
        (-0.0, 4, "0.0000"),
        (3, 4, "3"),
        (float("inf"), 4, "inf"),
        ([1.0, -0.00001, float("nan")], 4, "[1.0000 0.0000 nan]"),
        ([[1, 2], [3, 4]], 4, "[[1 2] [3 4]]"),
        ((4, 3), 4, "(4, 3)"),
        ([True], 4, "[True]"),
    ],
)
def test_shown(value, digits, expected):
    assert shown(value, digits) == expected


def test_layout_counts_wide_characters():
    assert width("结果 a") == 6
    assert width("e\u0301") == 1
    assert pad("结果", 6) == "结果  "
    assert list(table([["结果", "x"], ["by_hand", "y"]], "|")) == ["结果   |x", "by_hand|y"]


def test_wrap_keeps_text_and_punctuation_together():
    chinese = "独热编码只是挑出一个对数，所以有索引就够了。softmax 在里面。"
    for columns in range(8, 40):
        lines = list(wrap(chinese, columns))
        assert "".join(lines).replace(" ", "") == chinese.replace(" ", "")
        assert max(map(width, lines)) <= max(columns, 9)
        assert not any(line[0] in "，。" for line in lines)
    assert list(wrap("one two  three", 7)) == ["one two", "three"]
    assert list(wrap("", 7)) == []

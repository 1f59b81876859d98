"""The table of rules: every example runs; linter and watcher find the bad ones and are silent about the good."""

from __future__ import annotations

import warnings
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner

import crossent
from crossent._mistakes import RULES, floor_of_softmax
from crossent.checks.rules import explained, page
from crossent.cli import main
from crossent.errors import OptionError

ROOT = Path(__file__).parents[1]
ONLY_AT_RUN_TIME = {"X030"}
ONLY_IN_SOURCE = {"X021", "X022", "X025", "X031", "X032", "X033", "X034"}


def run(code: str) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        exec(compile(code, "example", "exec"), {})


def lint(tmp_path: Path, code: str, **options: bool) -> set[str]:
    path = tmp_path / "example.py"
    path.write_text(code)
    return {finding.rule_id for finding in crossent.checks.lint(path, **options)}


def test_identifiers_are_in_order():
    assert list(RULES) == [f"X{number:03}" for number in range(1, len(RULES) + 1)]
    assert {rule.level for rule in RULES.values()} == {"wrong", "inexact", "note"}


@pytest.mark.parametrize("rule", RULES.values(), ids=RULES)
def test_both_examples_run(rule):
    run(rule.good)
    if rule.loud:
        with pytest.raises((RuntimeError, IndexError, ValueError)):
            run(rule.bad)
    else:
        run(rule.bad)


@pytest.mark.parametrize("rule", RULES.values(), ids=RULES)
def test_the_linter_tells_the_examples_apart(rule, tmp_path):
    found = lint(tmp_path, rule.bad, notes=True)
    assert (rule.id in found) is (rule.id not in ONLY_AT_RUN_TIME)
    assert lint(tmp_path, rule.good, notes=True) == set()


@pytest.mark.parametrize("rule", RULES.values(), ids=RULES)
def test_the_watcher_tells_the_examples_apart(rule):
    def watched(code):
        with warnings.catch_warnings(), crossent.checks.watch(possible=True, notes=True) as findings:
            warnings.simplefilter("ignore")
            try:
                run(code)
            except (RuntimeError, IndexError, ValueError):
                assert rule.loud
        return findings

    assert (rule.id in {finding.rule_id for finding in watched(rule.bad)}) is (rule.id not in ONLY_IN_SOURCE)
    assert [finding for finding in watched(rule.good) if finding.level != "possible"] == []


@pytest.mark.parametrize("rule", RULES.values(), ids=RULES)
def test_every_rule_is_explained(rule):
    done = CliRunner().invoke(main, ["check", "--explain", rule.id.lower()])
    assert done.exit_code == 0
    assert done.output == explained(rule.id) + "\n"
    for part in (rule.title, rule.wrong[1:], rule.fix[1:], f"ignore[{rule.id}]"):
        assert part in done.output
    assert rule.bad.splitlines()[-1] in done.output


def test_an_unknown_rule_is_named():
    with pytest.raises(OptionError, match=r"there is no rule 'X999': choose one of X001, X002"):
        explained("X999")


def test_the_page_is_current():
    assert (ROOT / "docs" / "rules.md").read_text(encoding="utf-8") == page(), "run make rules"


def test_the_floor_in_the_words_is_the_one_that_is_computed():
    rule = RULES["X001"]
    for classes, text in ((3, "0.551 at C = 3"), (10, "1.461 at C = 10")):
        perfect = 1000 * np.eye(classes)[:1]
        loss = crossent.cross_entropy(crossent.softmax(perfect), np.array([0]), check=False)
        assert loss == pytest.approx(floor_of_softmax(classes), abs=1e-12)
        assert text == f"{loss:.3f} at C = {classes}"
        assert text in rule.wrong


def test_the_errors_of_the_losses_use_the_words():
    with pytest.warns(crossent.errors.MisuseWarning) as caught:
        crossent.cross_entropy(np.array([[3.0], [-2.0]]), np.zeros(2, int))
    assert f"{RULES['X010'].wrong}; {RULES['X010'].fix}" in str(caught[0].message)


def test_the_tour_names_rules():
    from crossent.tour.pitfalls import PITFALLS

    assert {step.rule for step in PITFALLS.steps if step.rule} == {"X001", "X019", "X021", "X028"}
    assert "X001 softmax before cross-entropy: crossent check --explain X001" in printed()


def printed() -> str:
    return CliRunner().invoke(main, ["tour", "--chapter", "7", "--plain"]).output

"""Calls that compute what was asked and hardly what was meant: a MisuseWarning that points to the caller's line."""

from __future__ import annotations

import inspect
import re
import warnings
from typing import Any

import numpy as np
import pytest
import torch

import crossent
from crossent.errors import MisuseWarning

ONE_UNIT = np.array([[3.0], [-2.0]], np.float32)
SQUARE = np.zeros((4, 3, 3), np.float32)
ROWS = np.array([[1.0, 2.0, 3.0], [0.5, 0.25, 0.0]], np.float32)
LABELS = np.array([0, 2])
HEAVY = np.array([[1.0, 0.5, 0.0], [0.0, 1.0, 0.0]], np.float32)


def case(name: str, function: Any, x: np.ndarray, target: np.ndarray, text: str) -> Any:
    """A call that warns, as function(array of a library, check=…), and what the warning says."""

    def call(array: Any, **check: Any) -> Any:
        return function(array(x), array(target), **check)

    return pytest.param(call, text, id=f"{function.__name__} {name}")


UNIT = (
    r"^one class: softmax over one output unit is 1, so this loss is 0 for ever; for a yes/no label use binary_cross_"
)
CASES = [
    *(
        case("of one unit", function, ONE_UNIT, np.zeros(2, int), UNIT)
        for function in (crossent.cross_entropy, crossent.cross_entropy_with_grad, crossent.row_stats)
    ),
    case("of one unit, column", crossent.cross_entropy, ONE_UNIT, np.ones((2, 1), np.float32), UNIT),
    case("of one unit, one row", crossent.cross_entropy, ONE_UNIT[0], np.array(0), UNIT),
    case(
        "either way round", crossent.cross_entropy, SQUARE, np.zeros((4, 3), int),
        r"^input float32 \(4, 3, 3\) can be read with classes first \(taken\) or last; say axis=1 or axis=-1 — "
        r"in cross_entr",
    ),
    case("either way round", crossent.row_stats, SQUARE, np.zeros((4, 3), int),
        r"— in row_stats\(input float32 \(4, 3, 3\)"),
    case(
        "of sums", crossent.cross_entropy, ROWS, HEAVY,
        r"^target row 0 sums to 1\.5, probabilities sum to 1: check=False accepts any mass — in "
        r"cross_entropy\(input float32",
    ),
    case("of no mass", crossent.cross_entropy, ROWS, HEAVY * 0, r"^target row 0 sums to 0, probabilities sum to 1"),
    case(
        "of sums in a grid", crossent.cross_entropy, np.zeros((2, 3, 4)), np.full((2, 3, 4), 0.2),
        r"^target row \(0, 0\) sums to 0\.6",
    ),
    case(
        "of probabilities", crossent.nll_loss, np.array([[0.7, 0.2, 0.1]]), np.array([0]),
        r"^nll_loss: log_probs holds 0\.7, but log-probabilities are not positive; these look like "
        r"probabilities: use nll_loss",
    ),
    case("of logits", crossent.nll_loss, ROWS, LABELS,
        r"^nll_loss: log_probs holds 3, .*; these look like logits, or cross_entropy$"),
]  # fmt: skip


@pytest.mark.parametrize(("call", "text"), CASES)
def test_it_warns_once_at_the_callers_line(backend, call, text):
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        call(backend.array)
    assert [entry.category for entry in caught] == [MisuseWarning]
    (warning,) = caught
    assert re.search(text, str(warning.message)), str(warning.message)
    assert warning.filename == __file__
    assert warning.lineno == call.__code__.co_firstlineno + 1


@pytest.mark.parametrize(("call", "text"), CASES)
def test_check_false_is_silent(backend, call, text):
    call(backend.array, check=False)


@pytest.mark.parametrize(("call", "text"), CASES)
@pytest.mark.parametrize("check", ["auto", True])
def test_check_changes_no_number(backend, call, text, check):
    with pytest.warns(MisuseWarning):
        checked = call(backend.array, check=check)
    unchecked = call(backend.array, check=False)
    for one, two in zip(
        checked if isinstance(checked, tuple) else (checked,),
        unchecked if isinstance(unchecked, tuple) else (unchecked,),
        strict=True,
    ):
        np.testing.assert_array_equal(backend.numpy(one), backend.numpy(two))


def line_of_a_call() -> int:
    """The line from which this function was called."""
    frame = inspect.currentframe()
    assert frame is not None
    assert frame.f_back is not None
    return frame.f_back.f_lineno


MODULES = [
    (crossent.nn.CrossEntropyLoss, (torch.from_numpy(ONE_UNIT), torch.zeros(2, dtype=torch.long))),
    (crossent.nn.CrossEntropyLoss, (torch.from_numpy(ROWS), torch.from_numpy(HEAVY))),
    (crossent.nn.NLLLoss, (torch.tensor([[0.7, 0.2, 0.1]]), torch.tensor([0]))),
    (crossent.nn.Softmax, (torch.zeros(2, 3, 4),)),
    (crossent.nn.LogSoftmax, (torch.zeros(2, 3, 4),)),
]


@pytest.mark.parametrize(("module", "arguments"), MODULES)
def test_a_module_points_to_its_caller_too(module, arguments):
    """Between the caller and the module's forward are frames of torch.nn.Module."""
    layer = module()
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        layer(*arguments)
        line = line_of_a_call() - 1
    assert [entry.category for entry in caught] == [MisuseWarning]
    assert (caught[0].filename, caught[0].lineno) == (__file__, line)


def test_a_module_is_silent_with_check_false():
    for module, arguments in MODULES[:3]:
        module(check=False)(*arguments)
    for module, arguments in MODULES[3:]:
        module(dim=-1)(*arguments)


def test_the_default_filter_says_it_once_for_a_line():
    """In a training loop the second batch says nothing new."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.resetwarnings()
        warnings.simplefilter("default")
        for _ in range(3):
            crossent.cross_entropy(ONE_UNIT, np.zeros(2, int))
    assert len(caught) == 1


@pytest.mark.parametrize("call", [
    lambda array: crossent.cross_entropy(array(SQUARE), array(np.zeros((4, 3), int)), axis=1),
    lambda array: crossent.cross_entropy(array(SQUARE), array(np.zeros((4, 3), int)), axis=-1),
    lambda array: crossent.cross_entropy(array(np.zeros((4, 3, 5))), array(np.zeros((4, 5), int))),
    lambda array: crossent.cross_entropy(array(ROWS), array(LABELS)),
    lambda array: crossent.cross_entropy(crossent.log_softmax(array(ROWS)), array(LABELS)),
    lambda array: crossent.cross_entropy(array(ROWS), array(HEAVY / HEAVY.sum(1, keepdims=True) * np.float32(1.004))),
    lambda array: crossent.cross_entropy(array(ROWS[:, :2]), array(np.array([0, 1]))),
    lambda array: crossent.nll_loss(crossent.log_softmax(array(ROWS)), array(LABELS)),
    lambda array: crossent.nll_loss(array(np.array([[-0.5, -1.0], [7.0, 9.0]])), array(np.array([0, -100]))),
    lambda array: crossent.binary_cross_entropy_with_logits(array(ONE_UNIT), array(np.ones((2, 1), np.float32))),
    lambda array: crossent.cross_entropy(array(np.zeros((0, 3))), array(np.zeros((0, 3)))),
])  # fmt: skip
def test_sound_calls_are_silent(backend, call):
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        call(backend.array)
    assert not [warning for warning in caught if issubclass(warning.category, MisuseWarning)]


def test_log_softmax_before_the_loss_is_harmless(backend):
    """log_softmax is idempotent: the loss of log-probabilities is that of the logits."""
    x, target = backend.array(ROWS.astype(float)), backend.array(LABELS)
    twice = backend.numpy(crossent.cross_entropy(crossent.log_softmax(x), target))
    assert twice == pytest.approx(float(backend.numpy(crossent.cross_entropy(x, target))), rel=1e-14)


@pytest.mark.parametrize("check", ["auto", True, False])
def test_class_indices_are_always_checked(backend, check):
    with pytest.raises(IndexError):
        crossent.cross_entropy(backend.array(ROWS), backend.array(np.array([0, 3])), check=check)


def test_what_check_false_accepts(backend):
    """Targets of any mass and sign, labels beyond 0 … 1: the formula goes on, for who knows what they are doing."""
    x = backend.array(ROWS.astype(float))
    mass = np.array([[2.0, -1.0, 0.5], [0.0, 0.0, 0.0]])
    value = backend.numpy(crossent.cross_entropy(x, backend.array(mass), reduction="none", check=False))
    log_p = np.asarray(ROWS, float) - np.log(np.exp(ROWS.astype(float)).sum(1, keepdims=True))
    np.testing.assert_allclose(value, -(mass * log_p).sum(1), rtol=1e-13)
    one = backend.array(np.array([0.5]))
    loss = crossent.binary_cross_entropy_with_logits(one, backend.array(np.array([2.0])), check=False)
    assert backend.numpy(loss) == pytest.approx(np.log1p(np.exp(0.5)) - 2 * 0.5, rel=1e-13)

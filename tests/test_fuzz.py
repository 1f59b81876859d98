"""The fuzz of `make fuzz`, a little of it, and every seed whose call was once wrong."""

from __future__ import annotations

import fuzz
import numpy as np
import pytest

import crossent


@pytest.fixture(autouse=True)
def threads():
    """The fuzz changes their number."""
    before = crossent.get_num_threads()
    with np.errstate(all="ignore"):  # infinities are part of it
        yield
    crossent.set_num_threads(before)


@pytest.mark.parametrize("seed", fuzz.kept())
def test_what_was_once_wrong(seed):
    fuzz.Call(seed).run()


def test_some_random_calls():
    for seed in range(60):
        fuzz.Call(seed).run()


def test_the_fuzz_can_fail(monkeypatch):
    whole = crossent.softmax
    monkeypatch.setattr(crossent, "softmax", lambda x, axis: whole(x, axis) * 1.01)
    seed = next(seed for seed in range(100) if str(fuzz.Call(seed)).startswith("softmax of numpy float32"))
    with pytest.raises(AssertionError, match="expected"):
        fuzz.Call(seed).run()

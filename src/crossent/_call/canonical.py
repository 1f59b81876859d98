"""What a call is once the door has checked it: the forms that rooms take, and what they give back."""

from __future__ import annotations

from typing import Any, NamedTuple

from .._definition import Array
from .arrays import describe
from .options import Options


class Rows(NamedTuple):
    """A validated call, in the form that rooms take: the class axis last, one of y and q given.

    x (…, C) logits in the caller's dtype; y (…) class indices or q (…, C) probabilities; live (…) false where a row is
    ignored (None: all count); `known`: every y has been seen to be a class or ignored; weight (C,), sample_weight (…),
    where (…, C) or None; chosen (…, K) classes whose log-probabilities are asked for, or None; `axis` is where the
    classes were; sums in `sum_dtype`, results in `dtype`.
    """

    x: Array
    y: Array
    q: Array
    live: Array
    weight: Array
    sample_weight: Array
    where: Array
    options: Options
    known: bool
    axis: int
    sum_dtype: Any
    dtype: Any
    chosen: Array = None


class Elements(NamedTuple):
    """A validated call of a binary loss: x in the caller's dtype, the rest in that of the sums; results in `dtype`."""

    x: Array
    y: Array
    weight: Array
    pos_weight: Array
    options: Options
    dtype: Any


class Call(NamedTuple):
    """A call as messages restate it: "cross_entropy(input float32 (8, 10), target int64 (8,), reduction='sum')"."""

    function: str
    input: Array
    target: Array
    options: Options
    linear_weight: Array = None
    target_name: str = "target"

    def __str__(self) -> str:
        words = [f"input {describe(self.input)}"]
        words += [] if self.linear_weight is None else [f"linear_weight {describe(self.linear_weight)}"]
        words += [] if self.target is None else [f"{self.target_name} {describe(self.target)}"]
        for name, value in vars(self.options).items():
            if hasattr(value, "shape"):
                words.append(f"{name} {describe(value)}")
            elif value is not None and value != getattr(Options, name):
                words.append(f"{name}={value!r}")
        return f"{self.function}({', '.join(words)})"


class Layer(NamedTuple):
    """A validated linear layer and its rows: logits = x·Wᵀ + b.

    x (…, D), weight (C, …, D), bias (C, …) or None, in the caller's dtype and layout; `rows` as canonical, but its x
    stands in for the logits; the products and the logits are of `dtype`.
    """

    x: Array
    weight: Array
    bias: Array
    rows: Rows
    dtype: Any

    @property
    def classes(self) -> int:
        """C."""
        return int(self.weight.shape[0])


class RowStats(NamedTuple):
    """What `row_stats` returns; each has the shape of the rows, `loss` and `target_log_prob` need a target."""

    loss: Array
    lse: Array
    entropy: Array
    prediction: Array
    confidence: Array
    target_log_prob: Array

    @property
    def log_sum_sq_probs(self) -> Array:
        """See ExtraRowStats."""
        raise _not_asked("log_sum_sq_probs", "extra=True")

    @property
    def mean_logits(self) -> Array:
        """See ExtraRowStats."""
        raise _not_asked("mean_logits", "extra=True")

    @property
    def is_top1(self) -> Array:
        """See ExtraRowStats."""
        raise _not_asked("is_top1", "extra=True")

    @property
    def top_k_log_probs(self) -> Array:
        """See ExtraRowStats."""
        raise _not_asked("top_k_log_probs", "top_k=…")

    @property
    def top_k_indices(self) -> Array:
        """See ExtraRowStats."""
        raise _not_asked("top_k_indices", "top_k=…")


def _not_asked(name: str, fix: str) -> AttributeError:
    """Say how to ask for what was not asked for."""
    return AttributeError(f"RowStats has no {name}, which costs another pass over the classes: give {fix}")


class ExtraRowStats(NamedTuple):
    """What `row_stats` returns with `extra=True` or `top_k`; None is what was not asked for or needs a target.

    log_sum_sq_probs is log Σ p², mean_logits the mean of the logits z over the classes that exist, is_top1 whether the
    target's most probable class is the prediction; top_k_log_probs and top_k_indices (…, k) are of the k most probable
    classes, the first the most probable.
    """

    loss: Array
    lse: Array
    entropy: Array
    prediction: Array
    confidence: Array
    target_log_prob: Array
    log_sum_sq_probs: Array
    mean_logits: Array
    is_top1: Array
    top_k_log_probs: Array
    top_k_indices: Array

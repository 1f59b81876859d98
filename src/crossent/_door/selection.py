"""The door of `selective_log_softmax`: indices beside logits, one a row or several."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any

from .._call.arrays import INTEGERS, as_array, as_float_array, describe, dtype_name, is_torch, like
from .._call.canonical import Call, Rows
from .._call.options import Options, SelectionOptions, validated
from .._definition import Array, namespace
from ..errors import DtypeError, OptionError, ShapeError
from . import targets

NAME = "selective_log_softmax"
OF_LAYER = ("linear_bias", "chunk_size")


def options(linear_weight: Array, given: Mapping[str, Any]) -> Options:
    """The options of a call; those of a layer need its weight."""
    for name in OF_LAYER:
        if linear_weight is None and given.get(name) is not None:
            text = f"{NAME}: {name} belongs to a linear layer, but linear_weight is None"
            raise OptionError(f"{text}: give its weight (C, D), or drop {name}")
    return dataclasses.replace(validated(NAME, None, given, SelectionOptions), reduction="none", axis=-1)


def index(input: Any, given: Any, linear_weight: Any, chosen: Options) -> tuple[Array, Array, bool]:
    """(input, index, whether it is one a row): integers of a shape that fits, each a class as far as it can be read."""
    x = as_float_array(input, "input")
    y = like(x, as_array(given, "index"), "index")
    weight = None if linear_weight is None else as_float_array(linear_weight, "linear_weight")
    given = dataclasses.replace(chosen, reduction=Options.reduction, axis=Options.axis)
    call = Call(NAME, x, y, given, weight, "index")
    batch = tuple(x.shape[:-1])
    if x.ndim == 0 or (tuple(y.shape) != batch and tuple(y.shape[:-1]) != batch) or y.ndim > x.ndim:
        text = f"index has shape {tuple(y.shape)}, expected {batch} or {(*batch, 'K')} for input {describe(x)}"
        raise ShapeError(f"{text}: one class a row, or K — in {call}".replace("'K'", "K"))
    if dtype_name(y.dtype) not in INTEGERS:
        fix = "index.long()" if is_torch(y) else "index.astype('int64')"
        raise DtypeError(f"index holds {dtype_name(y.dtype)}, expected class indices: use {fix} — in {call}")
    y = targets.as_indices(y, dtype_name(y.dtype))
    classes = x.shape[-1] if weight is None else weight.shape[0]
    targets.look_at_indices(call, y, classes, chosen.ignore_index, "index")
    return x, y, y.ndim < x.ndim


def with_chosen(rows: Rows, y: Array) -> Rows:
    """The rows with the classes (…, K) whose log-probabilities are asked for; none asked, a row counts for nothing."""
    xp = namespace(y)
    return rows._replace(chosen=y, live=xp.any(y != rows.options.ignore_index, axis=-1))


def selected(log_probs: Array, rows: Rows) -> Array:
    """The log-probabilities, 0 where the index is ignored."""
    ignored = rows.chosen == rows.options.ignore_index
    return namespace(log_probs).where(ignored, namespace(log_probs).zeros_like(log_probs), log_probs)

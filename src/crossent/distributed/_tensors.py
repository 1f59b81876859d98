"""The losses of DTensors: their placements say which ranks share rows, which share classes, and who has the whole.

Replicated: each rank computes the same. Rows sharded: each rank sums its own, and the divisor of the mean is that of
all. Classes sharded: the vocabulary-parallel loss. The result is a DTensor, replicated, or placed as the rows are.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import Tensor, distributed
from torch.distributed.tensor import DTensor, Replicate

from .. import _reduction
from .._call.options import LinearLossOptions, LossOptions, NLLOptions, Options, validated
from .._door.rows import result_dtype
from ..errors import OptionError, RankError
from . import vocab_parallel_cross_entropy, vocab_parallel_linear_cross_entropy, vocab_parallel_row_stats
from ._places import Places, laid, local_of, of_layer, of_logits, whole

Given = Mapping[str, Any]
Local = Callable[..., Any]


def cross_entropy(own: Local, input: DTensor, target: Any, weight: Any, given: Given) -> DTensor:
    """See crossent.cross_entropy, whose way for plain tensors is `own`."""
    function = "cross_entropy"
    options = validated(function, weight, dict(given), LossOptions)
    if options.inplace:
        raise OptionError(f"{function}: inplace=True is not known for DTensors: leave it out, or give input.to_local()")
    x, places = of_logits(function, input, options.axis)
    q, named = places.of_call(function, x, target, options)
    logits = local_of(x)

    def rows(**changed: Any) -> Tensor:
        call = {**given, **named, "axis": places.axis, **changed}
        weights = call.pop("weight", None)
        if places.group is None:
            value: Tensor = own(logits, q, weights, call)
            return value
        padded = places.padded(logits)
        return vocab_parallel_cross_entropy(
            padded, q, weights, group=places.group, valid_classes=places.classes, **call
        )

    return _reduced(function, rows, x, options, places, _of_rows(places, target, options))


def nll_loss(own: Local, input: DTensor, target: Any, weight: Any, given: Given) -> DTensor:
    """See crossent.nll_loss; over sharded classes each rank has the part of the classes it has."""
    function = "nll_loss"
    options = validated(function, weight, dict(given), NLLOptions)
    x, places = of_logits(function, input, options.axis)
    q, named = places.of_call(function, x, target, options)
    logits = local_of(x)
    if places.group is not None:
        logits, named = places.padded(logits), {**named, "check": False, "ignore_index": -100}

    def rows(**changed: Any) -> Tensor:
        call, y = {**given, **named, "axis": places.axis, **changed}, q
        if places.group is not None and not q.is_floating_point():
            y = places.own_indices(function, q, options.ignore_index, logits.shape[places.axis])
        value: Tensor = own(logits, y, call.pop("weight", None), **call)
        return value

    return _reduced(function, rows, x, options, places, _of_rows(places, target, options), parts=True)


def row_stats(own: Local, input: DTensor, target: Any, weight: Any, given: Given, allowed: type) -> Any:
    """See crossent.row_stats: of each rank's rows, over the classes of all."""
    function = "row_stats"
    options = validated(function, weight, dict(given), allowed)
    x, places = of_logits(function, input, options.axis)
    q, named = places.of_call(function, x, target, options)
    call = {**given, **named, "axis": places.axis}
    weights, logits = call.pop("weight", None), local_of(x)
    if places.group is None:
        told = own(logits, q, weights, **call)
    else:
        logits = places.padded(logits)
        told = vocab_parallel_row_stats(logits, q, weights, group=places.group, valid_classes=places.classes, **call)
    return type(told)(*(None if part is None else places.rows_of(part) for part in told))


def linear_cross_entropy(own: Local, input: Any, linear_weight: Any, target: Any, given: Given) -> Any:
    """See crossent.linear_cross_entropy: a sharded weight beside plain rows is gathered, and its gradient averaged."""
    function = "linear_cross_entropy"
    if not isinstance(input, DTensor):
        gathered = {name: whole(part) if isinstance(part, DTensor) else part for name, part in given.items()}
        return own(input, whole(linear_weight), target, gathered)
    own_given = {name: value for name, value in given.items() if not (name == "ignore_index" and value is None)}
    others = {name: value for name, value in own_given.items() if name != "weight"}
    options = validated(function, own_given.get("weight"), others, LinearLossOptions)
    if options.return_stats:
        text = f"{function}: return_stats=True is not known for DTensors"
        raise OptionError(f"{text}: form the logits as a DTensor and call row_stats")
    x, kernel, places = of_layer(function, input, linear_weight, options.shift)
    bias = options.linear_bias
    q, named = places.of_call(function, x, target, options)
    features, parameters = local_of(x), places.parameters(kernel, bias)

    def rows(**changed: Any) -> Tensor:
        call = {**own_given, **named, **changed, "linear_bias": parameters[1]}
        if places.group is None:
            value: Tensor = own(features, parameters[0], q, call)
            return value
        return vocab_parallel_linear_cross_entropy(
            features, parameters[0], q, group=places.group, valid_classes=places.classes, **call
        )

    return _reduced(function, rows, x, options, places, _of_rows(places, target, options))


def _of_rows(places: Places, target: Any, options: Options) -> Callable[[], tuple[Tensor, Tensor]]:
    """What tells (Σ weight[y]·sample_weight, Σ sample_weight) over this rank's rows that count."""

    def sums() -> tuple[Tensor, Tensor]:
        y = places.targets(target)
        dense = y.ndim == places.ndim and places.is_dense(target)
        count = torch.ones(places.local_rows(y, dense), dtype=torch.float64, device=y.device)
        if options.sample_weight is not None:
            count = count * places.sample_weights(options.sample_weight, count)
        if options.shift:
            count, y = count[..., options.shift :], y if dense else y[..., options.shift :]
        if dense:
            return count.sum(), count.sum()
        live = y != options.ignore_index
        count = torch.where(live, count, 0.0)
        if options.weight is None:
            return count.sum(), count.sum()
        each = laid(options.weight, places.mesh, [Replicate()] * places.mesh.ndim)
        known = live & (y >= 0) & (y < len(each))
        return (count * each[torch.where(known, y, 0)].double()).sum(), count.sum()

    return sums


def _reduced(
    function: str,
    rows: Callable[..., Tensor],
    x: DTensor,
    options: Options,
    places: Places,
    sums: Callable[[], tuple[Tensor, Tensor]],
    *,
    parts: bool = False,
) -> DTensor:
    """The loss of all ranks' rows; `parts` says that ranks which share the classes have a part of each row's."""
    split = parts and places.group is not None
    if options.reduction == "none":
        return places.rows_of(rows(), split=split)
    if not places.row_groups and not split:
        return DTensor.from_local(rows(), places.mesh, places.everywhere(), run_check=False)
    wide: dict[str, Any] = {"reduction": "sum", "dtype": "wide", "denominator": None}
    mean = options.reduction == "mean"
    apart = mean and options.z_loss != 0 and options.weight is not None and options.denominator is None
    total, square, (own, count) = _together(function, places, rows, sums, wide, apart=apart)
    value = total
    if mean:
        given = options.denominator
        if given is not None:
            own = _reduction.denominator(given.full_tensor() if isinstance(given, DTensor) else given, total)
        value = _reduction.quotient(total, own.to(total.dtype), options.on_empty)
        value = value if square is None else value + (square - total) / count.to(total.dtype)
    value = value.to(result_dtype(local_of(x), options.dtype, loss=True)[1])
    return places.summed(value, split=split)


def _together(
    function: str, places: Places, rows: Callable[..., Tensor], sums: Any, wide: dict[str, Any], *, apart: bool
) -> tuple[Tensor, Tensor | None, tuple[Tensor, Tensor]]:
    """The rank's sum, the same with z-loss where that divides apart, and the divisors of all.

    A rank that refuses its rows says so in the same exchange, for which the others wait.
    """
    error, total, square, counted = None, None, None, (torch.zeros(()), torch.zeros(()))
    try:
        total = rows(**wide, **({"z_loss": 0.0} if apart else {}))
        square = rows(**wide) if apart else None
        counted = sums()
    except Exception as found:
        error = found
    told = torch.stack([*(part.double() for part in counted), torch.tensor(float(error is not None))])
    told = told.to(places.device)
    for group in places.row_groups:
        distributed.all_reduce(told, group=group)
    if error is not None:
        raise error
    if total is None or (told.is_cpu and told[2] > 0):
        raise RankError(f"{function}: a rank that has other rows of input has refused its call: look at its own error")
    return total, square, (told[0], told[1])

"""Which way a call takes, by its array library: the only chain of ifs (torch has a second one, `_torch`)."""

from __future__ import annotations

import contextlib
import dataclasses
import sys
from collections.abc import Callable, Mapping
from types import ModuleType
from typing import Any

import numpy as np

from . import _functions, _reduction
from ._call.arrays import is_jax, is_mlx, is_numpy, is_torch, move_axis, scalar
from ._call.canonical import Elements, ExtraRowStats, Layer, Rows, RowStats
from ._call.options import (
    BinaryOptions,
    FocalOptions,
    LinearLossOptions,
    LinearOptions,
    LinearStatsOptions,
    LossOptions,
    SigmoidFocalOptions,
    validated,
)
from ._definition import Array, namespace
from ._door import layer as layers
from ._door import misuse, selection
from ._door import rows as door
from ._linear import passes
from ._linear.layer import unattached, value_and_gradients, whole
from ._statistics import selects, with_extras
from ._statistics import statistics as told
from .backends import agnostic, cpu
from .backends.cpu import plain
from .backends.room import Functions, Room

Given = Mapping[str, Any]


_torch_ways: ModuleType | None = None


def torch_way() -> ModuleType:
    """Which way a tensor takes, imported when one is there. (torch.compile cannot trace functools.cache.)"""
    global _torch_ways  # noqa: PLW0603
    if _torch_ways is None:
        from ._torch import ways

        _torch_ways = ways
    return _torch_ways


def rules(x: Array) -> Functions:
    """The definition's functions, with their derivatives for the libraries that differentiate."""
    if is_torch(x):
        return torch_way().softmax  # type: ignore[no-any-return]
    if is_jax(x):
        from . import _jax

        return _jax
    if is_mlx(x):
        from . import _mlx

        return _mlx
    return _functions


def room(rows: Rows) -> Room:
    """The room for rows of which nothing is differentiated but by the library itself."""
    if is_torch(rows.x):
        return torch_way().room(rows)  # type: ignore[no-any-return]
    return cpu if is_numpy(rows.x) and cpu.serves(rows) else agnostic


def quiet(x: Array) -> contextlib.AbstractContextManager[None]:
    """NumPy's warnings off inside: the definition meets infinities knowingly, and selects what it takes of them.

    torch's operations work on one thread inside where they have lost the others; see _torch.state.alone.
    """
    if is_torch(x):
        return torch_way().state.alone()  # type: ignore[no-any-return]
    return contextlib.nullcontext() if is_jax(x) else np.errstate(all="ignore")


def alone(x: Any) -> contextlib.AbstractContextManager[None]:
    """The same for tensors alone: at the door NumPy may warn."""
    return torch_way().state.alone() if is_torch(x) else contextlib.nullcontext()


def sharded(*arrays: Any) -> ModuleType | None:
    """The ways of DTensors, where one is among the arrays."""
    kind = getattr(sys.modules.get("torch.distributed.tensor"), "DTensor", None)
    if kind is None or not any(isinstance(x, kind) for x in arrays):
        return None
    from .distributed import _tensors

    return _tensors


def exporting(x: Array) -> bool:
    """Whether torch.export records what is done with x: other runtimes know torch's own operations best."""
    return is_torch(x) and bool(torch_way().state.exporting())


def cross_entropy(input: Array, target: Array, weight: Array, given: Given) -> Array:
    """See crossent.cross_entropy."""
    if is_torch(input):
        value = (_torch_ways or torch_way()).short.cross_entropy(input, target, weight, given)
        if value is None:
            value = unformed("cross_entropy", input, target, weight, given)
        if value is not None:
            return value
        if (way := sharded(input)) is not None:
            return way.cross_entropy(cross_entropy, input, target, weight, given)
    elif type(input) is np.ndarray and (made := _plain("cross_entropy", input, target, weight, given)):
        return made[0]
    options = validated("cross_entropy", weight, given, LossOptions)
    with alone(input):
        return reduced(door.rows("cross_entropy", input, target, options))


def unformed(function: str, x: Array, target: Array, weight: Array, given: Given) -> Any:
    """The answer of logits that are not formed, which a layer's output may stand for; None of all others."""
    answer = getattr(type(x), "answer_crossent", None)
    return None if answer is None else answer(x, function, target, weight, given)


def _plain(
    function: str, x: Array, y: Array, weight: Array, given: Given, *, wanted: bool = False
) -> tuple[Array, Array] | None:
    """(the loss, its derivative by x if wanted) of a plain call of NumPy's arrays, else None."""
    made = plain.loss(x, y, weight, given, wanted=wanted)
    if made is not None:
        misuse.look_afterwards(function, x, y, given, weight)
    return made


def reduced(rows: Rows) -> Array:
    """The reduced loss of canonical rows, in the fastest way that serves them."""
    if is_torch(rows.x):
        return torch_way().cross_entropy(rows)
    if is_jax(rows.x):
        from ._jax import rows as jax_rows

        if jax_rows.serves(rows):
            return jax_rows.reduced(rows)
    with quiet(rows.x):
        loss, z_squared = room(rows).cross_entropy(rows, rules(rows.x))
        return _reduction.reduce_rows(rows, loss, z_squared)


def cross_entropy_with_grad(input: Array, target: Array, weight: Array, given: Given) -> tuple[Array, Array]:
    """See crossent.cross_entropy_with_grad."""
    name, torch_tensors = "cross_entropy_with_grad", is_torch(input)
    made: tuple[Array, Array] | None = None
    if torch_tensors:
        made = torch_way().short.with_gradient(input, target, weight, given)
    elif type(input) is np.ndarray:
        made = _plain(name, input, target, weight, given, wanted=True)
    if made is not None:
        return made
    with alone(input):
        rows = door.rows(name, input, target, validated(name, weight, given, LossOptions))
        value, gradient = torch_way().cross_entropy_with_gradient(rows) if torch_tensors else _with_gradient(rows)
    gradient = move_axis(gradient, -1, rows.axis)
    if not rows.options.inplace:
        return value, gradient
    if gradient is not rows.x:
        into = input.detach() if torch_tensors else input
        into[...] = gradient
    return value, input


def _with_gradient(rows: Rows) -> tuple[Array, Array]:
    """The reduced loss and its derivative by x, in x's dtype, classes last."""
    if is_jax(rows.x):
        from ._jax import rows as jax_rows

        if jax_rows.serves(rows):
            return jax_rows.with_gradient(rows)
    with quiet(rows.x):
        loss, z_squared, gradient = room(rows).cross_entropy_with_gradient(rows, _reduction.scales)
        return _reduction.reduce_rows(rows, loss, z_squared), gradient


def nll(rows: Rows) -> Array:
    """The reduced negative log-likelihood of rows of log-probabilities."""
    with quiet(rows.x):
        loss = torch_way().nll(rows) if is_torch(rows.x) else agnostic.nll(rows)
        return _reduction.reduce_rows(rows, loss, None)


def focal_loss(input: Array, target: Array, weight: Array, given: Given) -> Array:
    """See crossent.focal_loss; α has no part in the mean's divisor."""
    name = "focal_loss"
    options = validated(name, weight, given, FocalOptions)
    with alone(input):
        rows = door.rows(name, input, target, options)
    with quiet(rows.x):
        loss = agnostic.focal_loss(door.with_alpha(name, rows), rules(rows.x))
        return _reduction.reduce_rows(rows, loss, None)


def sigmoid_focal_loss(input: Array, target: Array, weight: Array, given: Given) -> Array:
    """See crossent.sigmoid_focal_loss."""
    name = "sigmoid_focal_loss"
    options = validated(name, weight, given, SigmoidFocalOptions)
    options = dataclasses.replace(options, alpha=door.share_of_positives(name, options.alpha))
    with alone(input):
        call = door.binary(name, input, target, options)
    with quiet(call.x):
        loss = agnostic.sigmoid_focal_loss(call, rules(call.x))
        return _reduction.reduce_elements(loss, call.options, call.dtype)


def statistics(rows: Rows) -> RowStats | ExtraRowStats:
    """What canonical rows tell; see crossent.row_stats."""
    with quiet(rows.x):
        return told(rows, room(rows), rules(rows.x))


def plain_softmax(output: int, x: Array) -> Array | None:
    """softmax or log_softmax over the last axis by the shortest way; None where x has to be looked at first."""
    if type(x) is np.ndarray:
        return cpu.plain_softmax(output, x)
    return torch_way().softmax.plain(output, x) if is_torch(x) else None


def binary_cross_entropy_with_logits(input: Array, target: Array, weight: Array, given: Given) -> Array:
    """See crossent.binary_cross_entropy_with_logits."""
    name, torch_tensors = "binary_cross_entropy_with_logits", is_torch(input)
    if weight is None and torch_tensors:
        value = torch_way().short.binary(input, target, given)
        if value is not None:
            return value
    options = validated(name, weight, given, BinaryOptions)
    if torch_tensors:
        with alone(input):
            return torch_way().binary_cross_entropy_with_logits(door.binary(name, input, target, options))
    call = door.binary(name, input, target, options)
    with quiet(call.x):
        loss = _elements_room(call).binary_cross_entropy_with_logits(call, rules(call.x))
        return _reduction.reduce_elements(loss, call.options, call.dtype)


def _elements_room(call: Elements) -> Room:
    """The room that computes elements of arrays other than torch's."""
    return cpu if is_numpy(call.x) and cpu.serves_binary(call) else agnostic


def binary_with_gradient(input: Array, target: Array, weight: Array, given: Given) -> tuple[Array, Array]:
    """See crossent.binary.loss_and_gradient."""
    name, torch_tensors = "binary_cross_entropy_with_logits", is_torch(input)
    if weight is None and torch_tensors:
        made: tuple[Array, Array] | None = torch_way().short.binary_with_gradient(input, target, given)
        if made is not None:
            return made
    options = validated(name, weight, given, BinaryOptions)
    if torch_tensors:
        with alone(input):
            pair: tuple[Array, Array] = torch_way().binary_with_gradient(door.binary(name, input, target, options))
            return pair
    call = door.binary(name, input, target, options)
    with quiet(call.x):
        loss, gradient = agnostic.binary_cross_entropy_with_gradient(call)
        gradient = gradient * _reduction.element_scale(loss, call.options)
        value = _reduction.reduce_elements(loss, call.options, call.dtype)
        return value, namespace(call.x).astype(gradient, call.x.dtype, copy=False)


def _layer(function: str, input: Any, linear_weight: Any, target: Any, given: Given, allowed: type) -> Layer:
    """The validated call; None for ignore_index is torch's way to leave it at -100."""
    own = {name: value for name, value in given.items() if not (name == "ignore_index" and value is None)}
    chosen = validated(function, own.pop("weight", None), own, allowed)
    return layers.layer(function, input, linear_weight, target, chosen, needs_target=allowed is not LinearStatsOptions)


def _by_chunks(layer: Layer) -> bool:
    """Whether the arrays are NumPy's, and the layer one of a row of classes."""
    return is_numpy(layer.x) and layer.weight.ndim == 2


def _torch_linear() -> ModuleType:
    """The linear losses of tensors."""
    from ._torch import linear

    return linear


def selective_log_softmax(input: Array, index: Array, linear_weight: Array, given: Given) -> Array:
    """See crossent.selective_log_softmax: one class a row is a loss turned round, several are a statistic."""
    name, options = selection.NAME, selection.options(linear_weight, given)
    if linear_weight is None and (value := unformed(name, input, index, None, given)) is not None:
        return value
    with alone(input):
        x, y, one = selection.index(input, index, linear_weight, options)
        own = y if one else None
        if linear_weight is None:
            rows = door.rows(name, x, own, options, needs_target=one)
            return 0.0 - reduced(rows) if one else _selected(rows, y, statistics)
        layer = layers.layer(name, x, linear_weight, own, options, needs_target=one)
        if one:
            return 0.0 - _layer_loss(layer)
        return _selected(layer.rows, y, lambda rows: _layer_statistics(layer._replace(rows=rows)))


def _selected(rows: Rows, index: Array, told: Callable[[Rows], Any]) -> Array:
    """The log-probabilities of several classes of each row."""
    rows = selection.with_chosen(rows, index)
    with quiet(rows.x):
        return selection.selected(told(rows).top_k_log_probs, rows)


def linear_cross_entropy(input: Any, linear_weight: Any, target: Any, given: Given, options: Any = None) -> Any:
    """See crossent.linear_cross_entropy; `options` are torch's."""
    if options is None and is_torch(input) and is_torch(target):
        value = _torch_linear().short_cross_entropy(input, linear_weight, target, given)
        if value is not None:
            return value
    if is_torch(input) and (way := sharded(input, linear_weight)) is not None:
        return way.linear_cross_entropy(linear_cross_entropy, input, linear_weight, target, given)
    size = getattr(options, "batch_chunk_size", None)
    given = given if size is None else {"chunk_size": size, **given}
    with alone(input):
        call = _layer("linear_cross_entropy", input, linear_weight, target, given, LinearLossOptions)
        if is_torch(call.x):
            return _torch_linear().cross_entropy(call)
    stats = call.rows.options.return_stats
    if not _by_chunks(call):
        value = _by_whole(call)
        return (value, statistics(whole(call, every_row=True))) if stats else value
    done = passes.forward(call, stats=stats)
    value = scalar(done.value)
    return (value, _told(call, done.loss, done.stats)) if stats else value


def _layer_loss(layer: Layer) -> Array:
    """The reduced loss of a layer."""
    if is_torch(layer.x):
        return _torch_linear().cross_entropy(layer)
    return scalar(passes.forward(layer).value) if _by_chunks(layer) else _by_whole(layer)


def _by_whole(layer: Layer) -> Array:
    """The reduced loss of a layer of other arrays: JAX's in a scan where that serves, else of all its logits."""
    if is_jax(layer.x):
        from ._jax import linear as jax_linear

        if jax_linear.serves(layer):
            return jax_linear.reduced(layer)
    return reduced(whole(layer))


def linear_cross_entropy_with_grad(
    input: Any, linear_weight: Any, target: Any, given: Given
) -> tuple[Array, list[Array]]:
    """See crossent.linear_cross_entropy_with_grad."""
    name = "linear_cross_entropy_with_grad"
    call = unattached(_layer(name, input, linear_weight, target, given, LinearOptions))
    if is_torch(call.x):
        value, parts = _torch_linear().value_and_gradients(call)
    elif _by_chunks(call):
        value, parts = passes.value_and_gradients(call)
    else:
        value, parts = value_and_gradients(call, _with_gradient)
    return value, [_shifted_back(call, parts[0]), *parts[1:]]


def _shifted_back(layer: Layer, by_input: Array) -> Array:
    """The derivative by the whole input: 0 at the last positions, which predict nothing."""
    shift, xp = layer.rows.options.shift, namespace(by_input)
    if not shift:
        return by_input
    shape = (*by_input.shape[:-2], shift, by_input.shape[-1])
    last = xp.zeros(shape, dtype=by_input.dtype, device=getattr(by_input, "device", None))
    return xp.concat([by_input, last], axis=-2)


def linear_row_stats(input: Any, linear_weight: Any, target: Any, given: Given) -> RowStats | ExtraRowStats:
    """See crossent.linear_row_stats."""
    return _layer_statistics(_layer("linear_row_stats", input, linear_weight, target, given, LinearStatsOptions))


def _layer_statistics(layer: Layer) -> RowStats | ExtraRowStats:
    """What the rows of a layer tell."""
    if is_torch(layer.x):
        stats: RowStats | ExtraRowStats = _torch_linear().row_stats(layer)
        return stats
    if not _by_chunks(layer):
        return statistics(whole(layer, every_row=not selects(layer.rows)))
    if layer.rows.y is None and layer.rows.q is None:
        return _told(layer, None, passes.statistics(layer))
    done = passes.forward(layer, stats=True)
    return _told(layer, done.loss, done.stats)


def _told(layer: Layer, loss: Array, stats: tuple[Array, ...]) -> RowStats | ExtraRowStats:
    """The statistics of NumPy's chunks in the result's dtype."""
    kinds = [
        part if part is None or part.dtype.kind == "i" else part.astype(layer.rows.dtype) for part in (loss, *stats)
    ]
    parts = [None if part is None else scalar(part) for part in kinds]
    plain = RowStats(*parts[:6])
    return with_extras(layer.rows, plain, parts[6:]) if len(parts) > 6 else plain

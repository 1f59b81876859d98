"""The share of the classes that a rank has: where it begins, which columns are classes, and the rows on them."""

from __future__ import annotations

import dataclasses
import zlib
from typing import Any, NamedTuple

import torch
from torch import Tensor

from .._call.arrays import as_float_array, describe, dtype_name, like
from .._call.canonical import Call, Rows
from .._call.options import Options
from .._definition import Array
from .._door import rows as door
from .._door.targets import index_hint, split_target
from ..errors import ArrayTypeError, OptionError, ProbabilityError
from . import _agreement

# What this room takes; see backends.room.
TAKES = frozenset((
    "weight", "ignore_index", "label_smoothing", "where", "sample_weight", "z_loss", "softcap", "temperature",
))  # fmt: skip


class Shard(NamedTuple):
    """A canonical call on this rank's columns, and where they stand among all.

    y (…) the global class indices of `rows`, or None; the shard's classes are start … start + own − 1, of `classes`;
    `order` the ranks by their first class.
    """

    rows: Rows
    y: Array
    start: int
    own: int
    classes: int
    order: tuple[int, ...]
    call: Call


class Place(NamedTuple):
    """What the call says of the shard."""

    group: Any
    start: int | None
    valid: int | None


def learnt(function: str, options: Options) -> None:
    """Raise OptionError for an option that this room has not learnt."""
    more = [name for name in ("inplace", "extra", "top_k") if getattr(options, name, None)]
    strange = sorted(options.asked - TAKES) + more
    if strange:
        fallback = function.removeprefix("vocab_parallel_")
        text = f"{function}: {strange[0]}={getattr(options, strange[0])!r} is not yet known here"
        raise OptionError(f"{text}: leave it out, or use crossent.{fallback} on all the classes")
    if getattr(options.weight, "requires_grad", False):
        raise OptionError(f"{function}: weight requires grad, which has no derivative here: use weight.detach()")


def shard(function: str, input: Any, target: Any, options: Options, place: Place) -> Shard:
    """The canonical call on this rank's columns, once all ranks have agreed that it is one call.

    A rank that refuses its call tells the others, who would wait for it.
    """
    with _agreement.told(place.group):
        learnt(function, options)
        rows, y, call = canonical(function, input, target, options)
    told = _agreement.agree(
        place.group, {"same": _same(rows, options, place, indices=y is not None), "own": _own(rows, place)}
    )
    return _placed(rows, y, call, told, place)


def canonical(function: str, input: Any, target: Any, options: Options) -> tuple[Rows, Array, Call]:
    """The rows on this rank's columns, checked as by `cross_entropy`, with y = 0 in the place of class indices."""
    if not isinstance(input, torch.Tensor):
        raise ArrayTypeError(f"{function}: input is a {type(input).__name__}, expected a torch tensor")
    x = as_float_array(input, "input")
    axis = door.class_axis(function, x, options.axis)
    # of a part of the classes neither the sum of a row's probabilities nor the look of its logits says anything
    looks = dataclasses.replace(options, check=False)
    if target is None:
        call = Call(function, x, None, options)
        return door.canonical(call, x, None, axis, looks), None, call
    target = like(x, target, "target")
    call = Call(function, x, target, options)
    y, q = split_target(call, x, target, axis)
    if q is not None and q.requires_grad:
        text = f"target {describe(target)} requires grad, which has no derivative here"
        raise OptionError(f"{text}: use target.detach() — in {call}")
    if q is not None:
        _not_negative(q, options, call)
        return door.canonical(call, x, q, axis, looks), None, call
    looks = dataclasses.replace(looks, ignore_index=-100)  # the indices are looked at when all classes are known
    rows = door.canonical(call, x, torch.zeros_like(y), axis, looks)._replace(y=None)
    return rows._replace(live=y != options.ignore_index), y, call


def _not_negative(q: Tensor, options: Options, call: Call) -> None:
    """Raise for a negative probability, where it can be read."""
    if options.check is False or not q.is_cpu or q.numel() == 0 or not q.min() < 0:
        return
    text = f"target holds {float(q.min()):g}, but probabilities are not negative"
    raise ProbabilityError(f"{text}: apply softmax to a teacher's logits, or give class indices — in {call}")


def _same(rows: Rows, options: Options, place: Place, *, indices: bool) -> dict[str, Any]:
    """What has to be the same on all ranks."""
    named = {name: getattr(options, name) for name in vars(options)}
    plain = {n: v if isinstance(v, (int, float, str)) or v is None else "given" for n, v in named.items()}
    plain["dtype"] = None if options.dtype is None else dtype_name(options.dtype)
    plain["denominator"] = None if options.denominator is None else "given"
    target = "probabilities" if rows.q is not None else "class indices" if indices else None
    told: dict[str, Any] = {"the shape of the rows": list(rows.x.shape[:-1]), "the target's form": target}
    told["dtype of input"] = dtype_name(rows.x.dtype)
    told["valid_classes"], told["vocab_start (given or not)"] = place.valid, place.start is not None
    return {**told, **{n: v for n, v in plain.items() if n not in ("check", "linear_bias", "chunk_size", "recompute")}}


def _own(rows: Rows, place: Place) -> dict[str, Any]:
    """What each rank has of its own."""
    return {"columns": rows.x.shape[-1], "start": place.start}


def _placed(rows: Rows, y: Array, call: Call, told: tuple[dict[str, Any], ...], place: Place) -> Shard:
    """The shard among the others."""
    starts, sizes, classes = layout(call, [words["own"] for words in told], place.valid)
    rank = place.group.rank()
    order = tuple(sorted(range(len(starts)), key=lambda k: (starts[k], k)))
    own = sizes[rank]
    rows = _without_padding(rows, own) if own < rows.x.shape[-1] else rows
    return Shard(rows, y, starts[rank], own, classes, order, call)


def _without_padding(rows: Rows, own: int) -> Rows:
    """The rows on their first `own` columns; of none, on one column where no class exists."""
    kept, where = max(own, 1), rows.where
    named: dict[str, Any] = {
        n: None if part is None else part[..., :kept] for n, part in (("q", rows.q), ("weight", rows.weight))
    }
    if own == 0:
        where = torch.zeros(1, dtype=torch.bool, device=rows.x.device)
    return rows._replace(x=rows.x[..., :kept], where=None if where is None else where[..., :kept], **named)


def layout(call: Call, own: list[dict[str, Any]], valid: int | None) -> tuple[list[int], list[int], int]:
    """(first class, number of classes) of each rank and the number of all; what does not fit together raises."""
    columns, starts = [int(o["columns"]) for o in own], [o["start"] for o in own]
    if starts[0] is None:
        starts = [sum(columns[:k]) for k in range(len(columns))]
    ends = [start + size for start, size in zip(starts, columns, strict=True)]
    limit = max(ends) if valid is None else valid
    if not 0 < limit <= max(ends):
        raise OptionError(f"valid_classes={valid}, expected 1 … {max(ends)}, the classes of all ranks — in {call}")
    at, sizes = 0, [0] * len(own)
    for k in sorted(range(len(own)), key=lambda k: (starts[k], k)):
        here = min(starts[k], limit)
        if here != at:
            what = f"classes {at} … {here - 1} are on no rank" if here > at else f"class {here} is on two ranks"
            text = f"vocab_start={starts} with {columns} columns on the ranks: {what}"
            raise OptionError(f"{text}; columns that are no classes go to where=, or behind valid_classes= — in {call}")
        at = min(ends[k], limit)
        sizes[k] = at - here
    return starts, sizes, limit


def owned(shard: Shard) -> tuple[Tensor, Tensor]:
    """(index among this rank's columns, whether it is here) of each row's class; 0 where it is elsewhere."""
    here = (shard.y >= shard.start) & (shard.y < shard.start + shard.own) & shard.rows.live
    return torch.where(here, shard.y - shard.start, 0), here


def wrong(shard: Shard) -> Tensor | None:
    """Where a class index is of no rank and not ignored."""
    if shard.y is None:
        return None
    bad: Tensor = shard.rows.live & ((shard.y < 0) | (shard.y >= shard.classes))
    return bad


def wrong_message(shard: Shard, bad: Tensor) -> str:
    """What the target holds."""
    value = int(shard.y[bad][0])
    counted = shard.y[shard.rows.live]
    text = f"target holds {value}, but there are {shard.classes} classes (0 … {shard.classes - 1}) on all ranks"
    return f"{text}: {index_hint(value, shard.classes, int(counted.min()))} — in {shard.call}"


def digest(shard: Shard) -> int:
    """A number of what every rank has to have the same of: class indices and weights of the rows, the denominator."""
    total = 0
    for part in (shard.y, shard.rows.sample_weight):
        if part is not None and part.is_cpu:
            total = zlib.crc32(part.detach().contiguous().numpy().tobytes(), total)
    given = shard.rows.options.denominator
    if given is not None and getattr(given, "is_cpu", True):
        total = zlib.crc32(repr(float(given)).encode(), total)
    return total % (1 << 20)

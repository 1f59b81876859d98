"""none / sum / mean and its denominator: the only place."""

from __future__ import annotations

import math
from typing import Any

from ._call.arrays import FLOATS, INTEGERS, describe, dtype_name, like, scalar, tracing
from ._call.canonical import Rows
from ._call.options import Options
from ._definition import Array, namespace
from .errors import EmptyReductionError, OptionError


def row_weights(rows: Rows, loss: Array) -> tuple[Array, Array]:
    """Two weights of each row: the sum of the first divides the mean, the sum of the second counts the rows.

    Index targets: weight[y]·sample_weight, 0 where ignored. Probability targets: sample_weight alone, as in torch.
    """
    xp = namespace(loss)
    one = xp.ones_like(loss) if rows.sample_weight is None else rows.sample_weight
    count = one if rows.live is None else xp.where(rows.live, one, 0.0)
    if rows.weight is None or rows.y is None:
        return count, count
    known = (rows.y >= 0) & (rows.y < rows.weight.shape[0])
    index = xp.reshape(xp.where(known, rows.y, 0), (-1,))
    return count * xp.reshape(xp.take(rows.weight, index, axis=0), tuple(rows.y.shape)), count


def divisors(rows: Rows, loss: Array) -> tuple[Array, Array]:
    """The divisors of the mean loss and of the mean lse²: the caller's denominator, or the sums of the weights."""
    xp = namespace(loss)
    if rows.options.denominator is not None:
        given = denominator(rows.options.denominator, loss)
        return given, given
    if rows.live is None and rows.sample_weight is None and (rows.weight is None or rows.y is None):
        number = math.prod(loss.shape)
        return number, number
    if rows.sample_weight is None and (rows.weight is None or rows.y is None):
        number = xp.sum(xp.astype(rows.live, loss.dtype))
        return number, number
    own, count = row_weights(rows, loss)
    return xp.sum(own), xp.sum(count)


def denominator(given: Any, loss: Array) -> Array:
    """A denominator, number or array of one element, in the dtype of the sums."""
    xp = namespace(loss)
    if isinstance(given, (int, float)) or type(given).__name__ == "SymInt":  # a length that torch.export leaves open
        return xp.zeros((), dtype=loss.dtype, device=getattr(loss, "device", None)) + given
    given = like(loss, given, "denominator")
    if math.prod(given.shape) != 1 or dtype_name(given.dtype) not in (*FLOATS, *INTEGERS):
        raise OptionError(f"denominator is {describe(given)}, expected a single real number")
    return xp.astype(xp.reshape(given, ()), loss.dtype)


def scales(rows: Rows, loss: Array) -> tuple[Array | float, Array | float]:
    """What each row's loss and each row's lse² are multiplied by in the reduced loss; 0 in a mean over nothing."""
    z_loss = rows.options.z_loss
    if rows.options.reduction != "mean":
        return 1.0, z_loss
    own, count = (inverse(divisor) for divisor in divisors(rows, loss))
    return own, z_loss * count


def inverse(divisor: Array) -> Array:
    """1/divisor, 0 for 0."""
    if isinstance(divisor, int):
        return 1 / divisor if divisor else 0.0
    xp = namespace(divisor)
    return xp.where(divisor == 0, 0.0, 1 / xp.where(divisor == 0, 1.0, divisor))


def mean(loss: Array, divisor: Array, on_empty: str) -> Array:
    """Σ loss/divisor; over nothing it is what `on_empty` says, and its gradient is zero either way."""
    xp = namespace(loss)
    if isinstance(divisor, int) and divisor:
        return xp.mean(loss)  # an integer is the number of the losses themselves
    return quotient(xp.sum(loss), divisor, on_empty)


def refuse_empty(empty: Array) -> None:
    """Raise where a mean is over nothing; of an array on a device the host waits for the answer."""
    if bool(empty):
        raise EmptyReductionError(
            "the mean is over nothing: every row is ignored, or the rows' weights sum to 0, or the batch is empty; "
            "on_empty='zero' gives 0, on_empty='nan' gives NaN"
        )


def quotient(total: Array, divisor: Array, on_empty: str) -> Array:
    """The mean from a sum and its divisor."""
    xp = namespace(total)
    divisor = denominator(divisor, total)
    empty = divisor == 0
    if on_empty == "raise" and not tracing(empty):
        refuse_empty(empty)
    value = total / xp.where(empty, 1.0, divisor)
    return xp.where(empty, 0.0 if on_empty == "zero" else math.nan, value)


def reduce_rows(rows: Rows, loss: Array, z_squared: Array) -> Array:
    """The reduced loss in the caller's dtype, from each row's loss and each row's lse² (None without z-loss)."""
    options, xp = rows.options, namespace(loss)
    if options.reduction == "mean":
        own, count = divisors(rows, loss)
        value = mean(loss, own, options.on_empty)
        if z_squared is not None:
            value = value + options.z_loss * mean(z_squared, count, options.on_empty)
    else:
        value = loss if z_squared is None else loss + options.z_loss * z_squared
        value = xp.sum(value) if options.reduction == "sum" else value
    return scalar(value if value.dtype == rows.dtype else xp.astype(value, rows.dtype))


def element_count(loss: Array, options: Options) -> Array:
    """The mean's divisor: the number of elements, or the caller's denominator."""
    return math.prod(loss.shape) if options.denominator is None else denominator(options.denominator, loss)


def element_scale(loss: Array, options: Options) -> Array | float:
    """What the loss of each element is multiplied by in the reduced binary loss; 0 in a mean over nothing."""
    return inverse(element_count(loss, options)) if options.reduction == "mean" else 1.0


def reduce_elements(loss: Array, options: Options, dtype: Any) -> Array:
    """The reduced binary loss: its mean divides by the number of elements, weights or not, as in torch."""
    xp = namespace(loss)
    if options.reduction == "mean":
        loss = mean(loss, element_count(loss, options), options.on_empty)
    elif options.reduction == "sum":
        loss = xp.sum(loss)
    return scalar(loss if loss.dtype == dtype else xp.astype(loss, dtype))

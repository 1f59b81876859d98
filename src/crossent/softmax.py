"""softmax, log_softmax and logsumexp for arrays of every library."""

from __future__ import annotations

import math
import sys
from collections.abc import Sequence
from typing import Any, NamedTuple

from . import _functions, _ways
from ._call.arrays import as_float_array, move_axis, scalar
from ._call.canonical import Rows
from ._call.options import Options, in_range, shown
from ._definition import Array, namespace, wide
from ._door import rows as door
from ._door.axes import NOT_GIVEN, Classes, classes, either
from .backends import cpu
from .errors import OptionError, ShapeError

Axis = int | Sequence[int] | None

__all__ = ["Prediction", "log_softmax", "logsumexp", "predict", "softmax"]


class Prediction(NamedTuple):
    """What `predict` returns: the most probable class of each row, and its probability."""

    label: Array
    probability: Array


def _rows(function: str, x: Array, places: Classes, where: Any, temperature: float, dtype: Any) -> Rows:
    """A call in canonical form: rows without a target."""
    options = Options(temperature=in_range(function, "temperature", temperature))
    mask = _mask(function, x, places, where)
    sum_dtype, result = door.result_dtype(x, dtype, loss=False)
    if x.dtype != result:  # so that the result is rounded once
        x = namespace(x).astype(x, sum_dtype)
    nothing: Any = None
    return Rows(
        x=places.last(x),
        y=nothing,
        q=nothing,
        live=nothing,
        weight=nothing,
        sample_weight=nothing,
        where=mask,
        options=options,
        known=True,
        axis=-1,
        sum_dtype=sum_dtype,
        dtype=result,
    )


def _mask(function: str, x: Array, places: Classes, where: Any) -> Array:
    """`where` with the classes last, or None."""
    if where is None or len(places.axes) == 1:
        return door.class_mask(function, x, where, places.axes[0] if places.axes else 0)
    return places.last(door.whole_mask(function, x, where))


def _is_plain(axis: Any, dim: Any, where: Any, temperature: Any, dtype: Any) -> bool:
    """Whether a call asks for the last axis and nothing else."""
    asked = (axis is NOT_GIVEN or (type(axis) is int and axis == -1)) and dim is NOT_GIVEN
    return asked and type(temperature) is float and temperature == 1.0 and where is None and dtype is None


def _mapped(
    function: str, absent: float, x: Any, axis: Any, dim: Any, where: Any, temperature: float, dtype: Any
) -> Array:
    """softmax or log_softmax by the general way; what `where` leaves out is `absent`."""
    x = as_float_array(x, "x")
    places = classes(function, x, either(function, ("axis", "dim"), axis, dim, -1))
    rows = _rows(function, x, places, where, temperature, dtype)
    xp, p = namespace(x), rows.x
    with _ways.quiet(p):  # the rounding to the result's dtype included, which may overflow
        if _ways.exporting(x) and len(places.axes) == 1 and where is None and temperature == 1 and places.number:
            own = getattr(sys.modules["torch"], function)  # one node, which every runtime has
            return own(xp.astype(x, rows.sum_dtype, copy=False), places.axes[0]).to(rows.dtype)
        if places.number:
            p = getattr(_ways.room(rows), function)(rows, _ways.rules(p))
            p = p if rows.where is None else xp.where(rows.where, p, absent)
        p = p if p.dtype == rows.dtype and p is not x else xp.astype(p, rows.dtype)
    return scalar(places.back(p))


def _log_of_sum(rows: Rows, b: Array, *, signed: bool) -> tuple[Array, Array]:
    """(log of the size of each row's sum, its sign), the logarithm of a sum below 0 NaN unless `signed`."""
    xp, rules = namespace(rows.x), _ways.rules(rows.x)
    if b is None and rows.x.shape[-1]:
        value = _ways.room(rows).logsumexp(rows, rules)
        nothing = xp.zeros_like(value)
        return value, xp.where(value > -math.inf, 1.0, xp.where(value == -math.inf, nothing, math.nan))
    z = wide(xp.astype(rows.x, rows.sum_dtype, copy=False))
    if not rows.x.shape[-1]:
        nothing = xp.sum(z, axis=-1)
        return nothing - math.inf, nothing
    b = wide(xp.astype(b, rows.sum_dtype, copy=False))
    b = b if rows.where is None else xp.where(rows.where, b, 0.0)
    value, sign = rules.weighted_logsumexp(z, b), _functions.signed_logsumexp(z, b)[1]
    return value if signed else xp.where(sign < 0, math.nan, value), sign


def _per_row(value: Array, rows: Rows, places: Classes, *, keeps: bool) -> Array:
    """One number a row in the result's dtype, with or without the axes of the classes."""
    with _ways.quiet(value):
        value = value if value.dtype == rows.dtype else namespace(value).astype(value, rows.dtype)
    return places.kept(value) if keeps else scalar(value)


@shown(axis=-1)
def softmax(
    x: Array,
    axis: Axis = NOT_GIVEN,
    *,
    where: Array = None,
    temperature: float = 1.0,
    dtype: Any = None,
    dim: Axis = NOT_GIVEN,
) -> Array:
    """The probabilities of the classes: exp(x) over its sum.

    softmax(x)ᵢ = exp(xᵢ/T − m) / Σⱼ exp(xⱼ/T − m),  m = max(x/T)

    Parameters
    ----------
    x
        Logits of any shape: float16, bfloat16, float32 or float64, from NumPy, PyTorch, JAX or any array-API library;
        lists, numbers and NumPy integers count as float64.
    axis, dim
        The axis of the classes; the last one unless told otherwise. A tuple names several, whose elements are one row;
        None is the whole array (SciPy's default). `dim` is torch's name of it. A single number is a row of its own.
    where
        The classes that exist, as booleans: (C,) or a shape that broadcasts to x. The others have probability 0.
    temperature
        T > 0: below 1 sharpens, above 1 flattens.
    dtype
        The result's dtype, x's own by default; "wide" is that of the sums: float32 or wider, rounded once.

    Returns
    -------
    Array
        Probabilities in x's shape; an axis of no classes gives an empty array. A row with NaN or +∞, and one of −∞
        alone, is NaN; no other row is touched.

    Raises
    ------
    AxisError, ShapeError, DtypeError, OptionError
        For what cannot be meant; the message names the fix.

    Examples
    --------
    >>> import numpy as np, crossent
    >>> crossent.softmax(np.array([2.0, 1.0, 0.1]))
    array([0.65900114, 0.24243297, 0.09856589])
    >>> crossent.softmax([[1000.0, 1000.0]])
    array([[0.5, 0.5]])
    >>> crossent.softmax(np.array([2.0, 1.0, 0.1]), where=np.array([True, True, False]))
    array([0.73105858, 0.26894142, 0.        ])

    References
    ----------
    J. S. Bridle, "Probabilistic interpretation of feedforward classification network outputs", 1990.
    """
    if _is_plain(axis, dim, where, temperature, dtype):
        value = _ways.plain_softmax(cpu.SOFTMAX, x)
        if value is not None:
            return value
    return _mapped("softmax", 0.0, x, axis, dim, where, temperature, dtype)


@shown(axis=-1)
def log_softmax(
    x: Array,
    axis: Axis = NOT_GIVEN,
    *,
    where: Array = None,
    temperature: float = 1.0,
    dtype: Any = None,
    dim: Axis = NOT_GIVEN,
) -> Array:
    """The log-probabilities of the classes, without the detour over softmax that rounds small ones to log 0.

    log_softmax(x)ᵢ = (xᵢ/T − m) − log1p(r),  m = max(x/T),  r = Σⱼ exp(xⱼ/T − m) − 1

    Parameters are those of `softmax`; classes that `where` leaves out have −∞.

    Raises
    ------
    AxisError, ShapeError, DtypeError, OptionError
        For what cannot be meant; the message names the fix.

    Examples
    --------
    >>> import numpy as np, crossent
    >>> crossent.log_softmax(np.array([0.0, 1000.0]))
    array([-1000.,     0.])

    References
    ----------
    P. Blanchard, D. J. Higham, N. J. Higham, "Accurately computing the log-sum-exp and softmax functions",
    IMA Journal of Numerical Analysis, 2021.
    """
    if _is_plain(axis, dim, where, temperature, dtype):
        value = _ways.plain_softmax(cpu.LOG_SOFTMAX, x)
        if value is not None:
            return value
    return _mapped("log_softmax", -math.inf, x, axis, dim, where, temperature, dtype)


@shown(axis=-1, keepdims=False)
def logsumexp(
    x: Array,
    axis: Axis = NOT_GIVEN,
    *,
    keepdims: bool = NOT_GIVEN,
    where: Array = None,
    b: Array = None,
    return_sign: bool = False,
    dtype: Any = None,
    dim: Axis = NOT_GIVEN,
    keepdim: bool = NOT_GIVEN,
) -> Any:
    """log Σ exp(x), without overflow: the smooth maximum, and the normaliser of softmax; with weights log Σ b·exp(x).

    logsumexp(x) = m + log1p(r),  m = max x,  r = Σ exp(x − m) − 1

    Parameters
    ----------
    x, axis, where, dtype, dim
        As in `softmax`.
    keepdims, keepdim
        Keep the summed axes with length 1; the second is torch's name of it.
    b
        Factors of the terms, of any sign, as in SciPy: x and b are broadcast together. What has b = 0 counts for
        nothing. A sum below 0 has the logarithm NaN, or with return_sign that of its size.
    return_sign
        True gives (log |Σ b·exp(x)|, the sign of the sum: 1, −1, 0 for a sum of 0).

    Returns
    -------
    Array
        x's shape without the axes. −∞ where every element is −∞ or left out or there is none, +∞ where one is +∞, NaN
        where one is NaN. With return_sign a pair.

    Raises
    ------
    AxisError, ShapeError, DtypeError, ArrayTypeError, OptionError
        For what cannot be meant; the message names the fix.

    Examples
    --------
    >>> import numpy as np, crossent
    >>> float(crossent.logsumexp(np.array([1000.0, 1000.0])))
    1000.6931471805599
    >>> value, sign = crossent.logsumexp([0.0, 1.0], b=[1.0, -1.0], return_sign=True)
    >>> float(value.round(4)), float(sign)
    (0.5413, -1.0)

    References
    ----------
    See `log_softmax`.
    """
    keeps = either("logsumexp", ("keepdims", "keepdim"), keepdims, keepdim, False)
    for name, value in (("keepdims", keeps), ("return_sign", return_sign)):
        if not isinstance(value, bool):
            raise OptionError(f"logsumexp: {name}={value!r}, expected True or False")
    x = as_float_array(x, "x")
    x, b = door.term_weights("logsumexp", x, b)
    places = classes("logsumexp", x, either("logsumexp", ("axis", "dim"), axis, dim, -1))
    rows = _rows("logsumexp", x, places, where, 1.0, dtype)
    with _ways.quiet(x):
        parts = _log_of_sum(rows, None if b is None else places.last(b), signed=return_sign)
        value, sign = (_per_row(part, rows, places, keeps=keeps) for part in parts)
    return (value, sign) if return_sign else value


def predict(input: Array, axis: int | None = None) -> Prediction:
    """The most probable class of each row and its probability, from logits.

    label = argmax x,  probability = 1/(1 + r),  r = Σ exp(x − max x) − 1

    Parameters
    ----------
    input
        Logits as for `cross_entropy`: (N, C), (N, C, d₁, …) or one row (C,).
    axis
        The class axis: 1 (0 for a single row) unless told otherwise, as in `cross_entropy`.

    Raises
    ------
    ShapeError, AxisError, DtypeError
        For what cannot be meant; one output unit among them: its class is `input > 0`.

    Examples
    --------
    >>> import numpy as np, crossent
    >>> label, probability = crossent.predict(np.array([[2.0, 1.0, 0.1], [0.5, 2.0, 0.3]]))
    >>> label
    array([0, 1])
    >>> probability.round(4)
    array([0.659 , 0.7113])

    References
    ----------
    See `softmax`.
    """
    x = as_float_array(input, "input")
    axis = door.class_axis("predict", x, axis)
    if x.shape[axis] < 2:
        text = f"predict: input has shape {tuple(x.shape)}, with {x.shape[axis]} classes on axis {axis}"
        raise ShapeError(f"{text}: for one output unit the class is input > 0, its probability 1/(1 + exp(-input))")
    xp = namespace(x)
    z = move_axis(x, axis, -1)
    with _ways.quiet(x):
        probability = xp.max(softmax(z), axis=-1)
    return Prediction(scalar(xp.argmax(z, axis=-1)), scalar(probability))

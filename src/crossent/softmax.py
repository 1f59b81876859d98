"""softmax, log_softmax and logsumexp for arrays of every library."""

from __future__ import annotations

import math
from typing import Any, NamedTuple

from . import _ways
from ._call.arrays import as_float_array, move_axis, scalar
from ._call.options import Options, Rows, in_range
from ._definition import Array, namespace
from ._door import rows as door
from .backends import cpu
from .errors import OptionError, ShapeError

__all__ = ["Prediction", "log_softmax", "logsumexp", "predict", "softmax"]


class Prediction(NamedTuple):
    """What `predict` returns: the most probable class of each row, and its probability."""

    label: Array
    probability: Array


def _rows(function: str, x: Any, axis: int | None, where: Any, temperature: float, dtype: Any) -> Rows:
    """Check a call and bring it into canonical form: rows without a target."""
    x = as_float_array(x, "x")
    if axis is None:
        raise OptionError(f"{function}: axis=None, expected an integer: the axis of the classes, as axis=-1")
    axis = door.class_axis(function, x, axis)
    if x.shape[axis] == 0:
        raise ShapeError(f"{function}: x of shape {tuple(x.shape)} has no classes on axis {axis}")
    options = Options(temperature=in_range(function, "temperature", temperature))
    mask = door.class_mask(function, x, where, axis)
    sum_dtype, result = door.result_dtype(x, dtype, loss=False)
    if x.dtype != result:  # so that the result is rounded once
        x = namespace(x).astype(x, sum_dtype)
    nothing: Any = None
    return Rows(
        x=move_axis(x, axis, -1),
        y=nothing,
        q=nothing,
        live=nothing,
        weight=nothing,
        sample_weight=nothing,
        where=mask,
        options=options,
        known=True,
        axis=axis,
        sum_dtype=sum_dtype,
        dtype=result,
    )


def _is_plain(axis: Any, where: Any, temperature: Any, dtype: Any) -> bool:
    """Whether a call asks for the last axis and nothing else."""
    asked = type(axis) is int and axis == -1 and type(temperature) is float and temperature == 1.0
    return asked and where is None and dtype is None


def _output(p: Array, rows: Rows, absent: float) -> Array:
    """A result in the caller's layout and dtype; what `where` leaves out is `absent`."""
    xp = namespace(p)
    p = p if rows.where is None else xp.where(rows.where, p, absent)
    return move_axis(p if p.dtype == rows.dtype else xp.astype(p, rows.dtype), -1, rows.axis)


def softmax(x: Array, axis: int = -1, *, where: Array = None, temperature: float = 1.0, dtype: Any = None) -> Array:
    """The probabilities of the classes: exp(x) over its sum.

    softmax(x)ᵢ = exp(xᵢ/T − m) / Σⱼ exp(xⱼ/T − m),  m = max(x/T)

    Parameters
    ----------
    x
        Logits of any shape: float16, bfloat16, float32 or float64, from NumPy, PyTorch, JAX or any array-API library;
        lists, numbers and NumPy integers count as float64.
    axis
        The axis of the classes; the last one unless told otherwise (SciPy's default is the whole array).
    where
        The classes that exist, as booleans: (C,) or a shape that broadcasts to x. The others have probability 0.
    temperature
        T > 0: below 1 sharpens, above 1 flattens.
    dtype
        The result's dtype, x's own by default. Sums are float32 or wider, rounded once.

    Returns
    -------
    Array
        Probabilities in x's shape. A row with NaN or +∞, and one of −∞ alone, is NaN; no other row is touched.

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
    if _is_plain(axis, where, temperature, dtype):
        value = _ways.plain_softmax(cpu.SOFTMAX, x)
        if value is not None:
            return value
    rows = _rows("softmax", x, axis, where, temperature, dtype)
    with _ways.quiet(rows.x):
        return _output(_ways.room(rows).softmax(rows, _ways.rules(rows.x)), rows, 0.0)


def log_softmax(x: Array, axis: int = -1, *, where: Array = None, temperature: float = 1.0, dtype: Any = None) -> Array:
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
    if _is_plain(axis, where, temperature, dtype):
        value = _ways.plain_softmax(cpu.LOG_SOFTMAX, x)
        if value is not None:
            return value
    rows = _rows("log_softmax", x, axis, where, temperature, dtype)
    with _ways.quiet(rows.x):
        return _output(_ways.room(rows).log_softmax(rows, _ways.rules(rows.x)), rows, -math.inf)


def logsumexp(x: Array, axis: int = -1, *, keepdims: bool = False, where: Array = None, dtype: Any = None) -> Array:
    """log Σ exp(x), without overflow: the smooth maximum, and the normaliser of softmax.

    logsumexp(x) = m + log1p(r),  m = max x,  r = Σ exp(x − m) − 1

    Parameters
    ----------
    x, axis, where, dtype
        As in `softmax`.
    keepdims
        Keep the summed axis with length 1.

    Returns
    -------
    Array
        x's shape without the axis. −∞ where every element is −∞ or left out, +∞ where one is +∞, NaN where one is NaN.

    Raises
    ------
    AxisError, ShapeError, DtypeError, OptionError
        For what cannot be meant; the message names the fix.

    Examples
    --------
    >>> import numpy as np, crossent
    >>> float(crossent.logsumexp(np.array([1000.0, 1000.0])))
    1000.6931471805599

    References
    ----------
    See `log_softmax`.
    """
    if not isinstance(keepdims, bool):
        raise OptionError(f"logsumexp: keepdims={keepdims!r}, expected True or False")
    rows = _rows("logsumexp", x, axis, where, 1.0, dtype)
    xp = namespace(rows.x)
    with _ways.quiet(rows.x):
        value = _ways.room(rows).logsumexp(rows, _ways.rules(rows.x))
    value = value if value.dtype == rows.dtype else xp.astype(value, rows.dtype)
    return xp.expand_dims(value, axis=rows.axis) if keepdims else scalar(value)


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

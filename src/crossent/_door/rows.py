"""The door: shapes, dtypes and ranges are checked here once, and a call becomes canonical Rows."""

from __future__ import annotations

import dataclasses
import math
import sys
from typing import Any

import numpy as np

from .._call.arrays import (
    FLOATS,
    INTEGERS,
    as_float_array,
    describe,
    dtype_name,
    is_numpy,
    is_torch,
    like,
    move_axis,
    readable,
    tracing,
    values,
)
from .._call.canonical import Call, Elements, Rows
from .._call.options import Options
from .._definition import Array, namespace
from ..backends import cpu
from ..errors import AxisError, DtypeError, OptionError, ProbabilityError, ShapeError
from . import misuse, targets
from .counted import counted, divided, weighed


def class_axis(function: str, x: Array, axis: int | None) -> int:
    """The class axis: 1, or 0 of a single row, as in torch; or the one given, counted from the end if negative."""
    if x.ndim == 0:
        raise ShapeError(
            f"{function}: input is a single number, expected one row of logits or more: shape (C,) or (N, C)"
        )
    axis = min(1, x.ndim - 1) if axis is None else axis
    if isinstance(axis, np.integer):
        axis = int(axis)
    if not isinstance(axis, int) or isinstance(axis, bool) or not -x.ndim <= axis < x.ndim:
        text = f"{function}: axis={axis!r}, but input {describe(x)} has {x.ndim} axes"
        raise AxisError(f"{text}: expected an integer from {-x.ndim} to {x.ndim - 1}")
    return axis % int(x.ndim)


def result_dtype(x: Array, dtype: Any, *, loss: bool) -> tuple[Any, Any]:
    """The dtypes of the sums (float32 or wider) and of the result (the input's, unless `dtype` or autocast says so)."""
    xp = namespace(x)
    result = x.dtype if dtype is None else _own_dtype(x, dtype)
    if dtype is None and is_torch(x) and dtype_name(x.dtype) in ("float16", "bfloat16") and _autocast(x, loss):
        result = xp.float32
    wide = "float64" in (dtype_name(x.dtype), dtype_name(result))
    return xp.float64 if wide else xp.float32, result


def _own_dtype(x: Array, dtype: Any) -> Any:
    """A dtype of any spelling ("float32", float, numpy.float32, torch.float32) as a dtype of x's library.

    "wide" is the dtype of the sums: float32 for sixteen bits, x's own for more.
    """
    if isinstance(dtype, str) and dtype == "wide":
        dtype = "float64" if dtype_name(x.dtype) == "float64" else "float32"
    name = "float64" if dtype is float else dtype_name(dtype)
    own = getattr(namespace(x), name, None)
    if own is None and is_numpy(x) and name in FLOATS and dtype is not name:
        own = np.dtype(dtype)  # bfloat16, which NumPy has from ml_dtypes
    if name not in FLOATS or own is None:
        raise DtypeError(f"dtype={dtype!r}, expected one of {', '.join(FLOATS)} that the library of input has")
    return own


def _autocast(x: Array, loss: bool) -> bool:
    """Whether torch's autocast would give float32 here: losses everywhere, softmax on a GPU."""
    torch = sys.modules["torch"]
    return (loss or x.device.type == "cuda") and bool(torch.is_autocast_enabled(x.device.type))


def class_mask(function: str, x: Array, where: Any, axis: int) -> Array:
    """`where` as booleans of x's shape with the class axis last, or None; (C,) is taken as one mask for every row."""
    if where is None:
        return None
    where = _booleans(function, x, where)
    classes = x.shape[axis]
    if where.ndim == 1 and where.shape[0] == classes:
        return where
    return move_axis(whole_mask(function, x, where, f"({classes},) or "), axis, -1)


def _booleans(function: str, x: Array, where: Any) -> Array:
    """`where` as booleans of x's library."""
    where = like(x, where, "where")
    if dtype_name(where.dtype) != "bool":
        raise DtypeError(f"{function}: where has dtype {dtype_name(where.dtype)}, expected bool: use where != 0")
    return where


def whole_mask(function: str, x: Array, where: Any, also: str = "") -> Array:
    """`where` as booleans of x's shape."""
    where = _booleans(function, x, where)
    try:
        return namespace(x).broadcast_to(where, tuple(x.shape))
    except (RuntimeError, ValueError, TypeError):
        text = f"{function}: where has shape {tuple(where.shape)}, expected {also}"
        raise ShapeError(f"{text}a shape that broadcasts to input {tuple(x.shape)}") from None


def term_weights(function: str, x: Array, b: Any) -> tuple[Array, Array]:
    """(x, b) of the weighted sum of exponentials, broadcast together; None is None."""
    if b is None:
        return x, None
    b = as_real(like(x, b, "b"), result_dtype(x, None, loss=False)[0], "b")
    try:
        x, b = namespace(x).broadcast_arrays(x, b)
    except (RuntimeError, ValueError, TypeError):
        text = f"{function}: b has shape {tuple(b.shape)}, which does not broadcast together with x {tuple(x.shape)}"
        raise ShapeError(f"{text}: give one factor for each term") from None
    return x, b


def class_weight(function: str, x: Array, weight: Any, classes: int, dtype: Any, *, looks: bool = True) -> Array:
    """The weights of the classes in the sums' dtype, or None."""
    if weight is None:
        return None
    weight = as_real(like(x, weight, "weight"), dtype, "weight")
    if tuple(weight.shape) != (classes,):
        text = f"{function}: weight has shape {tuple(weight.shape)}, but input {describe(x)} has {classes} classes"
        fix = "one weight a class; weights a row are sample_weight"
        raise ShapeError(f"{text}: expected ({classes},), {fix}")
    if looks and readable(weight) and _any_negative(values(weight)):
        text = (
            f"{function}: weight holds {float(namespace(weight).min(weight)):g}: a negative class weight rewards wrong"
        )
        targets.warn(f"{text} answers, and a mean divides by the sum of the weights; expected numbers of 0 or more")
    return weight


def with_alpha(function: str, rows: Rows) -> Rows:
    """The same rows with the α of a focal loss, a number or one a class, in their class weights."""
    alpha, classes = rows.options.alpha, int(rows.x.shape[-1])
    if alpha is None:
        return rows
    xp = namespace(rows.x)
    if isinstance(alpha, (int, float)):  # made of the library's own, for graphs
        alpha = xp.full((classes,), float(alpha), dtype=rows.sum_dtype, device=getattr(rows.x, "device", None))
    alpha = as_real(like(rows.x, alpha, "alpha"), rows.sum_dtype, "alpha")
    if tuple(alpha.shape) not in ((), (classes,)):
        text = f"{function}: alpha has shape {tuple(alpha.shape)}, but input has {classes} classes"
        raise ShapeError(f"{text}: expected a number or ({classes},), one factor a class")
    if readable(alpha) and not _are_factors(values(alpha)):
        text = f"{function}: alpha holds a number that is negative or not finite"
        raise OptionError(f"{text}: expected factors of 0 or more, or None for none")
    alpha = xp.broadcast_to(alpha, (classes,))
    return rows._replace(weight=alpha if rows.weight is None else alpha * rows.weight)


def _are_factors(x: Array) -> bool:
    """Whether all numbers are 0 or more, and finite."""
    return bool(namespace(x).all((x >= 0) & (x < math.inf)))


def share_of_positives(function: str, alpha: Any) -> float | None:
    """The α of a binary focal loss as Python's number; None or a negative one is none, as in torchvision."""
    try:
        number = alpha if alpha is None or isinstance(alpha, (int, float)) else alpha.item()
        if number is None or -math.inf < number <= 1:
            return number
    except (TypeError, ValueError, AttributeError, RuntimeError):
        pass
    text = f"{function}: alpha={alpha!r}, expected a number from 0 to 1, the share of the positive class"
    raise OptionError(f"{text}; None or a negative number switches it off")


def as_real(x: Array, dtype: Any, name: str) -> Array:
    """Real numbers in the sums' dtype."""
    if dtype_name(x.dtype) not in (*FLOATS, *INTEGERS, "bool"):
        raise DtypeError(f"{name} has dtype {dtype_name(x.dtype)}, expected real numbers of at most 64 bits")
    return x if x.dtype == dtype else namespace(x).astype(x, dtype)


def sample_weights(function: str, x: Array, weight: Any, rows: tuple[int, ...], dtype: Any) -> Array:
    """The weights of the rows, shaped like them, or None; (N,) serves all positions of a sample."""
    if weight is None:
        return None
    xp = namespace(x)
    weight = as_real(like(x, weight, "sample_weight"), dtype, "sample_weight")
    if tuple(weight.shape) == rows[:1] and len(rows) > 1:
        weight = xp.broadcast_to(xp.reshape(weight, (-1, *(1 for _ in rows[1:]))), rows)
    if tuple(weight.shape) != rows:
        raise ShapeError(
            f"{function}: sample_weight has shape {tuple(weight.shape)}, expected {rows}: one for each row"
        )
    return weight


def _writable(x: Any) -> bool:
    """Whether a gradient can be written over x."""
    if is_torch(x):
        own = all(step != 0 or size <= 1 for step, size in zip(x.stride(), x.shape, strict=True))
        return own and not tracing(x) and x.is_floating_point()
    return isinstance(x, np.ndarray) and x.flags.writeable and dtype_name(x.dtype) in FLOATS


def check_inplace(function: str, x: Array, target: Any, options: Options) -> None:
    """`inplace=True` needs memory that can be written, and gives the gradient of input alone."""
    if not options.inplace:
        return
    if not _writable(x):
        text = f"{function}: inplace=True, but input ({type(x).__module__}.{type(x).__name__}) cannot be written into"
        raise OptionError(f"{text}: it must be a floating array that owns each of its elements; or use inplace=False")
    names = ("weight", "sample_weight", "denominator")
    for name, other in (("target", target), *((name, getattr(options, name)) for name in names)):
        if getattr(other, "requires_grad", False):
            text = f"{function}: inplace=True gives the gradient of input alone, but {name} requires grad"
            raise OptionError(f"{text}: use inplace=False")


def rows(function: str, input: Any, target: Any, options: Options, *, needs_target: bool = True) -> Rows:
    """The canonical rows of a loss with classes: everything about the call checked."""
    check_inplace(function, input, target, options)
    x = as_float_array(input, "input")
    axis = class_axis(function, x, options.axis)
    target = like(x, target, "target") if needs_target or target is not None else None
    return canonical(Call(function, x, target, options), x, target, axis, options)


def canonical(call: Call, x: Array, target: Array, axis: int, options: Options) -> Rows:
    """The canonical rows of logits x, or of a stand-in of their shape, dtype and device; see `rows`."""
    function, classes = call.function, x.shape[axis]
    if classes == 0:
        raise ShapeError(f"input has no classes on axis {axis} — in {call}")
    if options.top_k is not None and options.top_k > classes:
        raise OptionError(f"top_k={options.top_k}, but there are {classes} classes — in {call}")
    y, q = (None, None) if target is None else targets.split_target(call, x, target, axis)
    if q is not None and options.ignore_index >= 0:
        text = f"ignore_index={options.ignore_index} has no meaning for probability targets"
        raise OptionError(f"{text}: leave it out, and give ignored rows sample_weight 0 — in {call}")
    if options.check is not False:
        if target is not None:
            targets.check_structure(call, x, y, axis, options.axis)
        if q is not None:
            check_probabilities(call, q, x, axis)
        if call.function != "nll_loss":
            misuse.look(call, x, y, axis)
    known, ignored = (False, True) if y is None else targets.look_at_indices(call, y, classes, options.ignore_index)
    sum_dtype, dtype = result_dtype(x, options.dtype, loss=True)
    batch = (*x.shape[:axis], *x.shape[axis + 1 :])
    q = None if q is None else as_real(move_axis(q, axis, -1), sum_dtype, "target")
    return Rows(
        x=move_axis(x, axis, -1),
        y=y,
        q=q,
        live=None if y is None or not ignored else y != options.ignore_index,
        weight=class_weight(function, x, options.weight, classes, sum_dtype, looks=options.check is not False),
        sample_weight=sample_weights(function, x, options.sample_weight, batch, sum_dtype),
        where=class_mask(function, x, options.where, axis),
        options=unscaled(call, options),
        known=known,
        axis=axis,
        sum_dtype=sum_dtype,
        dtype=dtype,
    )


def unscaled(call: Call, options: Options) -> Options:
    """The same without a scale: c·tanh(s·x/c)/T is c′·tanh(x/c′)/T′ with c′ = c/s and T′ = T/s."""
    scale, cap = options.logit_scale, options.softcap
    if scale == 1:
        return options
    changed: dict[str, Any] = {
        "softcap": None if cap is None else cap / scale,
        "temperature": options.temperature / scale,
    }
    if not all(value is None or 0 < value < math.inf for value in changed.values()):
        text = f"logit_scale={scale} with softcap={cap} and temperature={options.temperature}"
        raise OptionError(f"{text} leaves the range of numbers — in {call}")
    return dataclasses.replace(options, logit_scale=1.0, **changed)


def check_probabilities(call: Call, q: Array, x: Array, axis: int) -> None:
    """See targets.check_probabilities, which has the messages; the kernels tell in one pass whether one is due."""
    if readable(q) and (is_numpy(q) or is_torch(q)):
        rows = move_axis(q.detach() if is_torch(q) else q, axis, -1)
        if cpu.are_distributions(rows, targets.SUM_TOLERANCE):
            return
    targets.check_probabilities(call, q, x, axis)


def binary(function: str, input: Any, target: Any, options: Options) -> Elements:
    """The canonical elements of a binary loss: everything about the call checked."""
    x = as_float_array(input, "input")
    target = like(x, target, "target")
    call = Call(function, x, target, options)
    if tuple(target.shape) != tuple(x.shape):
        raise ShapeError(f"{_binary_shape_message(tuple(x.shape), tuple(target.shape))} — in {call}")
    sum_dtype, dtype = result_dtype(x, options.dtype, loss=True)
    target = as_real(target, sum_dtype, "target")
    share = sample_weights(function, x, options.sample_weight, tuple(x.shape), sum_dtype)
    neutral = 0.5 if function == "binary_cross_entropy" else 0.0
    x, target, share = counted(x, target, options, share, neutral)
    if options.check is not False:
        check_unit_interval(call, "target", target, "labels are 0 or 1, or probabilities; rescale them")
        if function != "binary_cross_entropy":
            misuse.look_at_elements(call, x)
    weight = _broadcast(
        call, x, options.weight, "weight", sum_dtype, "one for each element, or a shape that broadcasts"
    )
    fix = "one for each output: for one output give the number n_negative / n_positive"
    pos_weight = _broadcast(call, x, options.pos_weight, "pos_weight", sum_dtype, fix)
    if pos_weight is not None and readable(pos_weight) and _any_negative(values(pos_weight)):
        raise OptionError(f"pos_weight is negative: expected n_negative / n_positive, as a positive number — in {call}")
    return Elements(x, target, weighed(weight, share), pos_weight, divided(options, share), dtype)


def _any_negative(x: Array) -> bool:
    """Whether a number is below 0."""
    return bool(namespace(x).any(x < 0))


def _binary_shape_message(shape: tuple[int, ...], target: tuple[int, ...]) -> str:
    """What was got and wanted in a binary loss: shapes are never broadcast against each other."""
    text = f"target has shape {target}, expected {shape}, the shape of input"
    if shape == (*target, 1):
        return f"{text}: use input.squeeze({len(shape) - 1}) or target[..., None]"
    if target == (*shape, 1):
        return f"{text}: use target.squeeze({len(target) - 1})"
    return f"{text}: a binary loss takes one target for each logit; for classes use cross_entropy"


def _broadcast(call: Call, x: Array, value: Any, name: str, dtype: Any, fix: str) -> Array:
    """A weight of a binary loss that broadcasts to x's shape, or None."""
    if value is None:
        return None
    value = as_real(like(x, value, name), dtype, name)
    try:
        namespace(x).broadcast_to(value, tuple(x.shape))
    except (RuntimeError, ValueError, TypeError):
        text = f"{name} has shape {tuple(value.shape)}, which does not broadcast to input {tuple(x.shape)}"
        raise ShapeError(f"{text}: {fix} — in {call}") from None
    return value


def check_unit_interval(call: Call, name: str, p: Array, fix: str) -> None:
    """Raise ProbabilityError where a number is outside 0 … 1; NaN passes and stays NaN."""
    if not readable(p) or math.prod(p.shape) == 0:
        return
    p = values(p)
    xp = namespace(p)
    wrong = xp.reshape((p < 0) | (p > 1), (-1,))
    if bool(xp.any(wrong)):
        value = float(xp.reshape(p, (-1,))[int(xp.argmax(xp.astype(wrong, xp.int8)))])
        hint = _label_hint(p, value) if name == "target" else ""
        raise ProbabilityError(f"{name} holds {value:g}, expected 0 … 1: {fix}{hint} — in {call}")


def _label_hint(p: Array, value: float) -> str:
    """The likeliest cause of a label outside 0 … 1 that is a whole number: it marks what has no label."""
    if not value.is_integer() or 0 < value != 255:
        return ""
    smallest = float(namespace(p).min(p))
    scaled = "for labels 0 and 255 use target / 255; " if value == 255 and smallest == 0 else ""
    return f"; {scaled}{targets.index_hint(int(value), 2, int(smallest))}"

"""The reference of the tests: softmax and the losses from their formulas, row after row, in extended precision.

It shares no code with crossent, and where it can it takes another road: masked classes are left out of the row instead
of set to −∞, ignored rows are skipped, and the gradient is summed over pairs of classes, so that nothing cancels:

    d loss/dz_i = w·p_i − q_i = p_i·Σ_{j≠i} q_j − q_i·Σ_{j≠i} p_j

Besides each value it gives a scale, the sum of the magnitudes that were added to make it (with |z| in it where z itself
had to be computed): rounding the sums may cost a few epsilons of that, and no more. `assert_close` states the bound.
"""

from __future__ import annotations

import itertools
from typing import Any, NamedTuple

import numpy as np

Real = np.longdouble

FRACTION_BITS = {"bfloat16": 7, "float16": 10, "float32": 23, "float64": 52}
SMALLEST_EXPONENT = {"bfloat16": -126, "float16": -14, "float32": -126, "float64": -1022}
LARGEST = {"bfloat16": 3.3895314e38, "float16": 65504.0, "float32": 3.4028235e38, "float64": 1.7976931348623157e308}
SUM_EPSILONS = 4.0  # what the sums inside may be off by, in epsilons of their dtype times the scale


class Result(NamedTuple):
    """A value and its derivative by the input, each with its scale."""

    value: np.ndarray
    gradient: np.ndarray
    value_scale: np.ndarray
    gradient_scale: np.ndarray


class Row(NamedTuple):
    """One row: loss and derivative, the normaliser, the probabilities; scales as in Result."""

    loss: Any
    gradient: np.ndarray
    lse: Any
    p: np.ndarray
    loss_scale: Any
    gradient_scale: np.ndarray
    lse_scale: Any
    p_scale: np.ndarray


# --- the bound ---


def ulp(value: np.ndarray, dtype: str) -> np.ndarray:
    """The distance of the numbers of a dtype around a value."""
    magnitude = np.abs(np.asarray(value, Real))
    exponent = np.floor(np.log2(np.where(magnitude > 0, magnitude, 1)))
    exponent = np.where(magnitude > 0, np.maximum(exponent, SMALLEST_EXPONENT[dtype]), SMALLEST_EXPONENT[dtype])
    return np.ldexp(Real(1), (exponent - FRACTION_BITS[dtype]).astype(int))


def sum_dtype(*dtypes: str) -> str:
    """The dtype of the sums: float32 or wider."""
    return "float64" if "float64" in dtypes else "float32"


def assert_close(ours, reference, scale, dtype: str, *, torch_result=None, sums: str | None = None) -> None:
    """No further from the reference than torch's result, plus one ulp of the dtype, plus the rounding of the sums.

    Infinities and NaN must be the reference's own; what exceeds the dtype's range is infinite.
    """
    ours, reference, scale = (np.asarray(part, Real) for part in (ours, reference, scale))
    assert ours.shape == reference.shape, f"shape {ours.shape}, expected {reference.shape}"
    edge = LARGEST[dtype] * (1 + Real(2) ** -(FRACTION_BITS[dtype] + 2))
    reference = np.where(np.abs(reference) > edge, np.copysign(Real(np.inf), reference), reference)
    finite = np.isfinite(reference)
    np.testing.assert_array_equal(np.where(finite, 0, ours), np.where(finite, 0, reference))
    safe = np.where(finite, reference, 0)
    epsilon = Real(2) ** -FRACTION_BITS[sums or sum_dtype(dtype)]
    bound = ulp(safe, dtype) + SUM_EPSILONS * epsilon * np.where(finite, scale, 0)
    if torch_result is not None:
        torch_error = np.abs(np.where(finite, np.asarray(torch_result, Real), 0) - safe)
        bound = bound + np.where(np.isfinite(torch_error), torch_error, 0)
    error = np.abs(np.where(finite, ours, 0) - safe)
    wrong = ~(error <= bound)
    if wrong.any():
        place = tuple(int(i[0]) for i in np.nonzero(np.atleast_1d(wrong)))
        got, wanted, allowed = (
            np.atleast_1d(part)[place] for part in (ours, reference, np.broadcast_to(bound, wrong.shape))
        )
        raise AssertionError(f"{dtype} at {place}: {got}, expected {wanted} ± {allowed}; {int(wrong.sum())} are off")


# --- one row ---


def others(v: np.ndarray) -> np.ndarray:
    """For each entry the sum of all the others; summed without it, so that nothing cancels (long rows: subtracted)."""
    if v.size > 256:
        return v.sum() - v
    return np.where(np.eye(v.size, dtype=bool), 0, v[None, :]).sum(axis=1)


def select(q: np.ndarray, x: np.ndarray) -> np.ndarray:
    """q·x, and 0 wherever q is 0."""
    return np.multiply(q, x, out=np.zeros(np.shape(q), Real), where=np.asarray(q) != 0)


def softmax_row(z: np.ndarray) -> tuple[np.ndarray, Any, Any]:
    """(p, log Σ exp(z − m), m) of a row of finite logits and −∞."""
    m = z.max()
    e = np.exp(z - m)
    top = int(z.argmax())
    return e / e.sum(), np.log1p(np.delete(e, top).sum()), m


def row(z: np.ndarray, q: np.ndarray, own_error: Any = 0) -> Row:
    """A row of logits with target q; `own_error` is what the logits themselves are off by, in epsilons."""
    z, q = np.asarray(z, Real), np.asarray(q, Real)
    nan = Real(np.nan)
    everything_nan = np.full(z.shape, nan)
    if z.size == 0 or np.isnan(z).any() or z.max() in (np.inf, -np.inf):
        lse = nan if np.isnan(z).any() else (z.max() if z.size else Real(-np.inf))
        return Row(nan, everything_nan, lse, everything_nan, nan, everything_nan, nan, everything_nan)
    p, length, m = softmax_row(z)
    d = z - m
    distance = np.where(p > 0, 1 + np.abs(np.where(p > 0, d, 0)) + own_error, 0)
    gradient = p * others(q) - q * others(p)
    gradient_scale = p * distance * others(np.abs(q)) + np.abs(q) * others(p * distance)
    with np.errstate(invalid="ignore"):  # the cotangents of softmax have both signs, also where d is −∞
        loss = q.sum() * length - select(q, d).sum()
    length_scale = (
        length + others(p * distance)[int(z.argmax())]
    )  # exp(d) is off by |d| epsilons where d is by half a one
    loss_scale = np.abs(q).sum() * (length_scale + 2 * own_error) + np.abs(select(q, d)).sum()
    p_scale = p * (distance + (p * distance).sum())
    return Row(loss, gradient, m + length, p, loss_scale, gradient_scale, np.abs(m) + length_scale + own_error, p_scale)


# --- arrays of rows ---


def to_rows(x: np.ndarray, axis: int) -> np.ndarray:
    """(…, C, …) as (rows, C)."""
    x = np.moveaxis(np.asarray(x), axis, -1)
    return x.reshape(-1, x.shape[-1])


def from_rows(rows: np.ndarray, shape: tuple[int, ...], axis: int) -> np.ndarray:
    """(rows, C) in the layout of an array of this shape."""
    batch = (*shape[:axis], *shape[axis + 1 :])
    return np.moveaxis(np.reshape(rows, (*batch, shape[axis])), -1, axis)


def per_row(x, axis: int, function) -> list[np.ndarray]:
    """The arrays that `function` gives for every row, in x's layout (or without its axis)."""
    x = np.asarray(x, Real)
    axis %= x.ndim
    batch = (*x.shape[:axis], *x.shape[axis + 1 :])
    results = [function(i, z) for i, z in enumerate(to_rows(x, axis))]
    parts = zip(*results, strict=True)
    return [
        from_rows(np.array(part), x.shape, axis) if np.ndim(part[0]) else np.reshape(np.array(part), batch)
        for part in parts
    ]


def softmax(x, axis: int = -1, cotangent=None, *, log: bool = False, temperature: float = 1.0, where=None) -> Result:
    """softmax or log_softmax, and the derivative of their product with a cotangent."""
    x = np.asarray(x, Real)
    g_rows = to_rows(np.ones(x.shape) if cotangent is None else cotangent, axis).astype(Real)
    masks = None if where is None else to_rows(np.broadcast_to(where, x.shape), axis)

    def one(i: int, raw: np.ndarray) -> tuple[np.ndarray, ...]:
        keep = np.ones(raw.size, bool) if masks is None else masks[i]
        z, g = raw[keep] / Real(temperature), g_rows[i][keep]
        r = row(z, -g, 0 if temperature == 1 else np.abs(z[np.isfinite(z)]).max(initial=0))
        if log:
            d = z - z.max(initial=-np.inf)
            value = d - (r.lse - z.max(initial=-np.inf)) if np.isfinite(r.lse) else r.p
            parts = [value, r.gradient, np.abs(np.where(np.isfinite(d), d, 0)) + r.lse_scale, r.gradient_scale]
        else:
            inner = np.array([select(r.p, g_i - g).sum() for g_i in g])
            scale = r.p_scale * (np.abs(g) + (np.abs(g) * r.p_scale).sum())
            parts = [r.p, r.p * inner, r.p_scale, scale]
        parts[1:] = [parts[1] / temperature, parts[2], parts[3] / temperature]
        absent = -np.inf if log else 0.0
        return tuple(spread(part, keep, absent if k == 0 else 0.0) for k, part in enumerate(parts))

    value, gradient, value_scale, gradient_scale = per_row(x, axis, one)
    return Result(value, gradient, value_scale, gradient_scale)


def spread(part: np.ndarray, keep: np.ndarray, absent: float) -> np.ndarray:
    """The entries of the kept classes among all classes."""
    out = np.full(keep.shape, Real(absent))
    out[keep] = part
    return out


def logsumexp(x, axis: int = -1, cotangent=None, where=None) -> Result:
    """log Σ exp(x), and the derivative of its product with a cotangent (one for each row)."""
    x = np.asarray(x, Real)
    g = np.ones(np.delete(x.shape, axis % x.ndim)) if cotangent is None else np.asarray(cotangent)
    masks = np.ones(x.shape, bool) if where is None else np.broadcast_to(where, x.shape)
    masks = to_rows(masks, axis)

    def one(i: int, raw: np.ndarray) -> tuple[Any, ...]:
        r = row(raw[masks[i]], np.zeros(int(masks[i].sum())))
        g_i = np.reshape(g, -1)[i]
        gradient, scale = (spread(part * g_i, masks[i], 0.0) for part in (r.p, r.p_scale))
        return r.lse, gradient, r.lse_scale, np.abs(scale)

    return Result(*per_row(x, axis, one))


# --- the losses ---


def class_masks(where, shape: tuple[int, ...], axis: int) -> np.ndarray:
    """The mask of each row (rows, classes): all classes, one mask for every row, or what broadcasts to the input."""
    classes, batch = shape[axis], (*shape[:axis], *shape[axis + 1 :])
    masks = np.ones(shape, bool) if where is None else np.asarray(where)
    if where is not None and masks.shape == (classes,):
        masks = np.moveaxis(np.broadcast_to(masks, (*batch, classes)), -1, axis)
    return to_rows(np.broadcast_to(masks, shape), axis)


def row_weights(sample_weight, batch: tuple[int, ...]) -> np.ndarray:
    """The weight of each row, flat; (N,) serves every position of a sample."""
    sample = np.ones(batch, Real) if sample_weight is None else np.asarray(sample_weight, Real)
    if sample.shape != batch:
        sample = np.broadcast_to(sample.reshape(-1, *(1 for _ in batch[1:])), batch)
    return np.reshape(sample, -1)


def reduced(values, slopes, divisors, nothing, cotangent, *, z_loss: bool) -> Result:
    """The sum or mean of the rows' losses and of their z-losses, each over its own divisor, and the gradient."""
    loss, loss_scale, extra, extra_scale = (part.sum() for part in values)
    one, two = divisors
    value = loss / one if one else nothing
    if z_loss:
        value = value + (extra / two if two else nothing)
    by_one, by_two = (1 / d if d else Real(0) for d in divisors)
    upstream = Real(1) if cotangent is None else Real(cotangent)
    slope = (slopes[0] * by_one + slopes[2] * by_two) * upstream
    slope_scale = (slopes[1] * np.abs(by_one) + slopes[3] * np.abs(by_two)) * np.abs(upstream)
    value_scale = np.abs(by_one) * loss_scale + np.abs(by_two) * extra_scale
    return Result(np.asarray(value), slope, np.asarray(value_scale), slope_scale)


def target_row(i: int, indices, q_rows, weights: np.ndarray, factor: Any, smoothing: float, keep: np.ndarray):
    """q of row i over the classes that exist: one-hot or given, smoothed, then weighted."""
    q = np.zeros(keep.shape, Real)
    if indices is not None:
        q[indices[i]] = 1
    else:
        q = q_rows[i]
    q = (1 - Real(smoothing)) * q + Real(smoothing) / keep.sum() * keep
    return (q * weights * factor)[keep]


def capped_row(z: np.ndarray, softcap: float | None, temperature: float) -> tuple[np.ndarray, np.ndarray]:
    """The logits of a row, soft-capped and divided by the temperature, and their derivative by what they were."""
    capped = z if softcap is None else softcap * np.tanh(z / Real(softcap))
    slope = np.ones(z.shape, Real) if softcap is None else 1 / np.cosh(z / Real(softcap)) ** 2
    return capped / Real(temperature), slope / Real(temperature)


def z_loss_row(r: Row, factor: Any, slope: np.ndarray, rough: Any) -> tuple[Any, ...]:
    """factor·lse² of a row, its scale, its derivative by the input and that one's scale."""
    p_scale = r.p_scale * slope + rough * r.p
    value, value_scale = factor * r.lse**2, factor * 2 * np.abs(r.lse) * r.lse_scale
    return value, value_scale, 2 * factor * r.lse * r.p * slope, 2 * factor * r.lse_scale * p_scale


def each_row(values, slopes, batch: tuple[int, ...], axis: int, cotangent) -> Result:
    """The losses of the rows as they are, with a cotangent of each."""
    (loss, loss_scale, extra, extra_scale), g = values, np.ones(batch) if cotangent is None else np.asarray(cotangent)
    g = np.expand_dims(g.astype(Real), axis)
    value, value_scale = (np.reshape(part, batch) for part in (loss + extra, loss_scale + extra_scale))
    return Result(value, (slopes[0] + slopes[2]) * g, value_scale, (slopes[1] + slopes[3]) * np.abs(g))


def cross_entropy(
    x,
    target,
    weight=None,
    *,
    ignore_index: int = -100,
    reduction: str = "mean",
    label_smoothing: float = 0.0,
    axis: int | None = None,
    where=None,
    sample_weight=None,
    z_loss: float = 0.0,
    softcap: float | None = None,
    temperature: float = 1.0,
    denominator: float | None = None,
    on_empty: str = "nan",
    cotangent=None,
    log_probs: bool = False,
    logit_error=None,
) -> Result:
    """Cross-entropy with every option (nll_loss with `log_probs`), row after row.

    `logit_error` is what each row's logits are off by, in epsilons, where they had to be computed.
    """
    x, target = np.asarray(x, Real), np.asarray(target)
    axis = (min(1, x.ndim - 1) if axis is None else axis) % x.ndim
    batch = (*x.shape[:axis], *x.shape[axis + 1 :])
    classes = x.shape[axis]
    indices = np.reshape(target, -1) if target.shape == batch else None
    q_rows = None if indices is not None else to_rows(target, axis).astype(Real)
    masks = class_masks(where, x.shape, axis)
    weights = np.ones(classes, Real) if weight is None else np.asarray(weight, Real)
    sample = row_weights(sample_weight, batch)

    rows = to_rows(x, axis)
    loss, extra, loss_scale, extra_scale = (np.zeros(len(rows), Real) for _ in range(4))
    gradient, gradient_scale, extra_gradient, extra_gradient_scale = (np.zeros(rows.shape, Real) for _ in range(4))
    divisor, counted = Real(0), Real(0)
    for i, raw in enumerate(rows):
        if indices is not None and indices[i] == ignore_index:
            continue
        counted += sample[i]
        divisor += sample[i] * (weights[indices[i]] if indices is not None else 1)
        if sample[i] == 0:
            continue
        keep = masks[i]
        q = target_row(i, indices, q_rows, weights, sample[i], label_smoothing, keep)
        z, slope = capped_row(raw[keep], softcap, temperature)
        if log_probs:
            loss[i], loss_scale[i] = -select(q, z).sum(), np.abs(select(q, z)).sum()
            gradient[i], gradient_scale[i] = spread(-q, keep, 0), spread(np.abs(q), keep, 0)
            continue
        off = 0 if logit_error is None else np.reshape(logit_error, -1)[i] / Real(temperature)
        changed = softcap is not None or temperature != 1
        r = row(z, q, off + (np.abs(z[np.isfinite(z)]).max(initial=0) if changed else 0))
        loss[i], loss_scale[i] = r.loss, r.loss_scale
        gradient[i] = spread(r.gradient * slope, keep, 0)
        rough = (softcap is not None) / Real(temperature)  # the slope of the cap is rounded too
        gradient_scale[i] = spread(r.gradient_scale * slope + rough * np.abs(r.gradient), keep, 0)
        if z_loss:
            parts = z_loss_row(r, z_loss * sample[i], slope, rough)
            extra[i], extra_scale[i] = parts[:2]
            extra_gradient[i], extra_gradient_scale[i] = (spread(part, keep, 0) for part in parts[2:])
    gradients = (gradient, gradient_scale, extra_gradient, extra_gradient_scale)
    slopes, values = [from_rows(g, x.shape, axis) for g in gradients], (loss, loss_scale, extra, extra_scale)
    if reduction == "none":
        return each_row(values, slopes, batch, axis, cotangent)
    divisors = (divisor, counted) if denominator is None else (Real(denominator), Real(denominator))
    divisors = divisors if reduction == "mean" else (Real(1), Real(1))
    nothing = Real(0.0 if on_empty == "zero" else np.nan)
    return reduced(values, slopes, divisors, nothing, cotangent, z_loss=bool(z_loss))


class LinearResult(NamedTuple):
    """The value of a linear loss and its derivatives by (x, W, b), each with its scale."""

    value: np.ndarray
    gradients: tuple[np.ndarray, ...]
    value_scale: np.ndarray
    gradient_scales: tuple[np.ndarray, ...]


def linear_cross_entropy(x, linear_weight, target, linear_bias=None, shift: int = 0, **options) -> LinearResult:
    """The cross-entropy of x·Wᵀ + b, all logits formed; the features of rows that do not count are left out."""
    x, w = np.asarray(x, Real), np.asarray(linear_weight, Real)
    target = np.asarray(target)
    index = target.ndim < x.ndim
    if shift:
        whole, batch = x, x.shape[:-1]
        x = x[..., :-shift, :]
        target = target[..., shift:] if index else target[..., shift:, :]
        if np.shape(options.get("sample_weight")) == batch:
            options["sample_weight"] = options["sample_weight"][..., shift:]
        if np.ndim(options.get("where")) == whole.ndim:
            options["where"] = options["where"][..., shift:, :]
    counts = np.ones(x.shape[:-1], bool)
    if index:
        counts = target != options.get("ignore_index", -100)
    sample = np.reshape(row_weights(options.get("sample_weight"), x.shape[:-1]), x.shape[:-1])
    x = np.where((counts & (sample != 0))[..., None], x, 0)
    b = np.zeros(len(w), Real) if linear_bias is None else np.asarray(linear_bias, Real)
    with np.errstate(invalid="ignore"):
        error = (np.abs(x) @ np.abs(w).T + np.where(np.isfinite(b), np.abs(b), 0)).max(-1)
    r = cross_entropy(x @ w.T + b, target, axis=-1, logit_error=error, **options)
    g, scale = (np.reshape(part, (-1, len(w))) for part in (r.gradient, r.gradient_scale))
    scale, rows = scale + np.abs(g), np.reshape(x, (-1, x.shape[-1]))
    by_x, x_scale = (np.reshape(part, x.shape) for part in (g @ w, scale @ np.abs(w)))
    if shift:
        pad = [(0, 0)] * (x.ndim - 2) + [(0, shift), (0, 0)]
        by_x, x_scale = np.pad(by_x, pad), np.pad(x_scale, pad)
    gradients = (by_x, g.T @ rows, g.sum(0))
    return LinearResult(r.value, gradients, r.value_scale, (x_scale, scale.T @ np.abs(rows), scale.sum(0)))


def row_stats(x, axis: int | None = None) -> dict[str, tuple[np.ndarray, np.ndarray]]:
    """lse, entropy, prediction and confidence of each row, with their scales."""
    x = np.asarray(x, Real)
    axis = (min(1, x.ndim - 1) if axis is None else axis) % x.ndim

    def one(_: int, z: np.ndarray) -> tuple[Any, ...]:
        r = row(z, np.zeros(z.size))
        d = z - z.max()
        entropy = (r.lse - z.max()) - select(r.p, d).sum() if np.isfinite(r.lse) else Real(np.nan)
        entropy_scale = (r.lse - z.max()) + np.abs(select(r.p_scale, d)).sum()
        p_max, p_scale = (r.p.max(), r.p_scale.max()) if np.isfinite(r.lse) else (Real(np.nan), Real(np.nan))
        return r.lse, r.lse_scale, entropy, entropy_scale, p_max, p_scale, int(z.argmax())

    parts = per_row(x, axis, one)
    names = ("lse", "entropy", "confidence")
    pairs = {name: (parts[2 * k], parts[2 * k + 1]) for k, name in enumerate(names)}
    return {**pairs, "prediction": (parts[6], parts[6])}


def softplus(x: np.ndarray) -> np.ndarray:
    """log(1 + exp(x)), with the exact limits at ±∞."""
    return np.maximum(x, 0) + np.log1p(np.exp(-np.abs(x)))


def binary(
    x,
    target,
    weight=None,
    *,
    pos_weight=None,
    reduction: str = "mean",
    label_smoothing: float = 0.0,
    softcap: float | None = None,
    temperature: float = 1.0,
    denominator: float | None = None,
    on_empty: str = "nan",
    cotangent=None,
    probabilities: bool = False,
) -> Result:
    """Binary cross-entropy of logits, or of probabilities with each logarithm held above −100."""
    x, y = np.asarray(x, Real), np.asarray(target, Real)
    y = (1 - Real(label_smoothing)) * y + Real(label_smoothing) / 2
    w = np.broadcast_to(Real(1) if weight is None else np.asarray(weight, Real), x.shape)
    up = w * y * (Real(1) if pos_weight is None else np.asarray(pos_weight, Real))
    down = w * (1 - y)
    with np.errstate(all="ignore"):
        if probabilities:
            logs = np.maximum(np.log(x), -100), np.maximum(np.log1p(-x), -100)
            loss = -select(up, logs[0]) - select(down, logs[1])
            steep = [
                np.where(p > np.exp(Real(-100)), 1 / p, Real(1e12)) for p in (x, 1 - x)
            ]  # torch's, where it is held
            gradient = down * steep[1] - up * steep[0]
            scale, gradient_scale = np.abs(loss), np.abs(up) * steep[0] + np.abs(down) * steep[1]
        else:
            z = x if softcap is None else softcap * np.tanh(x / Real(softcap))
            slope = (1 if softcap is None else 1 / np.cosh(x / Real(softcap)) ** 2) / Real(temperature)
            z = z / Real(temperature)
            loss = select(up, softplus(-z)) + select(down, softplus(z))
            own = 1 + np.abs(np.where(np.isfinite(z), z, 0))
            plus, minus = 1 / (1 + np.exp(-z)), 1 / (1 + np.exp(z))
            gradient = (down * plus - up * minus) * slope
            scale = np.abs(loss) + (0 if softcap is None and temperature == 1 else (np.abs(up) + np.abs(down)) * own)
            gradient_scale = (
                (np.abs(down) * plus + np.abs(up) * minus) * own * (slope if softcap is None else 1 / temperature)
            )
    if reduction == "none":
        g = np.ones(x.shape) if cotangent is None else np.asarray(cotangent)
        return Result(loss, gradient * g, scale, gradient_scale * np.abs(g))
    divisor = Real(1)
    if reduction == "mean":
        divisor = Real(x.size if denominator is None else denominator)
    value = loss.sum() / divisor if divisor else Real(0.0 if on_empty == "zero" else np.nan)
    factor = (1 / divisor if divisor else Real(0)) * (1 if cotangent is None else Real(cotangent))
    return Result(np.asarray(value), gradient * factor, scale.sum() * np.abs(factor), gradient_scale * np.abs(factor))


# --- all pairs of options ---


def pairwise(factors: dict[str, list[Any]]) -> list[dict[str, Any]]:
    """A short list of cases in which any two values of any two factors occur together (greedy, deterministic)."""
    names = list(factors)
    levels = {name: range(len(factors[name])) for name in names}
    missing = {((a, i), (b, j)) for a, b in itertools.combinations(names, 2) for i in levels[a] for j in levels[b]}
    cases = []
    while missing:
        first = min(
            missing, key=lambda pair: (names.index(pair[0][0]), names.index(pair[1][0]), pair[0][1], pair[1][1])
        )
        chosen = dict(first)
        for name in names:
            if name not in chosen:
                chosen[name] = max(
                    levels[name], key=lambda level, name=name: _covers(missing, names, chosen, name, level)
                )
        cases.append(chosen)
        missing -= {pair for pair in missing if all(chosen[name] == level for name, level in pair)}
    return [{name: factors[name][case[name]] for name in names} for case in cases]


def _covers(missing: set, names: list[str], chosen: dict[str, int], name: str, level: int) -> tuple[int, int]:
    """How many missing pairs a value of one factor would add to a case; ties rotate over the values."""
    pairs = (
        tuple(sorted([(other, chosen[other]), (name, level)], key=lambda part: names.index(part[0])))
        for other in chosen
    )
    return sum(pair in missing for pair in pairs), -((level + len(missing)) % 7)

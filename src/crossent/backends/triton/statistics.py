"""Statistics of rows in the kernels: (m, r, t, rest, own), from a block at once, lane by lane, or merged.

`rest` and `own` are the two parts of w = Σ q: the classes below the maximum, and the maximum. Where q is dense they and
t are summed with r; a class index needs none of that, its q is one number. A class index that is smoothed evenly over
all classes (EVEN) needs one sum more, Σ (z − m): t has it, and `rest` the number of classes, until `with_class`.
"""

import triton
import triton.language as tl

from .blocks import distance, divide, is_narrow, log1p, logits, lowest, number, power, rounded, target_block


@triton.jit
def of_block(z, q, inside, temperature, DENSE: tl.constexpr, EVEN: tl.constexpr, NARROW: tl.constexpr):
    """The statistics of a whole row of logits z, and of its targets q where they are dense; and exp(z − m)."""
    low = lowest(z.dtype)
    m = tl.max(tl.where(z > low, z, low), 0)
    top = z == m
    e = power(z, m, temperature, NARROW)
    r = tl.sum(tl.where(top, 0.0, e), 0) + (tl.sum(tl.where(top, 1, 0), 0) - 1)
    t, rest, own = m * 0, m * 0, m * 0
    if DENSE:
        t = tl.sum(tl.where((q != 0) & (z != m), q * distance(z, m, temperature), 0.0), 0)
        rest = tl.sum(tl.where(top, 0.0, q), 0)
        own = tl.sum(tl.where(top, q, 0.0), 0)
    if EVEN:
        t = tl.sum(tl.where(inside & (z != m), distance(z, m, temperature), 0.0), 0)
    return m, r, t, rest, own, e


@triton.jit
def raised(m, z):
    """(new maximum, whether it rose, where it stands) for lanes m and their logits z (lane, …)."""
    peak = tl.max(z, 1)
    up = peak > m
    new = tl.where(up, peak, m)
    return new, up, z == new[:, None]


@triton.jit
def absorb(
    m, r, t, rest, own, z, q, inside, temperature, DENSE: tl.constexpr, EVEN: tl.constexpr, NARROW: tl.constexpr
):
    """A few more logits and targets in each lane: `merge`, at one exponential a logit and one a lane."""
    new, up, top = raised(m, z)
    ties = tl.sum(tl.where(top, 1.0, 0.0), 1).to(r.dtype)
    r = tl.where(up, (ties - 1) + (1 + r) * power(m, new, temperature, NARROW), ties + r)
    r += tl.sum(tl.where(top, 0.0, power(z, new[:, None], temperature, NARROW)), 1)
    if DENSE:
        w, step = rest + own, tl.where(up, distance(m, new, temperature), 0.0)
        d = tl.where(top, 0.0, distance(z, new[:, None], temperature))
        t = t + tl.where(w != 0, w * step, 0.0) + tl.sum(tl.where(q != 0, q * d, 0.0), 1)
        rest = tl.where(up, w, rest) + tl.sum(tl.where(top, 0.0, q), 1)
        own = tl.where(up, 0.0, own) + tl.sum(tl.where(top, q, 0.0), 1)
    if EVEN:
        t = t + tl.where(up & (rest != 0), rest * distance(m, new, temperature), 0.0)
        t += tl.sum(tl.where(top | (inside == 0), 0.0, distance(z, new[:, None], temperature)), 1)
        rest += tl.sum(tl.where(inside, 1.0, 0.0), 1).to(rest.dtype)
    return new, r, t, rest, own


@triton.jit
def fold(m, r, t, rest, own, temperature, SUMMED: tl.constexpr, LANES: tl.constexpr):
    """The merge of all lanes, or parts: the first with the highest m keeps its r, the others add their mass.

    SUMMED: t, rest and own are there too, of dense targets or of an even smoothing.
    """
    lane = tl.arange(0, LANES)
    top = tl.max(m, 0)
    high = lane == tl.min(tl.where(m == top, lane, LANES), 0)
    step = tl.where(m == top, 0.0, distance(m, top, temperature))
    r_row = tl.sum(tl.where(high, r, (1 + r) * tl.where(m == top, 1.0, power(m, top, temperature, False))), 0)
    t_row, rest_row, own_row = top * 0, top * 0, top * 0
    if SUMMED:
        w = rest + own
        t_row = tl.sum(t + tl.where(w != 0, w * step, 0.0), 0)
        rest_row = tl.sum(tl.where(high, rest, w), 0)
        own_row = tl.sum(tl.where(high, own, 0.0), 0)
    return top, r_row, t_row, rest_row, own_row


@triton.jit
def tile(first, LANES: tl.constexpr, EACH: tl.constexpr):
    """Columns of a block as (lane, …): what a lane has stands together, as many as 128 bits hold, in one thread."""
    return first + tl.arange(0, LANES)[:, None] * EACH + tl.arange(0, EACH)[None, :]


@triton.jit
def sweep(
    x_row, q_row, where_row, weight, label, factor, even, begin, end, smoothing, softcap, temperature,
    DENSE: tl.constexpr, EVEN: tl.constexpr, BLOCK: tl.constexpr, WIDE: tl.constexpr,
):  # fmt: skip
    """The statistics of the columns begin … end of a row, in one read of x (and of q, where dense).

    Each lane keeps its own running statistics: there is no exchange between threads until the end.
    """
    EACH: tl.constexpr = 128 // x_row.dtype.element_ty.primitive_bitwidth
    LANES: tl.constexpr = BLOCK // EACH
    NARROW: tl.constexpr = is_narrow(x_row, softcap, temperature)
    m = tl.zeros([LANES], WIDE) + lowest(WIDE)
    r = tl.zeros([LANES], WIDE) - 1
    t, rest, own = tl.zeros([LANES], WIDE), tl.zeros([LANES], WIDE), tl.zeros([LANES], WIDE)
    for first in range(begin, end, BLOCK):
        cols = tile(first, LANES, EACH)
        inside = cols < end
        _, z, exists = logits(x_row, where_row, cols, inside, softcap, WIDE)
        q = z
        if DENSE:
            q = target_block(cols, inside, exists, label, factor, even, q_row, weight, smoothing, WIDE)
        m, r, t, rest, own = absorb(m, r, t, rest, own, z, q, inside, temperature, DENSE, EVEN, NARROW)
    return fold(m, r, t, rest, own, temperature, DENSE or EVEN, LANES)


@triton.jit
def with_class(m, z, hit, sums, even, classes, temperature, EVEN: tl.constexpr):
    """(t, rest, own) of a row whose target is a class with logit z and weight `hit`, and `even` for each class.

    `sums` is Σ (z − m) over all classes.
    """
    at_top = z == m
    t = tl.where(hit != 0, hit * tl.where(at_top, 0.0, distance(z, m, temperature)), 0.0)
    rest, own = tl.where(at_top, 0.0, hit), tl.where(at_top, hit, 0.0)
    if EVEN:
        t, rest, own = t + even * sums, rest + even * (classes - 1), own + even
    return t, rest, own


@triton.jit
def sound(m, r):
    """r, or NaN where the row has no softmax: +∞ in it, or no finite logit."""
    return tl.where((m == float("inf")) | (r == -1), float("nan"), r)


@triton.jit
def log_sum(m, r, temperature):
    """m/temperature + log1p(r) = log Σ exp(z/temperature); −∞ of no logits."""
    return tl.where(r == -1, -float("inf"), distance(m, 0.0, temperature) + log1p(r))


@triton.jit
def write_losses(row, m, r, t, w, factor, dead, loss, square, square_scale, temperature, SQUARE: tl.constexpr):
    """w·log1p(r) − t of a row, and factor·lse²: apart, or without `square` added square_scale times; 0 where dead."""
    value = w * log1p(sound(m, r)) - t
    if SQUARE:
        lse = log_sum(m, r, temperature)
        if square is not None:
            tl.store(square + row, tl.where(dead, 0.0, lse * lse * factor))
        else:
            value += number(square_scale, r.dtype) * (lse * lse * factor)
    tl.store(loss + row, rounded(tl.where(dead, 0.0, value), loss))


@triton.jit
def inverse(divisor):
    """1/divisor, 0 for 0."""
    return tl.where(divisor == 0, 0.0, divide(divisor * 0 + 1, tl.where(divisor == 0, 1.0, divisor)))


@triton.jit
def divisors(divisor, PARTS: tl.constexpr, WIDE: tl.constexpr):
    """The divisors of the mean loss and of the mean lse²: sums in parts, those of the second behind those of the first.

    PARTS = 0: one number for both, the caller's denominator.
    """
    if PARTS == 0:
        own = tl.load(divisor).to(WIDE)
        count = own
    else:
        part = tl.arange(0, PARTS)
        own = tl.sum(tl.load(divisor + part), 0)
        count = tl.sum(tl.load(divisor + PARTS + part), 0)
    return own, count


@triton.jit
def slopes(
    row, m, r, factor, along, g_stride, g_square_stride, scale, square_scale, temperature,
    PARTS: tl.constexpr, WIDE: tl.constexpr,
):  # fmt: skip
    """What the block of a gradient is multiplied by: (cotangent of the loss, cotangent of lse² · d lse²/d lse).

    A cotangent is a number times, where there is one, the row's element of a tensor on the device, over the divisor.
    """
    g, g_square, divisor = along
    of_loss = number(scale, WIDE)
    of_square = number(square_scale, WIDE)
    if g is not None:
        of_loss *= tl.load(g + row * g_stride).to(WIDE)
    if g_square is not None:
        of_square *= tl.load(g_square + row * g_square_stride).to(WIDE)
    if divisor is not None:
        own, count = divisors(divisor, PARTS, WIDE)
        of_loss *= inverse(own)
        of_square *= inverse(count)
    return of_loss, of_square * (2 * factor) * log_sum(m, r, temperature)


@triton.jit
def softmax_factor(m, r, w, along, along_lse, SQUARE: tl.constexpr):
    """What exp(z − m) is multiplied by in the gradient of classes without a target."""
    total = 1 + sound(m, r)
    result = along * divide(w, total)
    if SQUARE:
        result += divide(along_lse, total)
    return result


@triton.jit
def gradient_block(e, q, m, r, rest, own, along, along_lse, SQUARE: tl.constexpr):
    """along·(w·softmax(z) − q) + along_lse·softmax(z) from e = exp(z − m), with relative accuracy at the maximum too.

    Below r = 1 the maximum is the one element with e = 1.
    """
    total = 1 + sound(m, r)
    k = divide(rest + own, total)
    small = tl.abs(rest) + tl.abs(k) * r < tl.abs(own) + tl.abs(k)
    at_top = tl.where(small, rest - k * r, k - own)
    result = along * tl.where(e == tl.where(r < 1, 1.0, -1.0), at_top, k * e - q)
    if SQUARE:
        result += divide(along_lse, total) * e
    return result

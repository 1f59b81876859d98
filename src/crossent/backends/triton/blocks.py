"""What the kernels are made of: logits, targets, statistics and gradient of a block of a row's classes.

The names are those of `crossent._definition`, and so is the mathematics, with two shortcuts that keep the blocks free
of special cases. The identity of the maximum is the lowest finite number instead of −∞, so that no ∞ − ∞ occurs and a
row without a finite logit is one with r = −1. And an element counts as the maximum where it equals m: among several
such r is at least 1, and the accurate form of the gradient is taken only below that.
"""

import triton
import triton.language as tl


@triton.jit
def number(bits, WIDE: tl.constexpr):
    """A floating number of a call. It comes as the bits of a float64: Triton hands over float arguments in float32."""
    return tl.cast(tl.cast(bits, tl.int64), tl.float64, bitcast=True).to(WIDE)


@triton.jit
def lowest(WIDE: tl.constexpr):
    """The lowest finite number of a dtype: the maximum of no logits."""
    LOWEST: tl.constexpr = -1.7976931348623157e308 if tl.float64 == WIDE else -3.4028234663852886e38
    return tl.full([], LOWEST, WIDE)


@triton.jit
def divide(a, b):
    """a/b, rounded correctly in float32 too."""
    return tl.div_rn(a, b) if a.dtype == tl.float32 else a / b


@triton.jit
def rounded(value, pointer):
    """A value in the dtype behind a pointer; float64 goes to 16 bits by way of float32, as the hardware has it."""
    if value.dtype == tl.float64 and pointer.dtype.element_ty != tl.float64:
        value = value.to(tl.float32)
    return value.to(pointer.dtype.element_ty)


@triton.jit
def quick_exp(d):
    """exp d by exp2, which takes one instruction: below 2⁻¹²⁶ it is 0. Its error grows with |d|."""
    return tl.exp2(d * 1.4426950408889634)


@triton.jit
def exp_of_sum(d, more):
    """exp(d + more), d ≤ 100 and `more` small: by Cody and Waite's two parts of log 2, as good at −80 as at 0."""
    if d.dtype == tl.float64:
        return tl.exp(d) * (1 + more)
    n = tl.floor(d * 1.4426950408889634 + 0.5)
    return quick_exp((d - n * 0.693359375) + (n * 2.1219444005469058e-4 + more)) * tl.exp2(n)


@triton.jit
def exp(d):
    """exp d for d ≤ 100."""
    return exp_of_sum(tl.where(d < -800, -800.0, d), 0.0)


@triton.jit
def scaled(d, temperature):
    """d/temperature."""
    if temperature is not None:
        d = divide(d, number(temperature, d.dtype))
    return d


@triton.jit
def distance(z, m, temperature):
    """(z − m)/temperature: z/temperature would be rounded before m is subtracted."""
    return scaled(z - m, temperature)


@triton.jit
def power(z, m, temperature, NARROW: tl.constexpr):
    """exp((z − m)/temperature). What the rounding of z − m leaves out, exact by two-sum, is a factor.

    Of logits of sixteen bits (NARROW) the difference is exact, and the result keeps eight bits or eleven.
    """
    if NARROW:
        return quick_exp(distance(z, m, temperature))
    d = z - m
    moved = d - z
    more = (z - (d - moved)) - (m + moved)
    d, more = scaled(d, temperature), scaled(more, temperature)
    gone = d < -800.0
    return exp_of_sum(tl.where(gone, -800.0, d), tl.where(gone, 0.0, more))


@triton.jit
def expm1(x):
    """exp x − 1 for −1 ≤ x ≤ 0."""
    half = tanh(x / 2)
    return divide(2 * half, 1 - half)


@triton.jit
def is_narrow(x, softcap, temperature) -> tl.constexpr:
    """Whether the logits behind a pointer have sixteen bits, and nothing is done to them."""
    return x.dtype.element_ty.primitive_bitwidth == 16 and softcap is None and temperature is None


@triton.jit
def log1p(r):
    """log(1 + r) for r ≥ 0: twice the series of artanh(r/(2 + r)) below 1, where log would lose r in 1 + r."""
    TERMS: tl.constexpr = 18 if r.dtype == tl.float64 else 9
    s = divide(r, 2 + r)
    square = s * s
    total = tl.zeros_like(r)
    for i in tl.static_range(TERMS):
        total = total * square + 1 / (2 * (TERMS - 1 - i) + 1)
    return tl.where(r < 1, 2 * s * total, tl.log(1 + r))


@triton.jit
def tanh(x):
    """tanh x: a convergent of Lambert's continued fraction below 0.6, from the exponential above."""
    TERMS: tl.constexpr = 11 if x.dtype == tl.float64 else 6
    square = x * x
    over, under = tl.zeros_like(x) + 1, tl.zeros_like(x) + (2 * TERMS + 1)
    for i in tl.static_range(TERMS):  # x/(1 + x²/(3 + x²/(5 + …))), from the inside: under/over is what stands there
        over, under = under, under * (2 * (TERMS - 1 - i) + 1) + square * over
    small = x * divide(over, under)
    large = 1 - divide(tl.zeros_like(x) + 2, 1 + exp(tl.where(tl.abs(x) > 30, 60.0, 2 * tl.abs(x))))
    return tl.where(tl.abs(x) < 0.6, small, tl.where(x < 0, -large, large))


@triton.jit
def capped(x, softcap):
    """softcap·tanh(x/softcap)."""
    if softcap is not None:
        cap = number(softcap, x.dtype)
        x = cap * tanh(divide(x, cap))
    return x


@triton.jit
def slope(x, softcap, temperature):
    """The derivative of capped(x)/temperature: 1 − tanh² = 4e/(1 + e)² for e = exp(−2|x|/softcap)."""
    result = tl.zeros_like(x) + 1
    if softcap is not None:
        e = exp(-2 * tl.abs(divide(x, number(softcap, x.dtype))))
        result = 4 * e / ((1 + e) * (1 + e))
    if temperature is not None:
        result = divide(result, number(temperature, x.dtype))
    return result


@triton.jit
def start(row, inner, outer_stride, inner_stride, ALIGN: tl.constexpr):
    """The offset of a row in 64 bits: of one leading dimension, or of two, the inner of which has `inner` rows."""
    if inner is None:
        at = row * inner_stride
    else:
        at = (row // inner) * outer_stride + (row % inner) * inner_stride
    return tl.multiple_of(at, ALIGN)


@triton.jit
def present(cols, inside, where_row):
    """Which columns of a block are classes that exist."""
    if where_row is not None:
        inside = inside & (tl.load(where_row + cols, mask=inside, other=0) != 0)
    return inside


@triton.jit
def logits(x_row, where_row, cols, inside, softcap, WIDE: tl.constexpr):
    """(x, z, exists) of a block: z is x capped, and −∞ for the classes that do not exist."""
    exists = present(cols, inside, where_row)
    if where_row is None and softcap is None:
        x = tl.load(x_row + cols, mask=inside, other=-float("inf")).to(WIDE)
        z = x
    else:
        x = tl.load(x_row + cols, mask=inside, other=0.0).to(WIDE)
        z = tl.where(exists, capped(x, softcap), -float("inf"))
    return x, z, exists


@triton.jit
def row_target(row, y, sample_weight, classes, ignore, flag, WIDE: tl.constexpr):
    """(class, factor, dead) of a row: dead where it counts for nothing, the factor NaN where its class does not exist.

    Such a class is noted in the flag, unless there is none: class and position in one word, so that they match.
    """
    factor = tl.full([], 1.0, WIDE)
    dead = row < 0
    label = row * 0
    if y is not None:
        label = tl.load(y + row)
        dead = label == ignore
        known = (label >= 0) & (label < classes)
        if flag is not None:
            value = tl.minimum(tl.maximum(label.to(tl.int64), -2147483648), 2147483647)
            tl.store(flag + row * 0, (value << 32) | (row & 0xFFFFFFFF), mask=(known | dead) == 0)
        factor = tl.where(known | dead, factor, float("nan"))
        label = tl.where(known, label, 0)
    if sample_weight is not None:
        given = tl.load(sample_weight + row)
        dead = dead | ((given == 0) & (factor == factor))
        factor = factor * given
    return label, factor, dead


@triton.jit
def smoothed_share(where_row, smoothing, classes, BLOCK: tl.constexpr, WIDE: tl.constexpr):
    """What smoothing gives to each class that exists: ε over their number."""
    share = tl.full([], 0.0, WIDE)
    if smoothing is not None:
        count = classes
        if where_row is not None:
            lanes = tl.zeros([BLOCK], tl.int32)
            for begin in range(0, classes, BLOCK):
                cols = begin + tl.arange(0, BLOCK)
                lanes += tl.where(present(cols, cols < classes, where_row), 1, 0)
            count = tl.maximum(tl.sum(lanes, 0), 1)
        share = divide(number(smoothing, WIDE), tl.cast(count, WIDE))
    return share


@triton.jit
def target_block(cols, inside, exists, label, factor, even, q_row, weight, smoothing, WIDE: tl.constexpr):
    """q of a block: smoothed over the classes that exist, times class weights, times the row's factor."""
    if q_row is not None:
        q = tl.load(q_row + cols, mask=inside, other=0.0).to(WIDE)
    else:
        q = tl.where(inside & (cols == label), tl.full([], 1.0, WIDE), 0.0)
    if smoothing is not None:
        q = (1 - number(smoothing, WIDE)) * q + tl.where(exists, even, 0.0)
    if weight is not None:
        q = tl.where(q != 0, q * tl.load(weight + cols, mask=inside, other=0.0), 0.0)
    return q * factor

"""The kernel of the binary loss from logits: an element is the two-class row (x, 0).

Memory traffic an element: x and the target read (and a weight as large as x), the loss, the gradient or both written.
"""

import triton
import triton.language as tl

from .blocks import capped, distance, divide, exp, expm1, log1p, number, rounded, slope


@triton.jit
def binary(
    x, y, weight, pos_weight, g, loss, gradient, elements, weight_number, pos_weight_number, g_stride,
    smoothing, softcap, temperature,
    BLOCK: tl.constexpr,
):  # fmt: skip
    """w·log1p(exp(−|z|)) − t of each element, and g·(negative·σ(z) − positive·σ(−z)).

    The weights repeat along the elements: they have the shape of x's last axes.
    """
    WIDE: tl.constexpr = y.dtype.element_ty
    at = tl.program_id(0).to(tl.int64) * BLOCK + tl.arange(0, BLOCK)
    inside = at < elements
    raw = tl.load(x + at, mask=inside, other=0.0).to(WIDE)
    z = distance(capped(raw, softcap), 0.0, temperature)
    positive = tl.load(y + at, mask=inside, other=0.0)
    negative = 1 - positive
    if smoothing is not None:
        part = number(smoothing, WIDE)
        positive, negative = (1 - part) * positive + part / 2, (1 - part) * negative + part / 2
    if pos_weight is not None:
        positive *= tl.load(pos_weight + at % pos_weight_number, mask=inside, other=0.0)
    if weight is not None:
        factor = tl.load(weight + at % weight_number, mask=inside, other=0.0)
        positive, negative = positive * factor, negative * factor
    low = tl.where(z > 0, -z, z)
    e = exp(low)
    if loss is not None:
        against = tl.where(z > 0, negative, positive)
        t = tl.where(against != 0, against * low, 0.0)
        tl.store(loss + at, (positive + negative) * log1p(e) - t, mask=inside)
    if gradient is not None:
        up, down = tl.where(z > 0, 1.0, e), tl.where(z > 0, e, 1.0)
        near = (negative - positive) + tl.where(z > 0, -positive, negative) * expm1(tl.where(e > 0.5, low, 0.0))
        result = divide(tl.where(e > 0.5, near, negative * up - positive * down), 1 + e)
        if softcap is not None or temperature is not None:
            result *= slope(raw, softcap, temperature)
        if g is not None:
            result *= tl.load(g + at * g_stride, mask=inside, other=0.0).to(WIDE)
        tl.store(gradient + at, rounded(result, gradient), mask=inside)


@triton.jit(do_not_specialize=["elements"])
def times(x, out, g, elements: tl.int64, BLOCK: tl.constexpr):
    """x times the number in g: read and written, but neither where out is x and the number is 1.

    There are no more programs than the device runs at once: where nothing is to be done, all end at once.
    """
    factor = tl.load(g).to(tl.float32) if x.dtype.element_ty != tl.float64 else tl.load(g).to(tl.float64)
    if (factor != 1) | (x.to(tl.int64) != out.to(tl.int64)):
        step = tl.num_programs(0).to(tl.int64) * BLOCK
        for first in range(tl.program_id(0).to(tl.int64) * BLOCK, elements, step):
            at = first + tl.arange(0, BLOCK)
            inside = at < elements
            tl.store(
                out + at, rounded(tl.load(x + at, mask=inside, other=0.0).to(factor.dtype) * factor, out), mask=inside
            )

"""The kernels of softmax, log-softmax, logsumexp and the moments of a row, and of the plain log-likelihood.

Memory traffic a logit of b bytes (a mask of classes adds a byte):

    softmax         b read, b written           the row stays in registers; also log-softmax
    softmax_swept   b read (+ b from the L2 cache), b written   rows of any width, two sweeps, the second backwards
    moments         b read                      logsumexp, entropy, argmax and confidence, those that are asked for
    likelihood      b of the target's class, or b and the dense target's width
"""

import triton
import triton.language as tl

from .blocks import (
    distance,
    divide,
    is_narrow,
    log1p,
    logits,
    lowest,
    power,
    rounded,
    row_target,
    smoothed_share,
    start,
    target_block,
)
from .statistics import log_sum, of_block, raised, sound, sweep, tile


@triton.jit
def write_softmax(out, cols, inside, z, exists, m, r, temperature, LOG: tl.constexpr, NARROW: tl.constexpr):
    """exp(z − m)/(1 + r), or (z − m) − log1p(r), of a block; what does not exist is 0, or −∞."""
    r = sound(m, r)
    if LOG:
        p = tl.where(exists, tl.where(z == m, 0.0, distance(z, m, temperature)) - log1p(r), -float("inf"))
    else:
        p = tl.where(exists, divide(power(z, m, temperature, NARROW), 1 + r), 0.0)
    tl.store(out + cols, rounded(p, out), mask=inside)


@triton.jit
def softmax(
    x, out, where, layout, classes, temperature,
    LOG: tl.constexpr, BLOCK: tl.constexpr, ALIGN: tl.constexpr, WIDE: tl.constexpr,
):  # fmt: skip
    """Softmax of rows that fit into the registers of a program."""
    row = tl.program_id(0).to(tl.int64)
    classes = classes // ALIGN * ALIGN  # tells the compiler that it divides
    x += start(row, layout[0], layout[1], layout[2], ALIGN)
    out += start(row, layout[0], layout[3], layout[4], ALIGN)
    where = None if where is None else where + tl.multiple_of(row * layout[5], ALIGN)
    NARROW: tl.constexpr = is_narrow(x, None, temperature)
    cols = tl.arange(0, BLOCK)
    inside = cols < classes
    _, z, exists = logits(x, where, cols, inside, None, WIDE)
    m, r, _, _, _, _ = of_block(z, z, inside, temperature, False, False, NARROW)
    write_softmax(out, cols, inside, z, exists, m, r, temperature, LOG, NARROW)


@triton.jit
def softmax_swept(
    x, out, where, layout, classes, temperature,
    LOG: tl.constexpr, BLOCK: tl.constexpr, ALIGN: tl.constexpr, WIDE: tl.constexpr,
):  # fmt: skip
    """Softmax of rows of any width."""
    row = tl.program_id(0).to(tl.int64)
    classes = classes // ALIGN * ALIGN  # tells the compiler that it divides
    x += start(row, layout[0], layout[1], layout[2], ALIGN)
    out += start(row, layout[0], layout[3], layout[4], ALIGN)
    where = None if where is None else where + tl.multiple_of(row * layout[5], ALIGN)
    m, r, _t, _rest, _own = sweep(
        x, None, where, None, 0, 0, 0, 0, classes, None, None, temperature, False, False, BLOCK, WIDE
    )
    NARROW: tl.constexpr = is_narrow(x, None, temperature)
    blocks = tl.cdiv(classes, BLOCK)
    for step in range(0, blocks):
        cols = (blocks - 1 - step) * BLOCK + tl.arange(0, BLOCK)
        inside = cols < classes
        _, z, exists = logits(x, where, cols, inside, None, WIDE)
        write_softmax(out, cols, inside, z, exists, m, r, temperature, LOG, NARROW)


@triton.jit
def fold_moments(m, r, u, a, classes, temperature, LANES: tl.constexpr):
    """The merge of all lanes with their u and their argmax."""
    top = tl.max(m, 0)
    unsound = tl.max(tl.where(r == r, 0, 1), 0)
    chosen = tl.min(tl.where(tl.where(unsound == 1, r != r, m == top), a, classes), 0)
    lane = tl.arange(0, LANES)
    high = lane == tl.min(tl.where(m == top, lane, LANES), 0)
    step, mass = tl.where(m == top, 0.0, distance(m, top, temperature)), 1 + r
    e = tl.where(m == top, 1.0, power(m, top, temperature, False))
    u_row = tl.sum(tl.where(high, u, tl.where(mass != 0, e * (u + mass * step), 0.0)), 0)
    r_row = tl.sum(tl.where(high, r, mass * e), 0)
    return top, r_row, u_row, chosen


@triton.jit
def moments(
    x, lse, entropy, prediction, confidence, where, layout, classes, softcap, temperature,
    BLOCK: tl.constexpr, ALIGN: tl.constexpr,
):  # fmt: skip
    """What a row tells without a target; u = Σ exp(z − m)·(z − m) and the argmax are kept lane by lane like the rest.

    As in the array libraries, the argmax of a row with NaN is the first NaN.
    """
    WIDE: tl.constexpr = lse.dtype.element_ty
    row = tl.program_id(0).to(tl.int64)
    classes = classes // ALIGN * ALIGN  # tells the compiler that it divides
    x += start(row, layout[0], layout[1], layout[2], ALIGN)
    where = None if where is None else where + tl.multiple_of(row * layout[3], ALIGN)
    EACH: tl.constexpr = 128 // x.dtype.element_ty.primitive_bitwidth
    LANES: tl.constexpr = BLOCK // EACH
    NARROW: tl.constexpr = is_narrow(x, softcap, temperature)
    m = tl.zeros([LANES], WIDE) + lowest(WIDE)
    r, u = tl.zeros([LANES], WIDE) - 1, tl.zeros([LANES], WIDE)
    a = tl.zeros([LANES], tl.int32)
    for first in range(0, classes, BLOCK):
        cols = tile(first, LANES, EACH)
        _, z, _ = logits(x, where, cols, cols < classes, softcap, WIDE)
        new, up, top = raised(m, z)
        if entropy is not None:
            nan = tl.min(tl.where(z != z, cols, classes), 1)
            place = tl.min(tl.where(top, cols, classes), 1)
            a = tl.where(r != r, a, tl.where(nan < classes, nan, tl.where(up, place, a)))
        d = tl.where(top, 0.0, distance(z, new[:, None], temperature))
        e = tl.where(top, 0.0, power(z, new[:, None], temperature, NARROW))
        ties = tl.sum(tl.where(top, 1.0, 0.0), 1).to(WIDE)
        mass, step, fall = 1 + r, distance(m, new, temperature), power(m, new, temperature, NARROW)
        u = tl.where(up, fall * (u + tl.where(mass != 0, mass * step, 0.0)), u)
        u += tl.sum(tl.where(e != 0, e * d, 0.0), 1)
        r = tl.where(up, (ties - 1) + mass * fall, ties + r) + tl.sum(e, 1)
        m = new
    top, r_row, u_row, chosen = fold_moments(m, r, u, a, classes, temperature, LANES)
    tl.store(lse + row, log_sum(top, r_row, temperature))
    if entropy is not None:
        known = sound(top, r_row)
        tl.store(entropy + row, log1p(known) - divide(u_row, 1 + known))
        tl.store(prediction + row, chosen.to(tl.int64))
        tl.store(confidence + row, divide(1.0 + known * 0, 1 + known))


@triton.jit
def likelihood(
    x, loss, y, q, where, weight, sample_weight, flag, layout, classes, ignore: tl.int64, smoothing,
    DENSE: tl.constexpr, BLOCK: tl.constexpr, ALIGN: tl.constexpr,
):  # fmt: skip
    """−Σ q·x of each row, for log-probabilities x."""
    WIDE: tl.constexpr = loss.dtype.element_ty
    row = tl.program_id(0).to(tl.int64)
    x += start(row, layout[0], layout[1], layout[2], ALIGN)
    q = None if q is None else q + tl.multiple_of(row * layout[5], ALIGN)
    label, factor, dead = row_target(row, y, sample_weight, classes, ignore, flag, WIDE)
    alive = tl.where(dead, 0, classes)
    if DENSE:
        even = smoothed_share(where, smoothing, classes, BLOCK, WIDE)
        lanes = tl.zeros([BLOCK], WIDE)
        for first in range(0, classes, BLOCK):
            cols = first + tl.arange(0, BLOCK)
            inside = cols < classes
            log_p, _, exists = logits(x, where, cols, cols < alive, None, WIDE)
            wanted = target_block(cols, inside, exists, label, factor, even, q, weight, smoothing, WIDE)
            lanes += tl.where(wanted != 0, wanted * log_p, 0.0)
        total = tl.sum(lanes, 0)
    else:
        hit = factor if weight is None else factor * tl.load(weight + label)
        total = tl.where(hit != 0, hit * tl.load(x + label).to(WIDE), 0.0)
    tl.store(loss + row, tl.where(dead, 0.0, -total))

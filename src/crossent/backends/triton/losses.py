"""The kernels of cross-entropy. A program takes a row; what a call leaves out (None) is not compiled.

Memory traffic a logit of b bytes (a mask of classes adds a byte, dense targets their own width):

    resident   b read, b written     loss and gradient: the row stays in registers between its two passes
    swept      b read                loss and statistics, lane by lane; rows may be cut into parts, a program each
               b more, b written     with a gradient: a second sweep, backwards: it begins with what the L2 cache holds
    finish     nothing               merges the parts of a row
    backward   b read, b written     the gradient from saved statistics, for any cotangent

The statistics are saved as (m, r, t, rest, own) × rows × parts. Arguments come in tuples, made by `call`:

    target     y, q, where, weight, sample_weight            settings   ignore_index, smoothing, softcap, temperature
    along      the cotangents of loss and lse² as tensors, the divisors; scale and square_scale are numbers besides
    layout     inner loop of the rows, two strides of x and of the gradient (`blocks.start`), then a row's stride
               of q, where and the two cotangents
"""

import triton
import triton.language as tl

from .blocks import is_narrow, logits, number, power, rounded, row_target, slope, smoothed_share, start, target_block
from .statistics import fold, gradient_block, of_block, slopes, softmax_factor, sweep, with_class, write_losses


@triton.jit
def save(state, at, step, m, r, t, rest, own):
    """Write the statistics of a row, or of a part of it."""
    tl.store(state + at, m)
    tl.store(state + at + step, r)
    tl.store(state + at + 2 * step, t)
    tl.store(state + at + 3 * step, rest)
    tl.store(state + at + 4 * step, own)


@triton.jit
def moved(pointer, row, stride, ALIGN: tl.constexpr):
    """A pointer to a row; None stays None."""
    if pointer is not None:
        pointer += tl.multiple_of(row * stride, ALIGN)
    return pointer


@triton.jit
def own_class(x, where, weight, label, factor, dead, smoothing, softcap, EVEN: tl.constexpr, WIDE: tl.constexpr):
    """(x, z, exists, weight) of a row's class."""
    own_x, z, exists = logits(x, where, label, dead == 0, softcap, WIDE)
    hit = factor
    if EVEN:
        hit = (1 - number(smoothing, WIDE)) * factor
    if weight is not None:
        hit = factor * tl.load(weight + label)
    return own_x, z, exists, hit


@triton.jit
def write_block(
    row, cols, inside, x, e, exists, q, m, r, rest, own, along, along_lse, plain, even, softcap, temperature,
    SELECT: tl.constexpr, DENSE: tl.constexpr, EVEN: tl.constexpr, SQUARE: tl.constexpr,
):  # fmt: skip
    """The gradient of a block by the raw logits; where the target is a class, without it: `write_class` follows.

    `even` is what each class has of an even smoothing, times the cotangent.
    """
    if DENSE:
        result = gradient_block(e, q, m, r, rest, own, along, along_lse, SQUARE)
    elif EVEN:
        result = plain * e - even
    else:
        result = plain * e
    if softcap is not None or temperature is not None:
        result *= slope(x, softcap, temperature)
    if SELECT:
        result = tl.where(exists, result, 0.0)
    tl.store(row + cols, rounded(result, row), mask=inside)


@triton.jit
def write_class(
    row, label, x, z, exists, hit, m, r, rest, own, along, along_lse, softcap, temperature, SQUARE: tl.constexpr
):
    """The gradient of the row's class, over what its block has there, when that has been written."""
    e = tl.where(z == m, 1.0, power(z, m, temperature, False))
    result = gradient_block(e, hit, m, r, rest, own, along, along_lse, SQUARE)
    if softcap is not None or temperature is not None:
        result *= slope(x, softcap, temperature)
    tl.debug_barrier()
    tl.store(row + label, rounded(result, row), mask=exists)


@triton.jit(do_not_specialize=["scale", "square_scale"])
def resident(
    x, gradient, loss, square, target, along, flag, layout, classes, settings, scale: tl.int64, square_scale: tl.int64,
    DENSE: tl.constexpr, EVEN: tl.constexpr, SQUARE: tl.constexpr, PARTS: tl.constexpr,
    BLOCK: tl.constexpr, ALIGN: tl.constexpr, WIDE: tl.constexpr,
):  # fmt: skip
    """Loss and gradient of rows that fit into the registers of a program: one read, one write."""
    y, q, where, weight, sample_weight = target
    ignore, smoothing, softcap, temperature = settings
    NARROW: tl.constexpr = is_narrow(x, softcap, temperature)
    row = tl.program_id(0).to(tl.int64)
    classes = classes // ALIGN * ALIGN  # tells the compiler that it divides
    x += start(row, layout[0], layout[1], layout[2], ALIGN)
    gradient += start(row, layout[0], layout[3], layout[4], ALIGN)
    q = moved(q, row, layout[5], ALIGN)
    where = moved(where, row, layout[6], ALIGN)
    label, factor, dead = row_target(row, y, sample_weight, classes, ignore, flag, WIDE)
    alive = tl.where(dead, 0, classes)  # of a dead row nothing is read
    even = smoothed_share(where, smoothing, classes, BLOCK, WIDE)
    cols = tl.arange(0, BLOCK)
    inside = cols < classes
    raw, z, exists = logits(x, where, cols, cols < alive, softcap, WIDE)
    if DENSE:
        wanted = target_block(cols, inside, exists, label, factor, even, q, weight, smoothing, WIDE)
        m, r, t, rest, own, e = of_block(z, wanted, inside, temperature, DENSE, EVEN, NARROW)
    else:  # in place, the class's own logit is read before the barriers of the sums
        own_x, own_z, own_exists, hit = own_class(x, where, weight, label, factor, dead, smoothing, softcap, EVEN, WIDE)
        wanted = z
        even *= factor
        m, r, t, rest, own, e = of_block(z, wanted, cols < alive, temperature, DENSE, EVEN, NARROW)
        t, rest, own = with_class(m, own_z, hit, t, even, classes, temperature, EVEN)
    write_losses(row, m, r, t, rest + own, factor, dead, loss, square, square_scale, temperature, SQUARE)
    of_loss, of_lse = slopes(
        row, m, r, factor, along, layout[7], layout[8], scale, square_scale, temperature, PARTS, WIDE
    )
    plain = tl.where(dead, 0.0, softmax_factor(m, r, rest + own, of_loss, of_lse, SQUARE))
    write_block(
        gradient, cols, inside, raw, e, exists, wanted, m, r, rest, own, of_loss, of_lse, plain,
        tl.where(dead, 0.0, of_loss * even), softcap, temperature,
        DENSE or where is not None, DENSE, EVEN, SQUARE,
    )  # fmt: skip
    if not DENSE:
        write_class(
            gradient, label, own_x, own_z, own_exists, hit + even, m, r, rest, own, of_loss, of_lse,
            softcap, temperature, SQUARE,
        )  # fmt: skip


@triton.jit(do_not_specialize=["scale", "square_scale"])
def swept(
    x, gradient, loss, square, state, target, along, flag, layout, classes, span, settings,
    scale: tl.int64, square_scale: tl.int64,
    DENSE: tl.constexpr, EVEN: tl.constexpr, SQUARE: tl.constexpr, PARTS: tl.constexpr,
    BLOCK: tl.constexpr, ALIGN: tl.constexpr, WIDE: tl.constexpr, PARTED: tl.constexpr,
):  # fmt: skip
    """Losses and statistics of rows of any width, and with `gradient` a second sweep that writes it."""
    y, q, where, weight, sample_weight = target
    ignore, smoothing, softcap, temperature = settings
    NARROW: tl.constexpr = is_narrow(x, softcap, temperature)
    row = tl.program_id(0).to(tl.int64)
    classes = classes // ALIGN * ALIGN  # tells the compiler that it divides
    x += start(row, layout[0], layout[1], layout[2], ALIGN)
    q = moved(q, row, layout[5], ALIGN)
    where = moved(where, row, layout[6], ALIGN)
    label, factor, dead = row_target(row, y, sample_weight, classes, ignore, flag, WIDE)
    alive = tl.where(dead, 0, classes)  # of a dead row nothing is read
    even = smoothed_share(where, smoothing, classes, BLOCK, WIDE)
    begin = tl.program_id(1) * span
    end = tl.minimum(begin + span, alive)
    m, r, t, rest, own = sweep(
        x, q, where, weight, label, factor, even, begin, end, smoothing, softcap, temperature, DENSE, EVEN, BLOCK, WIDE
    )
    if not DENSE and not PARTED:
        own_x, own_z, own_exists, hit = own_class(x, where, weight, label, factor, dead, smoothing, softcap, EVEN, WIDE)
        even *= factor
        t, rest, own = with_class(m, own_z, hit, t, even, classes, temperature, EVEN)
    if not PARTED:
        write_losses(row, m, r, t, rest + own, factor, dead, loss, square, square_scale, temperature, SQUARE)
    if state is not None:
        parts = tl.num_programs(1)
        save(state, row * parts + tl.program_id(1), tl.num_programs(0).to(tl.int64) * parts, m, r, t, rest, own)
    if gradient is not None:
        gradient += start(row, layout[0], layout[3], layout[4], ALIGN)
        of_loss, of_lse = slopes(
            row, m, r, factor, along, layout[7], layout[8], scale, square_scale, temperature, PARTS, WIDE
        )
        plain = tl.where(dead, 0.0, softmax_factor(m, r, rest + own, of_loss, of_lse, SQUARE))
        tl.debug_barrier()  # in place, every thread has read the class's own logit by now
        blocks = tl.cdiv(classes, BLOCK)
        for step in range(0, blocks):
            cols = (blocks - 1 - step) * BLOCK + tl.arange(0, BLOCK)
            inside = cols < classes
            raw, z, exists = logits(x, where, cols, cols < alive, softcap, WIDE)
            wanted = z
            if DENSE:
                wanted = target_block(cols, inside, exists, label, factor, even, q, weight, smoothing, WIDE)
            e = power(z, m, temperature, NARROW)
            write_block(
                gradient, cols, inside, raw, e, exists, wanted, m, r, rest, own, of_loss, of_lse, plain,
                tl.where(dead, 0.0, of_loss * even), softcap, temperature,
                DENSE or where is not None, DENSE, EVEN, SQUARE,
            )  # fmt: skip
        if not DENSE:
            write_class(
                gradient, label, own_x, own_z, own_exists, hit + even, m, r, rest, own, of_loss, of_lse,
                softcap, temperature, SQUARE,
            )  # fmt: skip


@triton.jit(do_not_specialize=["parts", "square_scale"])
def finish(
    x, loss, square, partial, state, target, flag, layout, classes, parts: tl.int32, settings, square_scale: tl.int64,
    DENSE: tl.constexpr, EVEN: tl.constexpr, SQUARE: tl.constexpr, MOST: tl.constexpr,
    ALIGN: tl.constexpr, WIDE: tl.constexpr,
):  # fmt: skip
    """The losses and the statistics of rows from those of their parts."""
    y, _q, where, weight, sample_weight = target
    ignore, smoothing, softcap, temperature = settings
    row = tl.program_id(0).to(tl.int64)
    rows = tl.num_programs(0).to(tl.int64)
    x += start(row, layout[0], layout[1], layout[2], ALIGN)
    where = moved(where, row, layout[6], ALIGN)
    label, factor, dead = row_target(row, y, sample_weight, classes, ignore, flag, WIDE)
    part = tl.arange(0, MOST)
    at = partial + row * parts + part
    m = tl.load(at, mask=part < parts, other=-float("inf"))  # below any part's own
    r = tl.load(at + rows * parts, mask=part < parts, other=-1.0)
    t = tl.load(at + 2 * rows * parts, mask=part < parts, other=0.0)
    rest = tl.load(at + 3 * rows * parts, mask=part < parts, other=0.0)
    own = tl.load(at + 4 * rows * parts, mask=part < parts, other=0.0)
    m, r, t, rest, own = fold(m, r, t, rest, own, temperature, DENSE or EVEN, MOST)
    if not DENSE:
        _, own_z, _, hit = own_class(x, where, weight, label, factor, dead, smoothing, softcap, EVEN, WIDE)
        even = smoothed_share(None, smoothing, classes, 1, WIDE) * factor
        t, rest, own = with_class(m, own_z, hit, t, even, classes, temperature, EVEN)
    write_losses(row, m, r, t, rest + own, factor, dead, loss, square, square_scale, temperature, SQUARE)
    if state is not None:
        save(state, row, rows, m, r, t, rest, own)


@triton.jit(do_not_specialize=["scale", "square_scale"])
def backward(
    x, gradient, state, target, along, layout, classes, settings, scale: tl.int64, square_scale: tl.int64,
    DENSE: tl.constexpr, EVEN: tl.constexpr, SQUARE: tl.constexpr, PARTS: tl.constexpr,
    BLOCK: tl.constexpr, ALIGN: tl.constexpr, WIDE: tl.constexpr,
):  # fmt: skip
    """The gradient of a block of a row from the row's statistics. What is wrong with a target has been noted."""
    y, q, where, weight, sample_weight = target
    ignore, smoothing, softcap, temperature = settings
    NARROW: tl.constexpr = is_narrow(x, softcap, temperature)
    row = tl.program_id(0).to(tl.int64)
    rows = tl.num_programs(0).to(tl.int64)
    classes = classes // ALIGN * ALIGN  # tells the compiler that it divides
    x += start(row, layout[0], layout[1], layout[2], ALIGN)
    gradient += start(row, layout[0], layout[3], layout[4], ALIGN)
    q = moved(q, row, layout[5], ALIGN)
    where = moved(where, row, layout[6], ALIGN)
    label, factor, dead = row_target(row, y, sample_weight, classes, ignore, None, WIDE)
    alive = tl.where(dead, 0, classes)  # of a dead row nothing is read
    even = smoothed_share(where, smoothing, classes, BLOCK, WIDE)
    m, r = tl.load(state + row), tl.load(state + row + rows)
    rest, own = tl.load(state + row + 3 * rows), tl.load(state + row + 4 * rows)
    cols = tl.program_id(1) * BLOCK + tl.arange(0, BLOCK)
    inside = cols < classes
    raw, z, exists = logits(x, where, cols, cols < alive, softcap, WIDE)
    wanted = z
    if DENSE:
        wanted = target_block(cols, inside, exists, label, factor, even, q, weight, smoothing, WIDE)
    else:
        own_x, own_z, own_exists, hit = own_class(x, where, weight, label, factor, dead, smoothing, softcap, EVEN, WIDE)
        even *= factor
        tl.debug_barrier()  # in place, every thread has read it by now
    of_loss, of_lse = slopes(
        row, m, r, factor, along, layout[7], layout[8], scale, square_scale, temperature, PARTS, WIDE
    )
    plain = tl.where(dead, 0.0, softmax_factor(m, r, rest + own, of_loss, of_lse, SQUARE))
    e = power(z, m, temperature, NARROW)
    write_block(
        gradient, cols, inside, raw, e, exists, wanted, m, r, rest, own, of_loss, of_lse, plain,
        tl.where(dead, 0.0, of_loss * even), softcap, temperature,
        DENSE or where is not None, DENSE, EVEN, SQUARE,
    )  # fmt: skip
    if not DENSE:  # known to the compiler
        if label // BLOCK == tl.program_id(1):  # known to the program
            write_class(
                gradient, label, own_x, own_z, own_exists, hit + even, m, r, rest, own, of_loss, of_lse,
                softcap, temperature, SQUARE,
            )  # fmt: skip

"""The kernels of cross-entropy. A program takes a row; what a call leaves out (None) is not compiled.

Memory traffic a logit of b bytes (a mask of classes adds a byte, dense targets their own width):

    resident   b read, b written     loss and gradient: the row stays in registers between its two passes
    swept      b read                loss and statistics, lane by lane; rows may be cut into parts, a program each
               b more, b written     with a gradient: a second sweep, backwards: it begins with what the L2 cache holds
    finish     nothing               merges the parts of a row
    backward   b read, b written     the gradient from saved statistics, for any cotangent

The statistics are saved as (m, r, t, rest, own) × rows × parts. `layout` holds the strides: the inner loop of
the rows, two strides of x and of the gradient (`blocks.start`), and the row's stride of q, where, g and g_square.
"""

import triton
import triton.language as tl

from .blocks import is_narrow, logits, power, rounded, row_target, slope, smoothed_share, start, target_block
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
def own_class(x, where, weight, label, factor, dead, softcap, WIDE: tl.constexpr):
    """(x, z, exists, weight) of a row's class."""
    own_x, z, exists = logits(x, where, label, dead == 0, softcap, WIDE)
    hit = factor
    if weight is not None:
        hit = factor * tl.load(weight + label)
    return own_x, z, exists, hit


@triton.jit
def write_block(
    row, cols, inside, x, e, exists, q, m, r, rest, own, along, along_lse, plain, softcap, temperature,
    SELECT: tl.constexpr, DENSE: tl.constexpr, SQUARE: tl.constexpr,
):  # fmt: skip
    """The gradient of a block by the raw logits; where the target is a class, without it: `write_class` follows."""
    result = gradient_block(e, q, m, r, rest, own, along, along_lse, SQUARE) if DENSE else plain * e
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
    x, gradient, loss, square, y, q, where, weight, sample_weight, g, g_square, flag, layout, classes,
    ignore: tl.int64, smoothing, softcap, temperature,
    scale, square_scale,
    DENSE: tl.constexpr, BLOCK: tl.constexpr, ALIGN: tl.constexpr,
):  # fmt: skip
    """Loss and gradient of rows that fit into the registers of a program: one read, one write."""
    WIDE: tl.constexpr = loss.dtype.element_ty
    NARROW: tl.constexpr = is_narrow(x, softcap, temperature)
    row = tl.program_id(0).to(tl.int64)
    classes = classes // ALIGN * ALIGN  # tells the compiler that it divides
    x += start(row, layout[0], layout[1], layout[2], ALIGN)
    gradient += start(row, layout[0], layout[3], layout[4], ALIGN)
    q = None if q is None else q + tl.multiple_of(row * layout[5], ALIGN)
    where = None if where is None else where + tl.multiple_of(row * layout[6], ALIGN)
    label, factor, dead = row_target(row, y, sample_weight, classes, ignore, flag, WIDE)
    alive = tl.where(dead, 0, classes)  # of a dead row nothing is read
    even = smoothed_share(where, smoothing, classes, BLOCK, WIDE)
    cols = tl.arange(0, BLOCK)
    inside = cols < classes
    raw, z, exists = logits(x, where, cols, cols < alive, softcap, WIDE)
    if DENSE:
        wanted = target_block(cols, inside, exists, label, factor, even, q, weight, smoothing, WIDE)
        m, r, t, rest, own, e = of_block(z, wanted, temperature, DENSE, NARROW)
    else:  # in place, the class's own logit is read before the barriers of the sums
        own_x, own_z, own_exists, hit = own_class(x, where, weight, label, factor, dead, softcap, WIDE)
        wanted = z
        m, r, t, rest, own, e = of_block(z, wanted, temperature, DENSE, NARROW)
        t, rest, own = with_class(m, own_z, hit, temperature)
    write_losses(row, m, r, t, rest + own, factor, dead, loss, square, temperature)
    along, along_lse = slopes(
        row, m, r, factor, g, layout[7], g_square, layout[8], scale, square_scale, temperature, WIDE
    )
    plain = tl.where(dead, 0.0, softmax_factor(m, r, rest + own, along, along_lse, square is not None))
    write_block(
        gradient, cols, inside, raw, e, exists, wanted, m, r, rest, own, along, along_lse, plain,
        softcap, temperature, DENSE or where is not None, DENSE, square is not None,
    )  # fmt: skip
    if not DENSE:
        write_class(
            gradient, label, own_x, own_z, own_exists, hit, m, r, rest, own, along, along_lse,
            softcap, temperature, square is not None,
        )  # fmt: skip


@triton.jit(do_not_specialize=["scale", "square_scale"])
def swept(
    x, gradient, loss, square, state, y, q, where, weight, sample_weight, g, g_square, flag, layout, classes, span,
    ignore: tl.int64, smoothing, softcap, temperature,
    scale, square_scale,
    DENSE: tl.constexpr, BLOCK: tl.constexpr, ALIGN: tl.constexpr, PARTED: tl.constexpr,
):  # fmt: skip
    """Losses and statistics of rows of any width, and with `gradient` a second sweep that writes it."""
    WIDE: tl.constexpr = loss.dtype.element_ty
    NARROW: tl.constexpr = is_narrow(x, softcap, temperature)
    row = tl.program_id(0).to(tl.int64)
    classes = classes // ALIGN * ALIGN  # tells the compiler that it divides
    x += start(row, layout[0], layout[1], layout[2], ALIGN)
    q = None if q is None else q + tl.multiple_of(row * layout[5], ALIGN)
    where = None if where is None else where + tl.multiple_of(row * layout[6], ALIGN)
    label, factor, dead = row_target(row, y, sample_weight, classes, ignore, flag, WIDE)
    alive = tl.where(dead, 0, classes)  # of a dead row nothing is read
    even = smoothed_share(where, smoothing, classes, BLOCK, WIDE)
    begin = tl.program_id(1) * span
    end = tl.minimum(begin + span, alive)
    m, r, t, rest, own = sweep(
        x, q, where, weight, label, factor, even, begin, end, smoothing, softcap, temperature, DENSE, BLOCK, WIDE
    )
    if not DENSE and not PARTED:
        own_x, own_z, own_exists, hit = own_class(x, where, weight, label, factor, dead, softcap, WIDE)
        t, rest, own = with_class(m, own_z, hit, temperature)
    if not PARTED:
        write_losses(row, m, r, t, rest + own, factor, dead, loss, square, temperature)
    if state is not None:
        parts = tl.num_programs(1)
        save(state, row * parts + tl.program_id(1), tl.num_programs(0) * parts, m, r, t, rest, own)
    if gradient is not None:
        gradient += start(row, layout[0], layout[3], layout[4], ALIGN)
        along, along_lse = slopes(
            row, m, r, factor, g, layout[7], g_square, layout[8], scale, square_scale, temperature, WIDE
        )
        plain = tl.where(dead, 0.0, softmax_factor(m, r, rest + own, along, along_lse, square is not None))
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
                gradient, cols, inside, raw, e, exists, wanted, m, r, rest, own, along, along_lse, plain,
                softcap, temperature, DENSE or where is not None, DENSE, square is not None,
            )  # fmt: skip
        if not DENSE:
            write_class(
                gradient, label, own_x, own_z, own_exists, hit, m, r, rest, own, along, along_lse,
                softcap, temperature, square is not None,
            )  # fmt: skip


@triton.jit
def finish(
    x, loss, square, partial, state, y, where, weight, sample_weight, flag, layout, classes, parts,
    ignore: tl.int64, softcap, temperature,
    DENSE: tl.constexpr, PARTS: tl.constexpr, ALIGN: tl.constexpr,
):  # fmt: skip
    """The losses and the statistics of rows from those of their parts."""
    WIDE: tl.constexpr = loss.dtype.element_ty
    row = tl.program_id(0).to(tl.int64)
    rows = tl.num_programs(0)
    x += start(row, layout[0], layout[1], layout[2], ALIGN)
    where = None if where is None else where + tl.multiple_of(row * layout[6], ALIGN)
    label, factor, dead = row_target(row, y, sample_weight, classes, ignore, flag, WIDE)
    part = tl.arange(0, PARTS)
    at = partial + row * parts + part
    m = tl.load(at, mask=part < parts, other=-float("inf"))  # below any part's own
    r = tl.load(at + rows * parts, mask=part < parts, other=-1.0)
    t = tl.load(at + 2 * rows * parts, mask=part < parts, other=0.0)
    rest = tl.load(at + 3 * rows * parts, mask=part < parts, other=0.0)
    own = tl.load(at + 4 * rows * parts, mask=part < parts, other=0.0)
    m, r, t, rest, own = fold(m, r, t, rest, own, temperature, DENSE, PARTS)
    if not DENSE:
        _, own_z, _, hit = own_class(x, where, weight, label, factor, dead, softcap, WIDE)
        t, rest, own = with_class(m, own_z, hit, temperature)
    write_losses(row, m, r, t, rest + own, factor, dead, loss, square, temperature)
    if state is not None:
        save(state, row, rows, m, r, t, rest, own)


@triton.jit(do_not_specialize=["scale", "square_scale"])
def backward(
    x, gradient, state, y, q, where, weight, sample_weight, g, g_square, flag, layout, classes,
    ignore: tl.int64, smoothing, softcap, temperature,
    scale, square_scale,
    DENSE: tl.constexpr, SQUARE: tl.constexpr, BLOCK: tl.constexpr, ALIGN: tl.constexpr,
):  # fmt: skip
    """The gradient of a block of a row from the row's statistics."""
    WIDE: tl.constexpr = state.dtype.element_ty
    NARROW: tl.constexpr = is_narrow(x, softcap, temperature)
    row = tl.program_id(0).to(tl.int64)
    rows = tl.num_programs(0)
    classes = classes // ALIGN * ALIGN  # tells the compiler that it divides
    x += start(row, layout[0], layout[1], layout[2], ALIGN)
    gradient += start(row, layout[0], layout[3], layout[4], ALIGN)
    q = None if q is None else q + tl.multiple_of(row * layout[5], ALIGN)
    where = None if where is None else where + tl.multiple_of(row * layout[6], ALIGN)
    label, factor, dead = row_target(row, y, sample_weight, classes, ignore, flag, WIDE)
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
        own_x, own_z, own_exists, hit = own_class(x, where, weight, label, factor, dead, softcap, WIDE)
        tl.debug_barrier()  # in place, every thread has read it by now
    along, along_lse = slopes(
        row, m, r, factor, g, layout[7], g_square, layout[8], scale, square_scale, temperature, WIDE
    )
    plain = tl.where(dead, 0.0, softmax_factor(m, r, rest + own, along, along_lse, SQUARE))
    e = power(z, m, temperature, NARROW)
    write_block(
        gradient, cols, inside, raw, e, exists, wanted, m, r, rest, own, along, along_lse, plain,
        softcap, temperature, DENSE or where is not None, DENSE, SQUARE,
    )  # fmt: skip
    if not DENSE:  # known to the compiler
        if label // BLOCK == tl.program_id(1):  # known to the program
            write_class(
                gradient, label, own_x, own_z, own_exists, hit, m, r, rest, own, along, along_lse,
                softcap, temperature, SQUARE,
            )  # fmt: skip

"""The kernels of a mean or a sum: its divisors from the targets and the weights, and the value from the rows' losses.

Up to some thousands of rows one program takes all; of more, several programs take shares, whose sums are added by the
readers of the divisors, and by the program of `total` that ends last. The order of the sums is fixed either way.
"""

import triton
import triton.language as tl

from .blocks import divide, number, rounded
from .statistics import divisors


@triton.jit(do_not_specialize=["rows"])
def weigh(
    out, y, weight, sample_weight, rows: tl.int64, classes, ignore: tl.int64, BLOCK: tl.constexpr, WIDE: tl.constexpr
):
    """Σ weight[y]·sample_weight and Σ sample_weight of the rows that count, a share each program; then a 0."""
    program, programs = tl.program_id(0).to(tl.int64), tl.num_programs(0)
    own, count = tl.zeros([BLOCK], WIDE), tl.zeros([BLOCK], WIDE)
    for first in range(program * BLOCK, rows, programs * BLOCK):
        row = first + tl.arange(0, BLOCK)
        inside = row < rows
        one = tl.where(inside, tl.full([BLOCK], 1.0, WIDE), 0.0)
        if sample_weight is not None:
            one = tl.load(sample_weight + row, mask=inside, other=0.0)
        if y is not None:
            label = tl.load(y + row, mask=inside, other=0)
            one = tl.where(label == ignore, 0.0, one)
        count += one
        if weight is not None:
            known = inside & (label >= 0) & (label < classes)
            one *= tl.load(weight + tl.where(known, label, 0))
        own += one
    tl.store(out + program, tl.sum(own, 0))
    tl.store(out + programs + program, tl.sum(count, 0))
    if program == 0:
        tl.store(out + 2 * programs, 0.0)


@triton.jit
def share(x, rows, program, programs, BLOCK: tl.constexpr, WIDE: tl.constexpr):
    """The sum of a program's share of some numbers."""
    lanes = tl.zeros([BLOCK], WIDE)
    for first in range(program * BLOCK, rows, programs * BLOCK):
        row = first + tl.arange(0, BLOCK)
        lanes += tl.load(x + row, mask=row < rows, other=0.0)
    return tl.sum(lanes, 0)


@triton.jit
def quotient(total, divisor, ZERO: tl.constexpr):
    """total/divisor; of nothing it is 0 where ZERO, else NaN."""
    empty = divisor == 0
    value = divide(total, tl.where(empty, 1.0, divisor))
    return tl.where(empty, 0.0 if ZERO else float("nan"), value)


@triton.jit
def write_total(total, squares, divisor, out, number_of_rows, z_loss, ZERO, PARTS: tl.constexpr, WIDE: tl.constexpr):
    """Write Σ loss/divisor + z_loss·Σ lse²/divisor."""
    if divisor is not None:
        own, count = divisors(divisor, PARTS, WIDE)
    else:
        own = number(number_of_rows, WIDE)
        count = own
    value = quotient(total, own, ZERO)
    if z_loss is not None:
        value += number(z_loss, WIDE) * quotient(squares, count, ZERO)
    tl.store(out, rounded(value, out))


@triton.jit(do_not_specialize=["rows", "divisor_number"])
def total(
    loss, square, divisor, out, work, ended, rows: tl.int64, divisor_number: tl.int64, z_loss,
    ZERO: tl.constexpr, PARTS: tl.constexpr, BLOCK: tl.constexpr, SHARES: tl.constexpr, WIDE: tl.constexpr,
):  # fmt: skip
    """The reduced loss from those of the rows, in one launch; SHARES programs, `ended` counts those that have ended."""
    program = tl.program_id(0).to(tl.int64)
    one = share(loss, rows, program, SHARES, BLOCK, WIDE)
    two = one
    if square is not None:
        two = share(square, rows, program, SHARES, BLOCK, WIDE)
    if SHARES == 1:
        write_total(one, two, divisor, out, divisor_number, z_loss, ZERO, PARTS, WIDE)
    else:
        tl.store(work + program, one)
        tl.store(work + SHARES + program, two)
        tl.debug_barrier()
        if tl.atomic_add(ended, 1, sem="acq_rel") == SHARES - 1:
            part = tl.arange(0, SHARES)
            one = tl.sum(tl.load(work + part, volatile=True), 0)
            two = tl.sum(tl.load(work + SHARES + part, volatile=True), 0)
            write_total(one, two, divisor, out, divisor_number, z_loss, ZERO, PARTS, WIDE)

"""Which elements of a binary loss count, and how much: `ignore_index` and `sample_weight` become weights and a divisor.

So every room takes them: an element that does not count has the weight 0, a label and a logit that are finite, and no
share in the mean's divisor.
"""

from __future__ import annotations

import dataclasses

from .._call.options import Options
from .._definition import Array, namespace


def counted(x: Array, y: Array, options: Options, sample_weight: Array, neutral: float) -> tuple[Array, Array, Array]:
    """(x, y, share): what does not count replaced by `neutral` and 0, and the weight of each element; None is 1."""
    xp = namespace(y)
    live = None if options.ignore_index is None else y != float(options.ignore_index)
    share = sample_weight
    if live is not None:
        share = xp.where(live, xp.ones_like(y) if share is None else share, 0.0)
        y = xp.where(live, y, 0.0)
    if share is None:
        return x, y, None
    held = (share == 0) & ~xp.isfinite(x) if live is None else ~live | ((share == 0) & ~xp.isfinite(x))
    return xp.where(held, neutral, x), y, share


def weighed(weight: Array, share: Array) -> Array:
    """The weight of each element times its share; 0 where it has none, whatever the weight."""
    if share is None or weight is None:
        return share if weight is None else weight
    return namespace(share).where(share == 0, 0.0, weight * share)


def divided(options: Options, share: Array) -> Options:
    """Options with the divisor of a mean over elements of such shares, unless the caller has given one."""
    if share is None or options.reduction != "mean" or options.denominator is not None:
        return options
    return dataclasses.replace(options, denominator=namespace(share).sum(share))

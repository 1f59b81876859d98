"""The gradient of a chunk's logits by what its rows tell: (loss, lse, entropy, confidence, log q), and extras.

Losses, log-probabilities and entropies, which policy losses are made of, have kernels; the others take the definition.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Sequence
from typing import Any

import torch
from torch import Tensor

from .._call.canonical import Rows
from .._definition import Array
from .._linear import block
from .._statistics import Extras, extras
from ..backends import agnostic, cpu
from . import functions

Cotangents = Sequence[Array]
LOSS, LSE, ENTROPY, CONFIDENCE, LOG_PROB, EXTRAS, MEAN = range(7)  # their places; the extras are the last
SERVED = {LOSS, LSE, ENTROPY, LOG_PROB, MEAN}
SOME = 2**21  # logits that the kernels work on at one time: their probabilities lie beside them


def write_gradient(rows: Rows, upstream: Cotangents) -> None:
    """The gradient for the cotangents, over the logits rows.x (n, C)."""
    asked = {k for k, g in enumerate(upstream) if g is not None}
    kernels = asked <= SERVED and cpu.serves(rows) and rows.x.device.type == "cpu"
    step = max(1, (SOME if kernels else block.CACHED) // rows.x.shape[-1])
    gradient = _by_kernels if kernels else _by_definition
    for start in range(0, rows.x.shape[0], step):
        few = slice(start, start + step)
        part, own = block.cut(rows, few), [None if g is None else g[few] for g in upstream]
        rows.x[few] = gradient(part, own)


def _by_kernels(rows: Rows, upstream: Cotangents) -> Tensor:
    """By the loss, lse, entropy, log q and the mean logit."""
    if sum(g is not None for g in upstream) > 1:  # the sum of them is rounded, once
        rows = rows._replace(x=rows.x.to(rows.sum_dtype))
    first, *rest = _parts(rows, upstream)
    for part in rest:
        first = first + part
    return first


def _parts(rows: Rows, upstream: Cotangents) -> Iterator[Tensor]:
    """The gradient by each of them that has a cotangent."""
    if upstream[LOSS] is not None:
        yield _of_loss(rows, upstream[LOSS])
    if upstream[LOG_PROB] is not None:
        options = dataclasses.replace(rows.options, label_smoothing=0.0, z_loss=0.0, poly1_epsilon=0.0)
        yield _of_loss(rows._replace(weight=None, sample_weight=None, options=options), -upstream[LOG_PROB])
    wide = rows._replace(x=rows.x.to(rows.sum_dtype))
    if upstream[ENTROPY] is not None:
        yield _of_entropy(wide, upstream[ENTROPY])
    if upstream[LSE] is not None:
        yield _through_options(wide, cpu.softmax(wide).mul_(upstream[LSE][:, None]))
    if len(upstream) > MEAN and upstream[MEAN] is not None:
        even = upstream[MEAN][:, None] / rows.x.shape[-1]
        yield _through_options(wide, even.expand(rows.x.shape))


def _of_loss(rows: Rows, g: Tensor) -> Tensor:
    """g·(w·softmax(z) − q), and that of the z-loss."""
    gradient: Tensor = cpu.cross_entropy_with_gradient(rows, lambda *_: (1.0, rows.options.z_loss), g.contiguous())[2]
    return gradient


def _of_entropy(rows: Rows, g: Tensor) -> Tensor:
    """−g·p·(log p − ⟨p, log p⟩): softmax's own gradient along log p, turned round; 0 where a class has no mass."""
    p, log_p = cpu.softmax(rows), cpu.log_softmax(rows)
    return _through_options(rows, cpu.softmax_gradient(p, log_p.masked_fill_(p == 0, 0.0)).mul_(-g[:, None]))


def _through_options(rows: Rows, gradient: Tensor) -> Tensor:
    """The gradient by x from that by z: soft-cap and temperature."""
    if rows.options.softcap is None and rows.options.temperature == 1:
        return gradient
    return gradient * agnostic.slope(rows.x, rows.options)


def _by_definition(rows: Rows, upstream: Cotangents) -> Tensor:
    """By everything, in the definition's differentiable functions."""
    z = rows.x.clone().requires_grad_()
    with torch.enable_grad():
        told = _told(rows._replace(x=z), upstream)
    pairs = [(out, g) for out, g in zip(told, upstream, strict=True) if g is not None]
    gradient: Tensor = torch.autograd.grad([out for out, _ in pairs], z, [g for _, g in pairs])[0]
    return gradient


def _told(rows: Rows, upstream: Cotangents) -> list[Any]:
    """What has a cotangent, the rest None."""
    x = agnostic.inputs(rows, every_row=True)
    z = agnostic.logits(x, rows, functions)
    wants = [g is not None for g in upstream]
    lse = agnostic.lse(x, z, rows, functions) if wants[LSE] else None
    entropy = functions.entropy(z) if wants[ENTROPY] else None
    confidence = functions.confidence(z) if wants[CONFIDENCE] else None
    target = wants[LOSS] or wants[LOG_PROB]
    loss, log_prob = agnostic.target_losses(rows, functions) if target else (None, None)
    more = extras(rows, functions) if any(wants[EXTRAS:]) else Extras()
    found = [loss, lse, entropy, confidence, log_prob, *more[:3]][: len(upstream)]
    kinds = zip(found, upstream, strict=True)
    return [None if value is None or g is None else value.to(g.dtype) for value, g in kinds]

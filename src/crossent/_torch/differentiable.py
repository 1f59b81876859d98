"""The losses in torch's own operations: what every transform, graph and second derivative goes through."""

from __future__ import annotations

from torch import Tensor

from .. import _reduction
from .._call.canonical import Elements, Rows
from ..backends import agnostic
from . import functions


def cross_entropy(rows: Rows) -> Tensor:
    """The reduced loss of rows."""
    value: Tensor = _reduction.reduce_rows(rows, *agnostic.cross_entropy(rows, functions))
    return value


def binary_cross_entropy_with_logits(call: Elements) -> Tensor:
    """The reduced binary loss of elements."""
    loss = agnostic.binary_cross_entropy_with_logits(call, functions)
    value: Tensor = _reduction.reduce_elements(loss, call.options, call.dtype)
    return value

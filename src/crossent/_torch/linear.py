"""The linear losses of torch tensors: which way a call takes, and what autograd needs to know about the chunks.

Eager calls go chunk by chunk; so does torch.compile, through an operator (`_chunked_operator`). What the chunks cannot
serve (transforms, dual numbers, second derivatives, a weight or a target that requires grad) takes the definition, on
all the logits: right, at the price of their memory.
"""

from __future__ import annotations

import dataclasses
import math
from typing import Any

import torch

from .._call.canonical import ExtraRowStats, Layer, Rows, RowStats
from .._definition import Array
from .._linear import chunks, passes
from .._linear.layer import counted, rounded, unattached, whole
from .._linear.layer import value_and_gradients as whole_value_and_gradients
from .._statistics import selects, statistics, with_extras
from . import differentiable, functions, linear_compiled, short, state, tied, ways
from .told import write_gradient

PLAIN = frozenset(("linear_bias", "reduction", "label_smoothing"))
SMALL = 2**16  # logits: below, the whole of them is faster than a chunk


def short_cross_entropy(x: Array, weight: Array, target: Array, given: dict[str, Any]) -> Array:
    """The loss of a small plain call on the shortest way: torch's layer, then the loss's own; None where it is not one.

    It has no ignored rows: what their features hold would reach the gradient of the weight.
    """
    if not (_is_plain(weight) and short.eager(x, target) and given.keys() <= PLAIN):
        return None
    shapes = x.ndim == 2 and weight.ndim == 2 and target.ndim == 1 and x.shape[1] == weight.shape[1]
    if not shapes or x.dtype != weight.dtype or not 0 < len(x) * len(weight) <= SMALL or len(weight) == 1:
        return None
    bias = given.get("linear_bias")
    if bias is not None and not (_is_plain(bias) and bias.dtype == x.dtype and bias.shape == weight.shape[:1]):
        return None
    options = {name: value for name, value in given.items() if name != "linear_bias"}
    if torch.is_autocast_enabled("cpu") or len(target) != len(x) or target.min().item() < 0:
        return None
    return short.cross_entropy(torch.nn.functional.linear(x, weight, bias), target, None, options)


def _is_plain(x: Array) -> bool:
    """Whether x is a tensor of no subclass in the host's memory."""
    return type(x) in state.TENSORS and x.is_cpu


def _plain_tensors(layer: Layer) -> bool:
    """Whether nothing but the layer is differentiated, and the layer is one of a row of classes."""
    rows = layer.rows
    others = (rows.q, rows.weight, rows.sample_weight, rows.options.denominator)
    return layer.weight.ndim == 2 and not any([getattr(part, "requires_grad", False) for part in others])  # noqa: C419  # of four


def _transformed(layer: Layer) -> bool:
    """Whether something has to see the operations: a transform, a trace, a mode, a tensor subclass."""
    if state.watched():
        return True
    for part in (layer.x, layer.weight, layer.bias, layer.rows.y, layer.rows.q):  # all(…) takes a frame a tensor
        if part is not None and state.stands_in(part):
            return True
    return False


def serves(layer: Layer) -> bool:
    """Whether chunks of an eager layer of torch tensors can be formed."""
    return layer.weight.ndim == 2 and not _transformed(layer)


def _whole_serves(layer: Layer) -> bool:
    """Whether all the logits are to be formed at once: the caller allows their memory, or they are few."""
    keeps = layer.rows.options.reduction == "none" and not layer.rows.options.recompute
    return keeps or layer.rows.x.numel() <= SMALL


def _wanted(layer: Layer) -> tuple[bool, bool, bool]:
    """Which gradients a backward pass may ask for."""
    on = torch.is_grad_enabled()
    parts = (layer.x, layer.weight, layer.bias)
    x, weight, bias = [on and part is not None and part.requires_grad for part in parts]
    return x, weight, bias


def cross_entropy(layer: Layer) -> Any:
    """The reduced loss of a layer of torch tensors; with return_stats a pair, the statistics second."""
    stats = layer.rows.options.return_stats
    if state.exporting() or not _plain_tensors(layer) or _whole_serves(layer):
        return defined(layer, stats=stats)
    if state.compiling() and not stats and not state.transforming() and linear_compiled.serves(layer):
        return linear_compiled.cross_entropy(layer, _wanted(layer))
    if _transformed(layer):
        return defined(layer, stats=stats)
    apply: Any = Chunked.apply
    if not stats:
        return apply(layer.x, layer.weight, layer.bias, layer, _wanted(layer), False)
    value, loss, *told = apply(layer.x, layer.weight, layer.bias, layer, _wanted(layer), True)
    return value, _row_stats(layer, loss, told)


def row_stats(layer: Layer) -> RowStats | ExtraRowStats:
    """What each row tells, of a layer of torch tensors."""
    if state.exporting() or not _plain_tensors(layer) or layer.rows.x.numel() <= SMALL or _transformed(layer):
        return defined_stats(layer)
    apply: Any = Chunked.apply
    rows = layer.rows._replace(options=dataclasses.replace(layer.rows.options, reduction="none"))
    _, loss, *told = apply(layer.x, layer.weight, layer.bias, layer._replace(rows=rows), _wanted(layer), True)
    return _row_stats(layer, loss, told)


def _row_stats(layer: Layer, loss: Array, told: Any) -> RowStats | ExtraRowStats:
    """The statistics in the result's dtype."""
    given = layer.rows.y is not None or layer.rows.q is not None
    parts = [loss if given else None, *told]
    kinds = [part.to(layer.rows.dtype) if part is not None and part.is_floating_point() else part for part in parts]
    plain = RowStats(*kinds[:6])
    return with_extras(layer.rows, plain, kinds[6:]) if len(kinds) > 6 else plain


@torch.no_grad()
def value_and_gradients(layer: Layer) -> tuple[Array, list[Array]]:
    """The value and the derivatives by x, weight and bias."""
    if not serves(layer):
        return whole_value_and_gradients(layer, ways.cross_entropy_with_gradient)
    with torch.autocast(layer.x.device.type, enabled=False):
        return passes.value_and_gradients(layer)


# --- the definition ---


def defined(layer: Layer, *, stats: bool) -> Any:
    """The same on all the logits, in differentiable operations."""
    value = ways.cross_entropy(whole(layer))
    return (value, defined_stats(layer)) if stats else value


def defined_stats(layer: Layer) -> RowStats | ExtraRowStats:
    """The statistics on all the logits; what concerns the target, from the rows that count."""
    told = _statistics(whole(layer, every_row=not selects(layer.rows)))
    if counted(layer.rows) is None or told.target_log_prob is None:
        return told
    own = _statistics(whole(layer))
    unknown = told.target_log_prob.detach().isnan()  # a row of weight 0 whose features are not finite
    return told._replace(loss=own.loss, target_log_prob=own.target_log_prob.masked_fill(unknown, torch.nan))


def _statistics(rows: Rows) -> RowStats | ExtraRowStats:
    """What canonical rows tell."""
    return statistics(rows, ways.room(rows), functions)


def _defined_outputs(layer: Layer, stats: bool) -> tuple[Array, ...]:
    """The outputs of Chunked, by the definition."""
    value = None if layer.rows.y is None and layer.rows.q is None else differentiable.cross_entropy(whole(layer))
    if not stats:
        return (value,)
    told = defined_stats(layer._replace(rows=layer.rows._replace(dtype=layer.rows.sum_dtype)))
    parts = told._asdict()
    parts.pop("is_top1", None)  # made of others
    return (value, *parts.values())


# --- the chunks ---


class Chunked(torch.autograd.Function):
    """A linear loss: a reduced one has formed its gradients with the value, rows form theirs from logits made again.

    Outputs: the value, and where asked for the loss, lse, entropy, argmax, confidence and log q of each row, extras.
    """

    @staticmethod
    def forward(
        ctx: Any, x: Array, weight: Array, bias: Array, layer: Layer, wanted: chunks.Wanted, stats: bool
    ) -> Any:
        """The outputs; what the backward pass needs is kept."""
        ctx.layer, ctx.wanted, ctx.stats = unattached(layer), wanted, stats
        ctx.set_materialize_grads(False)
        with torch.autocast(x.device.type, enabled=False):
            value, loss, told, gradients, ctx.factor = _pass(ctx.layer, wanted, stats)
        ctx.save_for_backward(x, weight, bias)
        rows = ctx.layer.rows
        ctx.tensors = tied.versions(rows.y, rows.q, rows.weight, rows.sample_weight, rows.where)
        ctx.gradients, ctx.layer = gradients, ctx.layer._replace(x=None, weight=None, bias=None)
        if not stats:
            return value
        places = [told[2], *(() if len(told) == 5 else (told[8],))]
        ctx.mark_non_differentiable(*(part for part in places if part is not None))
        if len(told) > 5 and told[8] is not None:  # the classes whose log-probabilities the backward pass forms again
            ctx.layer = ctx.layer._replace(rows=ctx.layer.rows._replace(chosen=told[8]))
        return value, loss.clone() if loss is value and loss is not None else loss, *told

    @staticmethod
    def backward(ctx: Any, *upstream: Array) -> Any:
        """The kept gradients times the cotangent, and those of the rows; by the definition, if to be differentiated."""
        if all(g is None for g in upstream):
            return None, None, None, None, None, None
        x, weight, bias = ctx.saved_tensors
        layer = ctx.layer._replace(x=x, weight=weight, bias=bias)
        reduced = layer.rows.options.reduction != "none"
        alone = reduced and all(g is None for g in upstream[1:])
        if not alone or torch.is_grad_enabled():
            tied.unchanged(*ctx.tensors)
        if torch.is_grad_enabled() or (not alone and any(_batched(g) for g in upstream)):
            return *_by_definition(layer, ctx, upstream), None, None, None
        with state.alone(), torch.autocast(x.device.type, enabled=False):
            g = upstream[0]
            total = [None, None, None] if not reduced or g is None else _times(ctx, g, layer)
            if not alone:
                total = [_plus(*pair) for pair in zip(total, _of_rows(layer, ctx.wanted, upstream), strict=True)]
        return *total, None, None, None


def _pass(layer: Layer, wanted: chunks.Wanted, stats: bool) -> Any:
    """The forward pass; rows without a target have statistics alone."""
    if layer.rows.y is None and layer.rows.q is None:
        return None, None, passes.statistics(layer), (None, None, None), 1.0
    reduced = layer.rows.options.reduction != "none"
    return passes.forward(layer, wanted if reduced else (False, False, False), stats=stats)


def _batched(g: Array) -> bool:
    """Whether a cotangent is seen through vmap, torch.func's or autograd's own for batched cotangents."""
    return g is not None and state.batched(g)


def _times(ctx: Any, g: Array, layer: Layer) -> list[Array]:
    """The kept gradients times the cotangent: in their own memory if the graph is not used again."""
    again = _batched(g) or state.keeps_graph()
    kept, g = ctx.gradients, g.to(layer.rows.sum_dtype) / ctx.factor
    ctx.gradients = kept if again else None
    out: list[Array] = [None, None, None]
    for k, (part, like) in enumerate(zip(kept, (layer.x, layer.weight, layer.bias), strict=True)):
        if part is not None:
            scaled = _scaled(part, g, own=not again)
            out[k] = scaled.to(like.dtype).reshape(like.shape)
    return out


def _scaled(part: Array, g: Array, *, own: bool) -> Array:
    """A gradient times the cotangent, in its own memory if that may be; not touched for one that is 1."""
    if ways.on_gpu(part) and not _batched(g):
        return ways.gpu().product(part, g, own)
    if not own:
        return (part * g).to(part.dtype)
    return part if g.device.type == "cpu" and g.item() == 1 else part.mul_(g)


def _plus(one: Array, two: Array) -> Array:
    """The sum of two gradients, either of which may be None."""
    return two if one is None else one if two is None else one + two


def _of_rows(layer: Layer, wanted: chunks.Wanted, upstream: Any) -> list[Array]:
    """The gradients by what the rows tell, from logits that are formed again."""
    batch, wide = layer.x.shape[:-1], layer.rows.sum_dtype
    value, *rest = upstream
    g_loss: Array
    g_stats: list[Array]
    g_loss, g_stats = (value if layer.rows.options.reduction == "none" else None), rest
    if rest:
        g_loss, g_stats = _plus(g_loss, rest[0]), [*rest[1:3], *rest[4:9]]
    if any(g is not None for g in g_stats):
        count = math.prod(batch)
        tails = [(), (), (), (), (), (), (), (-1,)]
        given = zip((g_loss, *g_stats), tails, strict=False)
        g_stats = [None if g is None else g.to(wide).reshape(count, *tail) for g, tail in given]
        parts = _stats_gradients(layer, wanted, g_stats)
    else:
        parts = passes.row_gradients(layer, wanted, g_loss.to(wide).reshape(batch))
    return rounded(layer, parts)


def _stats_gradients(layer: Layer, wanted: chunks.Wanted, upstream: list[Array]) -> tuple[Array, Array, Array]:
    """The gradients by what each row tells: (loss, lse, entropy, confidence, log q), extras; see `row_gradients`."""
    given = [g if g.ndim == 1 else g.abs().sum(-1) for g in upstream if g is not None]
    counts = torch.stack([g != 0 for g in given]).any(0).reshape(layer.x.shape[:-1])

    def visit(part: Rows, place: Any) -> None:
        write_gradient(part, [None if g is None else g[place] for g in upstream])

    return chunks.walk(layer, visit, wanted, counts)


def _by_definition(layer: Layer, ctx: Any, upstream: Any) -> list[Array]:
    """The gradients through the definition, differentiable if that is asked for."""
    places = [k for k in range(3) if ctx.needs_input_grad[k]]
    inputs = [(layer.x, layer.weight, layer.bias)[k] for k in places]
    with torch.enable_grad(), state.outside_of_transforms():  # batched are the cotangents alone
        outputs = _defined_outputs(layer, ctx.stats)
    pairs = [(o, g) for o, g in zip(outputs, upstream, strict=True) if g is not None and o.requires_grad]
    found = torch.autograd.grad(
        [o for o, _ in pairs],
        inputs,
        [g.to(o.dtype) for o, g in pairs],
        create_graph=torch.is_grad_enabled(),
        allow_unused=True,
    )
    out: list[Array] = [None, None, None]
    for k, part in zip(places, found, strict=True):
        out[k] = part
    return out

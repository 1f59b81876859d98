"""What torch's autograd needs to know: the definition's functions with their derivatives in the accurate form.

Each function exists twice: torch.compile refuses a Function that has a `jvp`, forward-mode differentiation needs one.
The backward passes are made of differentiable operations, so double backward, vmap, torch.func and hessians follow.
"""

from __future__ import annotations

import math
from typing import Any

import torch

from .. import _definition as definition
from .. import _functions
from .._definition import Array
from . import state

Context = Any


class _Rule(torch.autograd.Function):
    """A function of its inputs alone: all are saved, nothing else is."""

    generate_vmap_rule = True

    @staticmethod
    def setup_context(ctx: Context, inputs: tuple[Any, ...], output: Any) -> None:  # noqa: ARG004  # torch's signature
        """Save the inputs, for both directions."""
        ctx.save_for_backward(*inputs)
        ctx.save_for_forward(*inputs)


def _column(g: Array) -> Array:
    """A cotangent of rows as a factor of their classes."""
    return g[..., None]


class RowLoss(_Rule):
    """See crossent._functions.row_loss."""

    @staticmethod
    def forward(z: Array, q: Array) -> Array:
        """w·log1p(r) − t."""
        return _functions.row_loss(z, q)

    @staticmethod
    def backward(ctx: Context, g: Array) -> Any:
        """g·(w·softmax(z) − q), and g·(lse − z) for the target."""
        z, q = ctx.saved_tensors
        dz = (_column(g) * definition.gradient(z, q)).to(z.dtype) if ctx.needs_input_grad[0] else None
        dq = (-_column(g) * _functions.log_softmax(z)).to(q.dtype) if ctx.needs_input_grad[1] else None
        return dz, dq


class RowLossForward(RowLoss):
    """RowLoss with forward-mode differentiation."""

    @staticmethod
    def jvp(ctx: Context, dz: Array, dq: Array) -> Array:
        """⟨w·softmax(z) − q, dz⟩ + ⟨lse − z, dq⟩."""
        z, q = ctx.saved_tensors
        out: Any = 0 if dz is None else torch.sum(definition.product(dz, definition.gradient(z, q)), -1)
        out = out if dq is None else out - torch.sum(definition.product(dq, _functions.log_softmax(z)), -1)
        return out.to(z.dtype)


class LogSumExp(_Rule):
    """See crossent._functions.logsumexp."""

    @staticmethod
    def forward(z: Array) -> Array:
        """m + log1p(r)."""
        return _functions.logsumexp(z)

    @staticmethod
    def backward(ctx: Context, g: Array) -> Any:
        """g·softmax(z)."""
        return _column(g) * _functions.softmax(*ctx.saved_tensors)


class LogSumExpForward(LogSumExp):
    """LogSumExp with forward-mode differentiation."""

    @staticmethod
    def jvp(ctx: Context, dz: Array) -> Array:
        """⟨softmax(z), dz⟩."""
        return torch.sum(definition.product(dz, _functions.softmax(*ctx.saved_tensors)), -1)


class WeightedLogSumExp(_Rule):
    """See crossent._functions.weighted_logsumexp."""

    @staticmethod
    def forward(z: Array, b: Array) -> Array:
        """log |Σ b·exp(z)|."""
        return _functions.weighted_logsumexp(z, b)

    @staticmethod
    def backward(ctx: Context, g: Array) -> Any:
        """g·b·exp(z)/S, and g·exp(z)/S for the weights."""
        z, b = ctx.saved_tensors
        slopes = _functions.weighted_slopes(z, b, weighted_logsumexp(z, b))
        needed = ctx.needs_input_grad
        return tuple(_column(g) * slope if needed[k] else None for k, slope in enumerate(slopes))


class WeightedLogSumExpForward(WeightedLogSumExp):
    """WeightedLogSumExp with forward-mode differentiation."""

    @staticmethod
    def jvp(ctx: Context, dz: Array, db: Array) -> Array:
        """⟨b·exp(z)/S, dz⟩ + ⟨exp(z)/S, db⟩."""
        z, b = ctx.saved_tensors
        slopes = _functions.weighted_slopes(z, b, _functions.weighted_logsumexp(z, b))
        terms = [torch.sum(slope * d, -1) for slope, d in zip(slopes, (dz, db), strict=True) if d is not None]
        return sum(terms[1:], terms[0])


class SoftmaxGradient(_Rule):
    """p·(g − ⟨p, g⟩), p = softmax(z): symmetric in what it meets, and its derivatives are itself again."""

    @staticmethod
    def forward(z: Array, g: Array) -> Array:
        """See crossent._functions.pull."""
        return _functions.softmax_gradient(z, g)

    @staticmethod
    def backward(ctx: Context, u: Array) -> Any:
        """Itself along (u − ⟨p, u⟩)·(g − ⟨p, g⟩) for z, and along u for g."""
        z, g = ctx.saved_tensors
        dz = softmax_gradient(z, _about_mean(z, u) * _about_mean(z, g)) if ctx.needs_input_grad[0] else None
        return dz, softmax_gradient(z, u) if ctx.needs_input_grad[1] else None


class SoftmaxGradientForward(SoftmaxGradient):
    """SoftmaxGradient with forward-mode differentiation."""

    @staticmethod
    def jvp(ctx: Context, dz: Array, dg: Array) -> Array:
        """The same two terms, along (dz, dg)."""
        z, g = ctx.saved_tensors
        out = 0 if dz is None else softmax_gradient(z, _about_mean(z, dz) * _about_mean(z, g))
        return out if dg is None else out + softmax_gradient(z, dg)


def _about_mean(z: Array, g: Array) -> Array:
    """g − ⟨softmax(z), g⟩."""
    return g - torch.sum(definition.product(softmax(z), g), -1, keepdim=True)


class Softmax(_Rule):
    """See crossent._functions.softmax."""

    @staticmethod
    def forward(z: Array) -> Array:
        """exp(z − m)/(1 + r)."""
        return _functions.softmax(z)

    @staticmethod
    def backward(ctx: Context, g: Array) -> Any:
        """p·(g − ⟨g, p⟩)."""
        return softmax_gradient(*ctx.saved_tensors, g)


class SoftmaxForward(Softmax):
    """Softmax with forward-mode differentiation; its Jacobian is symmetric."""

    @staticmethod
    def jvp(ctx: Context, dz: Array) -> Array:
        """p·(dz − ⟨dz, p⟩)."""
        return softmax_gradient(*ctx.saved_tensors, dz)


class Entropy(_Rule):
    """See crossent._functions.entropy."""

    @staticmethod
    def forward(z: Array) -> Array:
        """log1p(r) − u/(1 + r)."""
        return _functions.entropy(z)

    @staticmethod
    def backward(ctx: Context, g: Array) -> Any:
        """−g·p·(d − ⟨p, d⟩), d = z − m."""
        (z,) = ctx.saved_tensors
        return -_column(g) * softmax_gradient(z, _distance(z))


class EntropyForward(Entropy):
    """Entropy with forward-mode differentiation."""

    @staticmethod
    def jvp(ctx: Context, dz: Array) -> Array:
        """⟨−p·(d − ⟨p, d⟩), dz⟩."""
        (z,) = ctx.saved_tensors
        return -torch.sum(definition.product(dz, softmax_gradient(z, _distance(z))), -1)


def _distance(z: Array) -> Array:
    """z − m, 0 where a class has no mass."""
    d = definition.centre(z)[4].to(z.dtype)
    return torch.where(d == -math.inf, 0.0, d)


class Confidence(_Rule):
    """See crossent._functions.confidence."""

    @staticmethod
    def forward(z: Array) -> Array:
        """1/(1 + r)."""
        return _functions.confidence(z)

    @staticmethod
    def backward(ctx: Context, g: Array) -> Any:
        """g times softmax's gradient at the most probable class."""
        (z,) = ctx.saved_tensors
        return _column(g) * softmax_gradient(z, _top(z))


class ConfidenceForward(Confidence):
    """Confidence with forward-mode differentiation."""

    @staticmethod
    def jvp(ctx: Context, dz: Array) -> Array:
        """⟨softmax's gradient at the most probable class, dz⟩."""
        (z,) = ctx.saved_tensors
        return torch.sum(definition.product(dz, softmax_gradient(z, _top(z))), -1)


class LogSumSqProbs(_Rule):
    """See crossent._functions.log_sum_sq_probs."""

    @staticmethod
    def forward(z: Array) -> Array:
        """log Σ p²."""
        return _functions.log_sum_sq_probs(z)

    @staticmethod
    def backward(ctx: Context, g: Array) -> Any:
        """g times softmax's gradient along 2p/Σp²."""
        (z,) = ctx.saved_tensors
        return _column(g) * softmax_gradient(z, _pull_of_squares(z))


class LogSumSqProbsForward(LogSumSqProbs):
    """LogSumSqProbs with forward-mode differentiation."""

    @staticmethod
    def jvp(ctx: Context, dz: Array) -> Array:
        """⟨softmax's gradient along 2p/Σp², dz⟩."""
        (z,) = ctx.saved_tensors
        return torch.sum(definition.product(dz, softmax_gradient(z, _pull_of_squares(z))), -1)


def _pull_of_squares(z: Array) -> Array:
    """2p/Σp²."""
    return 2 * torch.exp(log_softmax(z) - log_sum_sq_probs(z)[..., None])


def _top(z: Array) -> Array:
    """1 at each row's most probable class, 0 elsewhere."""
    return definition.class_mask(z.argmax(-1), z).to(z.dtype)


class LogSoftmax(_Rule):
    """See crossent._functions.log_softmax."""

    @staticmethod
    def forward(z: Array) -> Array:
        """(z − m) − log1p(r)."""
        return _functions.log_softmax(z)

    @staticmethod
    def backward(ctx: Context, g: Array) -> Any:
        """g − softmax(z)·Σg: the gradient of a cross-entropy with targets g, turned round."""
        (z,) = ctx.saved_tensors
        return -definition.gradient(z, g).to(z.dtype)


class LogSoftmaxForward(LogSoftmax):
    """LogSoftmax with forward-mode differentiation."""

    @staticmethod
    def jvp(ctx: Context, dz: Array) -> Array:
        """dz − ⟨softmax(z), dz⟩."""
        p = _functions.softmax(*ctx.saved_tensors)
        return dz - torch.sum(definition.product(dz, p), -1, keepdim=True)


class BinaryLoss(_Rule):
    """See crossent._functions.binary_loss."""

    @staticmethod
    def forward(x: Array, positive: Array, negative: Array) -> Array:
        """The loss of the two-class rows with logits (x, 0)."""
        return _functions.binary_loss(x, positive, negative)

    @staticmethod
    def backward(ctx: Context, g: Array) -> Any:
        """g·(negative·σ(x) − positive·σ(−x)), and g·log(1 + exp(∓x)) for the two targets."""
        x, positive, negative = ctx.saved_tensors
        needed = ctx.needs_input_grad
        dx = (g * _functions.binary_gradient(x, positive, negative)).to(x.dtype) if needed[0] else None
        return dx, g * softplus(-x) if needed[1] else None, g * softplus(x) if needed[2] else None


class BinaryLossForward(BinaryLoss):
    """BinaryLoss with forward-mode differentiation."""

    @staticmethod
    def jvp(ctx: Context, dx: Array, d_positive: Array, d_negative: Array) -> Array:
        """The derivative along (dx, d_positive, d_negative)."""
        x, positive, negative = ctx.saved_tensors
        out: Any = 0 if dx is None else definition.product(dx, _functions.binary_gradient(x, positive, negative))
        out = out if d_positive is None else out + definition.product(d_positive, softplus(-x))
        out = out if d_negative is None else out + definition.product(d_negative, softplus(x))
        return out.to(x.dtype)


class Tanh(_Rule):
    """The hyperbolic tangent."""

    @staticmethod
    def forward(x: Array) -> Array:
        """The tangent."""
        return torch.tanh(x)

    @staticmethod
    def backward(ctx: Context, g: Array) -> Any:
        """g·(1 − tanh²) in the form that does not cancel."""
        return g * _functions.tanh_slope(*ctx.saved_tensors)


class TanhForward(Tanh):
    """Tanh with forward-mode differentiation."""

    @staticmethod
    def jvp(ctx: Context, dx: Array) -> Array:
        """The same along dx."""
        return definition.product(dx, _functions.tanh_slope(*ctx.saved_tensors))


def constant(x: Array) -> Array:
    """x without its derivative."""
    return x.detach()


def softplus(x: Array) -> Array:
    """log(1 + exp(x)) = the loss of a two-class row whose class is the other one."""
    return _functions.binary_loss(x, torch.zeros_like(x), torch.ones_like(x))


def _rule(plain: type[_Rule], forward: type[_Rule]) -> Any:
    """The function that picks the variant which the running transform accepts."""

    def apply(*inputs: Array) -> Array:
        rule: Any = plain if state.compiling() else forward
        return rule.apply(*inputs)

    return apply


row_loss = _rule(RowLoss, RowLossForward)
logsumexp = _rule(LogSumExp, LogSumExpForward)
weighted_logsumexp = _rule(WeightedLogSumExp, WeightedLogSumExpForward)
softmax = _rule(Softmax, SoftmaxForward)
softmax_gradient = _rule(SoftmaxGradient, SoftmaxGradientForward)
log_softmax = _rule(LogSoftmax, LogSoftmaxForward)
entropy = _rule(Entropy, EntropyForward)
confidence = _rule(Confidence, ConfidenceForward)
log_sum_sq_probs = _rule(LogSumSqProbs, LogSumSqProbsForward)
binary_loss = _rule(BinaryLoss, BinaryLossForward)
tanh = _rule(Tanh, TanhForward)


def moments(z: Array) -> tuple[Array, Array, Array, Array]:
    """See crossent._functions.moments."""
    return _functions.moments_of(z, logsumexp, entropy, confidence)

"""What leaves logits unformed: views and slices of rows, factors, tanh, wider dtypes, losses and what rows tell.

Each function says for some of torch's how it is done without the logits, or returns NotImplemented.
"""

from __future__ import annotations

import dataclasses
import functools
import math
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from .logits import LazyLogits
from .recipe import Recipe

__all__ = ["LazyLogits"]  # with what is told here

WIDTH = {torch.float16: 2, torch.bfloat16: 2, torch.float32: 4, torch.float64: 8}
T = Tensor


def stays_lazy(*functions: Any, anywhere: bool = False) -> Callable[[Any], Any]:
    """Register how functions of torch are done without the logits; `anywhere`: with the classes on axis 1 too."""

    def register(operation: Any) -> Any:
        if anywhere:
            LazyLogits.of_elements.update(functions)
        LazyLogits.operations.update(dict.fromkeys(functions, operation))
        return operation

    return register


# --- what only asks about the tensor ---

ATTRIBUTES = (
    "shape dtype device layout ndim requires_grad grad_fn is_leaf _base _version itemsize nbytes is_cpu is_cuda "
    "is_mps is_xpu is_xla is_meta is_sparse is_sparse_csr is_quantized is_nested is_mkldnn"
)
METHODS = (
    "size dim ndimension numel nelement stride is_contiguous element_size get_device is_floating_point is_complex "
    "is_signed is_inference is_neg is_conj __len__ __hash__"
)
LazyLogits.about.update(getattr(T, name).__get__ for name in ATTRIBUTES.split())
LazyLogits.about.update(getattr(T, name) for name in METHODS.split())
LazyLogits.about.update((torch.is_floating_point, torch.is_complex, torch.numel))
LazyLogits.of_layout.update((T.stride, T.is_contiguous))


@stays_lazy(T.register_hook)
def _hook(z: LazyLogits, hook: Any) -> Any:
    """FSDP2 asks to hear of every output's gradient; that of the loss comes first."""
    owner = type(getattr(hook, "__self__", None)).__module__
    if not owner.startswith("torch.distributed."):
        return NotImplemented
    with torch._C.DisableTorchFunctionSubclass():
        return T.register_hook(z, hook)  # type: ignore[no-untyped-call]


# --- rows: what looks at the batch alone looks at the layer's input ---


@stays_lazy(T.__getitem__)
def _getitem(z: LazyLogits, index: Any) -> Any:
    parts = index if isinstance(index, tuple) else (index,)
    if not parts or not _of_rows(parts, len(z.recipe.shape)):
        return NotImplemented
    copied = any(isinstance(part, Tensor) for part in parts)
    return _rows(z, z.recipe.x[index], None if copied else lambda whole: whole[index])


def _rows(z: LazyLogits, x: Tensor, view: Callable[[Tensor], Tensor] | None) -> LazyLogits:
    """The logits of the rows x: a view of z, or a copy."""
    return LazyLogits.made(z.recipe.of_rows(x), None if view is None else (z, view))


def _of_rows(index: tuple[Any, ...], ndim: int) -> bool:
    """Whether an index leaves the axis of the classes whole."""
    if any(isinstance(part, (bool, LazyLogits)) or not isinstance(part, INDICES) for part in index):
        return False
    masks = [part.ndim if isinstance(part, Tensor) and part.dtype in MASKS else 1 for part in index]
    taken = sum(k for part, k in zip(index, masks, strict=True) if part is not None and part is not Ellipsis)
    whole = isinstance(index[-1], slice) and index[-1] == slice(None)
    if any(part is Ellipsis for part in index):
        return whole or (index[-1] is Ellipsis and taken < ndim)
    return taken < ndim or (taken == ndim and whole)


INDICES = (int, slice, Tensor, type(None), type(Ellipsis))
MASKS = (torch.bool, torch.uint8)


def _reshaped(function: Any) -> None:
    """Reshapes that keep the classes together."""

    @stays_lazy(function)
    def reshape(z: LazyLogits, *args: Any, **kwargs: Any) -> Any:
        recipe = z.recipe
        likeness = function(torch.empty(recipe.shape, dtype=recipe.dtype, device="meta"), *args, **kwargs)
        if likeness.dtype != recipe.dtype or likeness.shape[-1:] != recipe.shape[-1:]:
            return NotImplemented
        x = recipe.x.reshape(*likeness.shape[:-1], recipe.x.shape[-1])
        return _rows(z, x, lambda whole: function(whole, *args, **kwargs))


RESHAPES: tuple[Any, ...] = (T.view, T.reshape, T.flatten, T.unsqueeze, T.squeeze)
for _function in (*RESHAPES, torch.reshape, torch.flatten, torch.unsqueeze, torch.squeeze):
    _reshaped(_function)


def _parted(function: Any, place: int) -> None:
    """Functions of one axis, whose number is the argument at a place: as long as it is not that of the classes."""

    @stays_lazy(function)
    def part(z: LazyLogits, *args: Any, **kwargs: Any) -> Any:
        axis = kwargs.get("dim", args[place] if len(args) > place else 0)
        if not isinstance(axis, int) or axis % len(z.recipe.shape) == len(z.recipe.shape) - 1:
            return NotImplemented
        found = function(z.recipe.x, *args, **kwargs)
        if isinstance(found, Tensor):
            return _rows(z, found, lambda whole: function(whole, *args, **kwargs))
        pick = [functools.partial(_item, function, args, kwargs, k) for k in range(len(found))]
        return tuple(_rows(z, x, view) for x, view in zip(found, pick, strict=True))


def _item(function: Any, args: Any, kwargs: Any, k: int, whole: Tensor) -> Tensor:
    """One of the parts."""
    part: Tensor = function(whole, *args, **kwargs)[k]
    return part


AXES = {"split": 1, "chunk": 1, "unbind": 0, "narrow": 0, "select": 0}
for _name, _place in AXES.items():
    _parted(getattr(T, _name), _place)
    _parted(getattr(torch, _name), _place)


def _permuted(function: Any) -> None:
    """Axes in another order: those of the rows alone, or the classes from the last to the second, where losses look."""

    @stays_lazy(function)
    def permute(z: LazyLogits, *args: Any, **kwargs: Any) -> Any:
        last = len(z.recipe.shape) - 1
        numbered = torch.empty(tuple(range(1, last + 2)), device="meta")
        order = [size - 1 for size in function(numbered, *args, **kwargs).shape]
        if order[-1] == last:
            return _rows(z, function(z.recipe.x, *args, **kwargs), lambda whole: function(whole, *args, **kwargs))
        if last < 2 or order != [0, last, *range(1, last)]:
            return NotImplemented
        recipe = dataclasses.replace(z.recipe, second=True)
        return LazyLogits.made(recipe, (z, lambda whole: function(whole, *args, **kwargs)))


NAMES = ("transpose", "permute", "movedim", "moveaxis", "swapaxes", "swapdims")
for _function in (getattr(place, name) for place in (T, torch) for name in NAMES):
    _permuted(_function)


@stays_lazy(T.__iter__)
def _iterate(z: LazyLogits) -> Any:
    return iter(z.unbind(0)) if len(z.recipe.shape) > 1 else NotImplemented


@stays_lazy(T.contiguous, T.clone, torch.clone)
def _copied(z: LazyLogits, **_: Any) -> LazyLogits:
    return z.copied()


@stays_lazy(T.detach, torch.detach)
def _detached(z: LazyLogits) -> LazyLogits:
    return LazyLogits.made(z.recipe.detached(), (z, T.detach))


# --- numbers: what a loss knows by its options ---


@stays_lazy(T.mul, T.__mul__, T.__rmul__, torch.mul, anywhere=True)
def _times(z: LazyLogits, factor: Any) -> Any:
    return LazyLogits.made(z.recipe.then(torch.mul, factor)) if _is_factor(factor) else NotImplemented


@stays_lazy(T.div, T.__truediv__, torch.div, torch.true_divide, anywhere=True)
def _over(z: LazyLogits, divisor: Any, **other: Any) -> Any:
    plain = _is_factor(divisor) and not other
    return LazyLogits.made(z.recipe.then(torch.div, divisor)) if plain else NotImplemented


def _is_factor(number: Any) -> bool:
    """Whether it is a number that a loss can take out: not 0."""
    return type(number) in (int, float) and math.isfinite(number) and number != 0


@stays_lazy(T.add, T.__add__, T.__radd__, torch.add)
def _plus(z: LazyLogits, other: Any, **more: Any) -> Any:
    """A number for each class, as BART's final_logits_bias, becomes part of the layer's bias."""
    recipe = z.recipe
    if more or recipe.steps or type(other) not in (Tensor, torch.nn.Parameter) or other.device != recipe.x.device:
        return NotImplemented
    classes, own = recipe.shape[-1], recipe.weight.dtype
    if other.shape[-1:] != (classes,) or other.numel() != classes or other.ndim > len(recipe.shape):
        return NotImplemented
    if torch.promote_types(own, other.dtype) != own or not other.is_floating_point():
        return NotImplemented
    bias = other.reshape(classes).to(own)
    recipe = recipe.of_bias(bias if recipe.bias is None else recipe.bias + bias)
    return _cast(LazyLogits.made(recipe), torch.promote_types(recipe.dtype, other.dtype))


@stays_lazy(T.tanh, torch.tanh, anywhere=True)
def _tanh(z: LazyLogits) -> LazyLogits:
    return LazyLogits.made(z.recipe.then(torch.tanh))


@stays_lazy(T.float, anywhere=True)
def _float(z: LazyLogits) -> Any:
    return _cast(z, torch.float32)


@stays_lazy(T.double, anywhere=True)
def _double(z: LazyLogits) -> Any:
    return _cast(z, torch.float64)


@stays_lazy(T.to, anywhere=True)
def _to(z: LazyLogits, *args: Any, dtype: Any = None, device: Any = None, **more: Any) -> Any:
    if more.keys() - {"non_blocking"}:
        return NotImplemented
    for part in args:
        if isinstance(part, torch.dtype):
            dtype = part
        elif isinstance(part, (torch.device, str, int)) and not isinstance(part, bool):
            device = part
        elif part is not False:
            return NotImplemented
    if device is not None and torch.device(device) not in (z.device, torch.device(z.device.type)):
        return NotImplemented
    return z if dtype is None else _cast(z, dtype)


def _cast(z: LazyLogits, dtype: torch.dtype) -> Any:
    """To a dtype that holds every number of the old one."""
    before = z.recipe.dtype
    if dtype == before:
        return z
    if WIDTH.get(dtype, 0) <= WIDTH[before]:
        return NotImplemented
    return LazyLogits.made(z.recipe.then(T.to, dtype, dtype=dtype))


# --- losses, and what rows tell ---


@stays_lazy(F.cross_entropy, anywhere=True)
def _cross_entropy(
    z: LazyLogits,
    target: Tensor,
    weight: Tensor | None = None,
    size_average: bool | None = None,
    ignore_index: int = -100,
    reduce: bool | None = None,
    reduction: str = "mean",
    label_smoothing: float = 0.0,
) -> Any:
    deprecated = size_average is not None or reduce is not None
    recipe = z.recipe.classes_last()
    fits = target.shape == recipe.shape[:-1] if z.recipe.second else len(recipe.shape) == 2
    if deprecated or not fits or not recipe.plain():
        return NotImplemented
    options = {"ignore_index": ignore_index, "reduction": reduction, "label_smoothing": label_smoothing}
    return recipe.loss(target, weight=weight, **options)


@stays_lazy(T.log_softmax, torch.log_softmax, F.log_softmax)
def _log_softmax(z: LazyLogits, dim: Any = None, dtype: Any = None, _stacklevel: int = 3) -> Any:
    """Not worked out: those of some classes may be all that is wanted, of `gather` or a likelihood."""
    if not _is_last(z, dim) or not z.recipe.plain():
        return NotImplemented
    z = z if dtype is None else _cast(z, dtype)
    return NotImplemented if z is NotImplemented else LazyLogits.made(z.recipe.then(torch.log_softmax, -1))


@stays_lazy(F.nll_loss)
def _nll_loss(
    z: LazyLogits,
    target: Tensor,
    weight: Tensor | None = None,
    size_average: bool | None = None,
    ignore_index: int = -100,
    reduce: bool | None = None,
    reduction: str = "mean",
) -> Any:
    deprecated = size_average is not None or reduce is not None
    found = z.recipe.before_log_softmax()
    if deprecated or found is None or len(z.recipe.shape) != 2:
        return NotImplemented
    logits, factor = found
    return factor * logits.loss(target, weight=weight, ignore_index=ignore_index, reduction=reduction)


def _even(z: LazyLogits, logits: Recipe) -> Tensor:
    """The mean over the classes of the log-probabilities of logits."""
    mean = logits.mean()
    if mean is None:  # that of an even target, turned round
        any_class = torch.zeros(logits.shape[:-1], dtype=torch.int64, device=z.recipe.x.device)
        return -logits.loss(any_class, reduction="none", label_smoothing=1.0, dtype="wide", check=False)
    differentiated = torch.is_grad_enabled() and z._requires_grad()
    known = z.told is not None and (z.told.lse.requires_grad or not differentiated)
    lse: Tensor = (z.told if known else logits.statistics(dtype="wide")).lse
    return mean - lse


@stays_lazy(T.gather, torch.gather)
def _gather(z: LazyLogits, dim: Any, index: Any, **more: Any) -> Any:
    """Some classes of each row: their log-probabilities, or their logits, from their own rows of the weight."""
    recipe = z.recipe
    fits = type(index) is Tensor and index.dtype is torch.int64 and index.shape[:-1] == z.shape[:-1]
    if more or not _is_last(z, dim) or not fits or index.device != recipe.x.device:
        return NotImplemented
    found = recipe.before_log_softmax()
    if found is not None and index.shape[-1] == 1:
        z.told = found[0].statistics(index[..., 0], ignore_index=NONE, dtype="wide", check=False)
        return (found[1] * z.told.target_log_prob).to(recipe.dtype)[..., None]
    if found is not None:
        return found[1] * found[0].log_probs(index, ignore_index=NONE)
    few = index.numel() * recipe.x.shape[-1] < recipe.shape[-1] * max(1, index[..., :1].numel())
    return recipe.chosen(index) if few and recipe.elementwise() else NotImplemented


@stays_lazy(T.neg, T.__neg__, torch.neg, anywhere=True)
def _negative(z: LazyLogits) -> LazyLogits:
    return LazyLogits.made(z.recipe.then(torch.mul, -1))


@stays_lazy(T.sum, torch.sum)
def _sum(z: LazyLogits, dim: Any = None, keepdim: bool = False, dtype: Any = None) -> Any:
    """Of the log-probabilities of all classes, as label smoothing has it."""
    return _mean_log_prob(z, dim, keepdim, dtype, z.recipe.shape[-1])


@stays_lazy(T.mean, torch.mean)
def _mean(z: LazyLogits, dim: Any = None, keepdim: bool = False, dtype: Any = None) -> Any:
    return _mean_log_prob(z, dim, keepdim, dtype, 1)


def _mean_log_prob(z: LazyLogits, dim: Any, keepdim: bool, dtype: Any, times: int) -> Any:
    """The mean over the classes of log-probabilities, times a number."""
    found = z.recipe.before_log_softmax()
    dim = dim[0] if isinstance(dim, (list, tuple)) and len(dim) == 1 else dim
    if found is None or not _is_last(z, dim) or (dtype is not None and not dtype.is_floating_point):
        return NotImplemented
    value = (found[1] * times * _even(z, found[0])).to(dtype or z.recipe.dtype)
    return value.unsqueeze(-1) if keepdim else value


NONE = -(2**62)  # no index: torch's gather ignores none


@stays_lazy(T.argmax, torch.argmax)
def _argmax(z: LazyLogits, dim: Any = None, keepdim: bool = False) -> Any:
    if not _is_last(z, dim) or not z.recipe.plain():
        return NotImplemented
    with torch.no_grad():
        found = z.recipe.detached().statistics().prediction
    return found.unsqueeze(-1) if keepdim else found


@stays_lazy(T.logsumexp, torch.logsumexp)
def _logsumexp(z: LazyLogits, dim: Any, keepdim: bool = False) -> Any:
    if not _is_last(z, dim) or not z.recipe.plain():
        return NotImplemented
    found = z.recipe.statistics().lse
    return found.unsqueeze(-1) if keepdim else found


def _is_last(z: LazyLogits, dim: Any) -> bool:
    """Whether an axis is that of the classes."""
    return isinstance(dim, int) and dim % len(z.recipe.shape) == len(z.recipe.shape) - 1

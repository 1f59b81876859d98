"""Modules for PyTorch: subclasses of torch's own losses, with torch's constructor arguments and crossent's extras.

They replace torch's by changing one import; `isinstance` checks, `state_dict`, pickling and `.to()` go on working.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch

from . import binary, focal, linear, losses
from ._call.arrays import as_array, like
from ._call.options import (
    BinaryOptions,
    FocalOptions,
    LinearLossOptions,
    LossOptions,
    NLLOptions,
    ProbabilityOptions,
    SigmoidFocalOptions,
    validated,
)
from ._call.refused import WAY, refuse_proxy
from ._door.rows import share_of_positives
from ._door.targets import warn
from .errors import MissingDependencyError, TracingError
from .softmax import log_softmax, softmax

if TYPE_CHECKING:
    from typing_extensions import Unpack

__all__ = [
    "BCELoss",
    "BCEWithLogitsLoss",
    "CrossEntropyLoss",
    "FocalLoss",
    "LinearCrossEntropyLoss",
    "LogSoftmax",
    "NLLLoss",
    "SigmoidFocalLoss",
    "Softmax",
]

Tensor = torch.Tensor
Proxies: Any = torch.fx.Proxy  # a model that torch.fx records, to be quantised or cut, has torch's own softmax


def _buffer(given: Any, name: str) -> Tensor | None:
    """A weight as a tensor of the module's own: lists, numbers and arrays of other libraries are copied."""
    if given is None or isinstance(given, Tensor):
        return given
    array = as_array(given, name)
    own: Tensor = like(torch.empty(0), array, name)
    kept = own.is_floating_point() and array is given
    return own.clone() if kept else own.to(torch.get_default_dtype(), copy=True)


class _Options:
    """The extras of a loss module: checked when it is made, passed on at each call, shown by repr."""

    extras: dict[str, Any]

    def _keep(self, extras: dict[str, Any], allowed: type, **torch_options: Any) -> None:
        validated(type(self).__name__, None, {**torch_options, **extras}, allowed)
        self.extras = extras

    def __prepare_scriptable__(self) -> Any:
        """What torch.jit.script asks for first, of this module and of those that hold it."""
        text = f"crossent.nn.{type(self).__name__} cannot be compiled by torch.jit.script, which torch has deprecated"
        raise TracingError(f"{text}: {WAY}; script the model without its loss")

    def extra_repr(self) -> str:
        return ", ".join(f"{name}={value!r}" for name, value in self.extras.items())


class CrossEntropyLoss(_Options, torch.nn.CrossEntropyLoss):
    """The module of `crossent.cross_entropy`.

    loss = w·log1p(r) − t,  m = max z,  r = Σ exp(z − m) − 1,  t = Σ q·(z − m),  w = Σ q

    Parameters
    ----------
    weight, size_average, ignore_index, reduce, reduction, label_smoothing
        As in `torch.nn.CrossEntropyLoss`; the weights may be a list or an array of any library.
    extras
        axis, where, z_loss, logit_scale, softcap, temperature, on_empty, dtype, inplace, check: as in
        `crossent.cross_entropy`. What belongs to one batch (sample_weight, denominator, where) is given to the call:
        `loss(x, y, where=mask)`.

    Raises
    ------
    OptionError
        For an option outside its range, when the module is made.

    Examples
    --------
    >>> import torch, crossent
    >>> loss = crossent.nn.CrossEntropyLoss(label_smoothing=0.1)
    >>> loss(torch.tensor([[2.0, 1.0, 0.1]]), torch.tensor([0]))
    tensor(0.5137)

    References
    ----------
    See `crossent.cross_entropy`.
    """

    def __init__(
        self,
        weight: Any = None,
        size_average: bool | None = None,
        ignore_index: int = -100,
        reduce: bool | None = None,
        reduction: str = "mean",
        label_smoothing: float = 0.0,
        **extras: Any,
    ) -> None:
        weight = _buffer(weight, "weight")
        super().__init__(weight, size_average, ignore_index, reduce, reduction, label_smoothing)
        self._keep(extras, LossOptions, reduction=self.reduction, label_smoothing=label_smoothing)

    def forward(self, input: Tensor, target: Tensor, **batch: Unpack[LossOptions]) -> Tensor:
        """The loss of a batch; see `crossent.cross_entropy`."""
        if type(input) is not Tensor:
            refuse_proxy(input, "input")
        own: dict[str, Any] = {
            "ignore_index": self.ignore_index,
            "reduction": self.reduction,
            "label_smoothing": self.label_smoothing,
        }
        value: Tensor = losses.cross_entropy(input, target, self.weight, **{**own, **self.extras, **batch})
        return value


_TorchLinear: Any = getattr(torch.nn, "LinearCrossEntropyLoss", torch.nn.Module)


class LinearCrossEntropyLoss(_Options, _TorchLinear):  # type: ignore[misc]  # older torch has no such class
    """The module of `crossent.linear_cross_entropy`: a linear layer, `self.linear`, and its loss.

    loss = w·log1p(r) − t of the rows z = x·Wᵀ + b,  m = max z,  r = Σ exp(z − m) − 1,  t = Σ q·(z − m),  w = Σ q

    Parameters
    ----------
    in_features, num_classes, out_features, bias, device, dtype
        As in `torch.nn.LinearCrossEntropyLoss`.
    reduction, weight, ignore_index, label_smoothing, options
        As in `torch.nn.LinearCrossEntropyLoss`.
    extras
        where, z_loss, logit_scale, softcap, temperature, on_empty, check, shift, chunk_size, recompute, return_stats:
        as in `crossent.linear_cross_entropy`. What belongs to one batch (sample_weight, denominator, where) and the
        result's dtype are given to the call.

    Raises
    ------
    OptionError
        For an option outside its range, when the module is made.
    MissingDependencyError
        For a torch before 2.13, which has no such module; the function needs no newer one.

    Examples
    --------
    >>> import torch, crossent
    >>> loss = crossent.nn.LinearCrossEntropyLoss(4, 3, bias=True)
    >>> loss(torch.zeros(2, 4), torch.tensor([0, 2])).shape
    torch.Size([])

    References
    ----------
    See `crossent.linear_cross_entropy`.
    """

    def __init__(
        self,
        in_features: int,
        num_classes: int,
        *,
        out_features: tuple[int, ...] = (),
        bias: bool = False,
        device: Any = None,
        dtype: Any = None,
        reduction: str = "mean",
        weight: Any = None,
        ignore_index: int | None = None,
        label_smoothing: float = 0.0,
        options: Any = None,
        **extras: Any,
    ) -> None:
        if _TorchLinear is torch.nn.Module:
            raise MissingDependencyError(f"LinearCrossEntropyLoss needs torch 2.13, this is {torch.__version__}")
        self._keep(extras, LinearLossOptions, reduction=reduction, label_smoothing=label_smoothing)
        super().__init__(
            in_features,
            num_classes,
            out_features=out_features,
            bias=bias,
            device=device,
            dtype=dtype,
            reduction=reduction,
            weight=_buffer(weight, "weight"),
            ignore_index=ignore_index,
            label_smoothing=label_smoothing,
            options=options,
        )

    def extra_repr(self) -> str:
        """torch's own line and the extras."""
        return ", ".join(part for part in (_TorchLinear.extra_repr(self), super().extra_repr()) if part)

    def forward(self, input: Tensor, target: Tensor, **batch: Unpack[LinearLossOptions]) -> Any:
        """The loss of a batch of features; see `crossent.linear_cross_entropy`."""
        if type(input) is not Tensor:
            refuse_proxy(input, "input")
        shape = (self.num_classes, *self.out_features)
        bias = self.linear.bias
        own: dict[str, Any] = {
            "linear_bias": None if bias is None else bias.reshape(shape),
            "weight": self.weight,
            "ignore_index": self.ignore_index,
            "reduction": self.reduction,
            "label_smoothing": self.label_smoothing,
            "options": self.options,
        }
        weight = self.linear.weight.reshape((*shape, self.linear.in_features))
        return linear.linear_cross_entropy(input, weight, target, **{**own, **self.extras, **batch})


class NLLLoss(_Options, torch.nn.NLLLoss):
    """The module of `crossent.nll_loss`.

    loss = −⟨q, log p⟩

    Parameters
    ----------
    weight, size_average, ignore_index, reduce, reduction
        As in `torch.nn.NLLLoss`; see `CrossEntropyLoss`.
    extras
        axis, on_empty, dtype, check: as in `crossent.nll_loss`; sample_weight and denominator are given to the call.

    Raises
    ------
    OptionError
        For an option outside its range, when the module is made.

    Examples
    --------
    >>> import torch, crossent
    >>> crossent.nn.NLLLoss()(torch.tensor([[0.7, 0.2, 0.1]]).log(), torch.tensor([0]))
    tensor(0.3567)

    References
    ----------
    See `crossent.nll_loss`.
    """

    def __init__(
        self,
        weight: Any = None,
        size_average: bool | None = None,
        ignore_index: int = -100,
        reduce: bool | None = None,
        reduction: str = "mean",
        **extras: Any,
    ) -> None:
        super().__init__(_buffer(weight, "weight"), size_average, ignore_index, reduce, reduction)
        self._keep(extras, NLLOptions, reduction=self.reduction)

    def forward(self, input: Tensor, target: Tensor, **batch: Unpack[NLLOptions]) -> Tensor:
        """The loss of a batch of log-probabilities; see `crossent.nll_loss`."""
        if type(input) is not Tensor:
            refuse_proxy(input, "input")
        own: dict[str, Any] = {"ignore_index": self.ignore_index, "reduction": self.reduction}
        value: Tensor = losses.nll_loss(input, target, self.weight, **{**own, **self.extras, **batch})
        return value


class BCELoss(_Options, torch.nn.BCELoss):
    """The module of `crossent.binary_cross_entropy`; with logits at hand, prefer `BCEWithLogitsLoss`.

    loss = −y·log p − (1 − y)·log(1 − p)

    Parameters
    ----------
    weight, size_average, reduce, reduction
        As in `torch.nn.BCELoss`; see `CrossEntropyLoss`.
    extras
        ignore_index, label_smoothing, on_empty, dtype, check: as in `crossent.binary_cross_entropy`; sample_weight and
        denominator are given to the call.

    Raises
    ------
    OptionError
        For an option outside its range, when the module is made.

    Examples
    --------
    >>> import torch, crossent
    >>> crossent.nn.BCELoss()(torch.tensor([0.7]), torch.tensor([1.0]))
    tensor(0.3567)

    References
    ----------
    See `crossent.binary_cross_entropy`.
    """

    def __init__(
        self,
        weight: Any = None,
        size_average: bool | None = None,
        reduce: bool | None = None,
        reduction: str = "mean",
        **extras: Any,
    ) -> None:
        super().__init__(_buffer(weight, "weight"), size_average, reduce, reduction)
        self._keep(extras, ProbabilityOptions, reduction=self.reduction)

    def forward(self, input: Tensor, target: Tensor, **batch: Unpack[ProbabilityOptions]) -> Tensor:
        """The loss of a batch of probabilities; see `crossent.binary_cross_entropy`."""
        if type(input) is not Tensor:
            refuse_proxy(input, "input")
        own: dict[str, Any] = {"reduction": self.reduction}
        value: Tensor = binary.binary_cross_entropy(input, target, self.weight, **{**own, **self.extras, **batch})
        return value


class BCEWithLogitsLoss(_Options, torch.nn.BCEWithLogitsLoss):
    """The module of `crossent.binary_cross_entropy_with_logits`.

    loss = the cross-entropy of the rows (x, 0) with targets (y, 1 − y)

    Parameters
    ----------
    weight, size_average, reduce, reduction, pos_weight
        As in `torch.nn.BCEWithLogitsLoss`; see `CrossEntropyLoss`.
    extras
        ignore_index, label_smoothing, softcap, temperature, on_empty, dtype, check: as in
        `crossent.binary_cross_entropy_with_logits`; sample_weight and denominator are given to the call.

    Raises
    ------
    OptionError
        For an option outside its range, when the module is made.

    Examples
    --------
    >>> import torch, crossent
    >>> crossent.nn.BCEWithLogitsLoss()(torch.tensor([20.0]), torch.tensor([0.0]))
    tensor(20.)

    References
    ----------
    See `crossent.binary_cross_entropy_with_logits`.
    """

    def __init__(
        self,
        weight: Any = None,
        size_average: bool | None = None,
        reduce: bool | None = None,
        reduction: str = "mean",
        pos_weight: Any = None,
        **extras: Any,
    ) -> None:
        weight, pos_weight = _buffer(weight, "weight"), _buffer(pos_weight, "pos_weight")
        super().__init__(weight, size_average, reduce, reduction, pos_weight)
        self._keep(extras, BinaryOptions, reduction=self.reduction)

    def forward(self, input: Tensor, target: Tensor, **batch: Unpack[BinaryOptions]) -> Tensor:
        """The loss of a batch of logits; see `crossent.binary_cross_entropy_with_logits`."""
        if type(input) is not Tensor:
            refuse_proxy(input, "input")
        own: dict[str, Any] = {"reduction": self.reduction, "pos_weight": self.pos_weight}
        given = {**own, **self.extras, **batch}
        value: Tensor = binary.binary_cross_entropy_with_logits(input, target, self.weight, **given)
        return value


class FocalLoss(_Options, torch.nn.Module):
    """The module of `crossent.focal_loss`.

    loss = Σ q·(1 − p)^γ·(−log p)

    Parameters
    ----------
    weight
        One weight a class, a buffer of the module.
    alpha
        A factor, or one a class, a buffer of the module.
    gamma
        γ.
    extras
        The other options of `crossent.focal_loss`; sample_weight, denominator and where are given to the call.

    Raises
    ------
    OptionError
        For an option outside its range, when the module is made.

    Examples
    --------
    >>> import torch, crossent
    >>> crossent.nn.FocalLoss(gamma=2.0)(torch.tensor([[2.0, 1.0, 0.1]]), torch.tensor([0]))
    tensor(0.0485)

    References
    ----------
    See `crossent.focal_loss`.
    """

    def __init__(self, weight: Any = None, alpha: Any = None, gamma: float = 2.0, **extras: Any) -> None:
        super().__init__()
        self.register_buffer("weight", _buffer(weight, "weight"))
        self.register_buffer("alpha", _buffer(alpha, "alpha"))
        self._keep({"gamma": gamma, **extras}, FocalOptions)

    def forward(self, input: Tensor, target: Tensor, **batch: Unpack[FocalOptions]) -> Tensor:
        """The loss of a batch; see `crossent.focal_loss`."""
        if type(input) is not Tensor:
            refuse_proxy(input, "input")
        given: dict[str, Any] = {"alpha": self.alpha, **self.extras, **batch}
        value: Tensor = focal.focal_loss(input, target, self.weight, **given)
        return value


class SigmoidFocalLoss(_Options, torch.nn.Module):
    """The module of `crossent.sigmoid_focal_loss`, with torchvision's defaults.

    loss = α_y·(1 − p_y)^γ·(−log p_y)

    Parameters
    ----------
    weight
        A factor for each element, or a shape that broadcasts to input; a buffer of the module.
    alpha, gamma, reduction
        As in `torchvision.ops.sigmoid_focal_loss`.
    extras
        The other options of `crossent.sigmoid_focal_loss`; sample_weight and denominator are given to the call.

    Raises
    ------
    OptionError
        For an option outside its range, when the module is made.

    Examples
    --------
    >>> import torch, crossent
    >>> crossent.nn.SigmoidFocalLoss(reduction="sum")(torch.tensor([2.0]), torch.tensor([0.0]))
    tensor(1.2376)

    References
    ----------
    See `crossent.sigmoid_focal_loss`.
    """

    def __init__(
        self,
        weight: Any = None,
        alpha: float | None = 0.25,
        gamma: float = 2.0,
        reduction: str = "none",
        **extras: Any,
    ) -> None:
        super().__init__()
        self.register_buffer("weight", _buffer(weight, "weight"))
        own = {"alpha": share_of_positives(type(self).__name__, alpha), "gamma": gamma, "reduction": reduction}
        self._keep({**own, **extras}, SigmoidFocalOptions)

    def forward(self, input: Tensor, target: Tensor, **batch: Unpack[SigmoidFocalOptions]) -> Tensor:
        """The loss of a batch of logits; see `crossent.sigmoid_focal_loss`."""
        if type(input) is not Tensor:
            refuse_proxy(input, "input")
        given: dict[str, Any] = {**self.extras, **batch}
        value: Tensor = focal.sigmoid_focal_loss(input, target, self.weight, **given)
        return value


def _axis(dim: Any, input: Any, name: str) -> Any:
    """The axis of a softmax module; torch's implicit choice for dim=None is the first axis of three, ours the last."""
    if dim is None and isinstance(input, Tensor) and input.ndim == 3:
        text = f"{name}() without dim takes the last axis of input {tuple(input.shape)}, torch takes the first"
        warn(f"{text}: say dim=-1 or dim=0")
    return -1 if dim is None else dim


class Softmax(torch.nn.Softmax):
    """The module of `crossent.softmax`; dim=None is the last axis, a tuple names several.

    softmax(x)ᵢ = exp(xᵢ − m) / Σⱼ exp(xⱼ − m)

    Raises
    ------
    AxisError
        For an axis that the input does not have.

    Examples
    --------
    >>> import torch, crossent
    >>> crossent.nn.Softmax(dim=-1)(torch.tensor([2.0, 1.0, 0.1]))
    tensor([0.6590, 0.2424, 0.0986])

    References
    ----------
    See `crossent.softmax`.
    """

    def forward(self, input: Tensor) -> Tensor:
        """The probabilities of a batch; see `crossent.softmax`."""
        own: Any = torch.softmax if isinstance(input, Proxies) else softmax
        value: Tensor = own(input, _axis(self.dim, input, "Softmax"))
        return value

    def __prepare_scriptable__(self) -> torch.nn.Module:
        """What torch.jit.script compiles in place of this module."""
        return torch.nn.Softmax(_axis(self.dim, None, "Softmax"))


class LogSoftmax(torch.nn.LogSoftmax):
    """The module of `crossent.log_softmax`; dim=None is the last axis, a tuple names several.

    log_softmax(x)ᵢ = (xᵢ − m) − log1p(r)

    Raises
    ------
    AxisError
        For an axis that the input does not have.

    Examples
    --------
    >>> import torch, crossent
    >>> crossent.nn.LogSoftmax(dim=-1)(torch.tensor([2.0, 1.0, 0.1]))
    tensor([-0.4170, -1.4170, -2.3170])

    References
    ----------
    See `crossent.log_softmax`.
    """

    def forward(self, input: Tensor) -> Tensor:
        """The log-probabilities of a batch; see `crossent.log_softmax`."""
        own: Any = torch.log_softmax if isinstance(input, Proxies) else log_softmax
        value: Tensor = own(input, _axis(self.dim, input, "LogSoftmax"))
        return value

    def __prepare_scriptable__(self) -> torch.nn.Module:
        """What torch.jit.script compiles in place of this module."""
        return torch.nn.LogSoftmax(_axis(self.dim, None, "LogSoftmax"))

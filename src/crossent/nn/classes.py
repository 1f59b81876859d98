"""The modules of the losses with classes."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch

from .. import focal, losses
from .._call.options import FocalOptions, LossOptions, NLLOptions
from .kept import Kept, Tensor, own_buffer

if TYPE_CHECKING:
    from typing_extensions import Unpack


class CrossEntropyLoss(Kept, torch.nn.CrossEntropyLoss):
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

    OWN = ("ignore_index", "reduction", "label_smoothing")

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
        weight = own_buffer(weight, "weight")
        super().__init__(weight, size_average, ignore_index, reduce, reduction, label_smoothing)
        self._keep(extras, LossOptions, reduction=self.reduction, label_smoothing=label_smoothing)

    def forward(self, input: Tensor, target: Tensor, **batch: Unpack[LossOptions]) -> Tensor:
        """The loss of a batch; see `crossent.cross_entropy`."""
        value: Tensor = self._of(losses.cross_entropy, input, target, batch)
        return value


class NLLLoss(Kept, torch.nn.NLLLoss):
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

    OWN = ("ignore_index", "reduction")

    def __init__(
        self,
        weight: Any = None,
        size_average: bool | None = None,
        ignore_index: int = -100,
        reduce: bool | None = None,
        reduction: str = "mean",
        **extras: Any,
    ) -> None:
        super().__init__(own_buffer(weight, "weight"), size_average, ignore_index, reduce, reduction)
        self._keep(extras, NLLOptions, reduction=self.reduction)

    def forward(self, input: Tensor, target: Tensor, **batch: Unpack[NLLOptions]) -> Tensor:
        """The loss of a batch of log-probabilities; see `crossent.nll_loss`."""
        value: Tensor = self._of(losses.nll_loss, input, target, batch)
        return value


class FocalLoss(Kept, torch.nn.Module):
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

    OWN = ("alpha",)

    def __init__(self, weight: Any = None, alpha: Any = None, gamma: float = 2.0, **extras: Any) -> None:
        super().__init__()
        self.register_buffer("weight", own_buffer(weight, "weight"))
        self.register_buffer("alpha", own_buffer(alpha, "alpha"))
        self._keep({"gamma": gamma, **extras}, FocalOptions)

    def forward(self, input: Tensor, target: Tensor, **batch: Unpack[FocalOptions]) -> Tensor:
        """The loss of a batch; see `crossent.focal_loss`."""
        value: Tensor = self._of(focal.focal_loss, input, target, batch)
        return value

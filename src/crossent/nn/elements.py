"""The modules of the binary losses."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch

from .. import binary, focal
from .._call.options import BinaryOptions, ProbabilityOptions, SigmoidFocalOptions
from .._door.rows import share_of_positives
from .kept import Kept, Tensor, own_buffer

if TYPE_CHECKING:
    from typing_extensions import Unpack


class BCELoss(Kept, torch.nn.BCELoss):
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

    OWN = ("reduction",)

    def __init__(
        self,
        weight: Any = None,
        size_average: bool | None = None,
        reduce: bool | None = None,
        reduction: str = "mean",
        **extras: Any,
    ) -> None:
        super().__init__(own_buffer(weight, "weight"), size_average, reduce, reduction)
        self._keep(extras, ProbabilityOptions, reduction=self.reduction)

    def forward(self, input: Tensor, target: Tensor, **batch: Unpack[ProbabilityOptions]) -> Tensor:
        """The loss of a batch of probabilities; see `crossent.binary_cross_entropy`."""
        value: Tensor = self._of(binary.binary_cross_entropy, input, target, batch)
        return value


class BCEWithLogitsLoss(Kept, torch.nn.BCEWithLogitsLoss):
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

    OWN = ("reduction", "pos_weight")

    def __init__(
        self,
        weight: Any = None,
        size_average: bool | None = None,
        reduce: bool | None = None,
        reduction: str = "mean",
        pos_weight: Any = None,
        **extras: Any,
    ) -> None:
        weight, pos_weight = own_buffer(weight, "weight"), own_buffer(pos_weight, "pos_weight")
        super().__init__(weight, size_average, reduce, reduction, pos_weight)
        self._keep(extras, BinaryOptions, reduction=self.reduction)

    def forward(self, input: Tensor, target: Tensor, **batch: Unpack[BinaryOptions]) -> Tensor:
        """The loss of a batch of logits; see `crossent.binary_cross_entropy_with_logits`."""
        value: Tensor = self._of(binary.binary_cross_entropy_with_logits, input, target, batch)
        return value


class SigmoidFocalLoss(Kept, torch.nn.Module):
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
        self.register_buffer("weight", own_buffer(weight, "weight"))
        own = {"alpha": share_of_positives(type(self).__name__, alpha), "gamma": gamma, "reduction": reduction}
        self._keep({**own, **extras}, SigmoidFocalOptions)

    def forward(self, input: Tensor, target: Tensor, **batch: Unpack[SigmoidFocalOptions]) -> Tensor:
        """The loss of a batch of logits; see `crossent.sigmoid_focal_loss`."""
        value: Tensor = self._of(focal.sigmoid_focal_loss, input, target, batch)
        return value

"""The module of the linear layer with its loss."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch

from .. import linear
from .._call.options import LinearLossOptions
from .._call.refused import refuse_proxy
from ..errors import MissingDependencyError
from .kept import Kept, Tensor, own_buffer

if TYPE_CHECKING:
    from typing_extensions import Unpack

_TorchLinear: Any = getattr(torch.nn, "LinearCrossEntropyLoss", torch.nn.Module)


class LinearCrossEntropyLoss(Kept, _TorchLinear):  # type: ignore[misc]  # older torch has no such class
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
            weight=own_buffer(weight, "weight"),
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

"""AdamW on a list of parameters, its whole state in plain tensors."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import torch
from torch import Tensor, nn
from torch.optim.adamw import adamw

__all__ = ["AdamW"]

FUSED_DEVICES = ("cpu", "cuda", "mps", "xpu")


class AdamW:
    """Adam with decoupled weight decay: PyTorch's own kernel, called on gradients that are passed in.

        m ← β₁·m + (1 − β₁)·g      v ← β₂·v + (1 − β₂)·g²
        θ ← θ − η·λ·θ − η·(m / (1 − β₁ᵗ)) / (√(v / (1 − β₂ᵗ)) + ε)

    The functional form takes a third of the time of `torch.optim.AdamW.step` on a small network, and its state is
    four lists of tensors: `tensors` names them for a checkpoint.

    Args:
        named_parameters: as from `network.named_parameters()`; updated in place.
        learning_rate: η. weight_decay: λ.

    Source: Loshchilov, Hutter, Decoupled weight decay regularization (2019), algorithm 2.
    """

    def __init__(
        self, named_parameters: Iterable[tuple[str, nn.Parameter]], *, learning_rate: float, weight_decay: float
    ) -> None:
        self.names, self.parameters = (list(part) for part in zip(*named_parameters, strict=True))
        self.learning_rate, self.weight_decay = learning_rate, weight_decay
        self._values = [parameter.detach() for parameter in self.parameters]
        self._averages = [torch.zeros_like(value) for value in self._values]
        self._squares = [torch.zeros_like(value) for value in self._values]
        self._steps = [torch.zeros((), device=value.device) for value in self._values]
        self._fused = all(value.device.type in FUSED_DEVICES for value in self._values)

    def step(self, gradients: Sequence[Tensor]) -> None:
        """Move every parameter against its gradient, in place."""
        adamw(
            self._values,
            list(gradients),
            self._averages,
            self._squares,
            [],
            self._steps,
            fused=self._fused,
            amsgrad=False,
            beta1=0.9,
            beta2=0.999,
            lr=self.learning_rate,
            weight_decay=self.weight_decay,
            eps=1e-8,
            maximize=False,
        )

    def tensors(self) -> dict[str, Tensor]:
        """Name the live tensors that, with the parameters, decide the next step."""
        lists = {"average": self._averages, "square": self._squares, "step": self._steps}
        return {
            f"{kind}.{name}": tensor for kind in lists for name, tensor in zip(self.names, lists[kind], strict=True)
        }

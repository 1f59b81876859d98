"""The modules of softmax and its logarithm."""

from __future__ import annotations

from typing import Any

import torch

from .._door.targets import warn
from ..softmax import log_softmax, softmax
from .kept import Tensor

Proxies: Any = torch.fx.Proxy  # a model that torch.fx records, to be quantised or cut, has torch's own softmax


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

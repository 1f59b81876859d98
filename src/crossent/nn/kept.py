"""What the loss modules keep: options that are checked when a module is made, and weights of its own."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, ClassVar

import torch

from .._call.arrays import as_array, like
from .._call.options import validated
from .._call.refused import WAY, refuse_proxy
from ..errors import TracingError

Tensor = torch.Tensor


def own_buffer(given: Any, name: str) -> Tensor | None:
    """A weight as a tensor of the module's own: lists, numbers and arrays of other libraries are copied."""
    if given is None or isinstance(given, Tensor):
        return given
    array = as_array(given, name)
    own: Tensor = like(torch.empty(0), array, name)
    kept = own.is_floating_point() and array is given
    return own.clone() if kept else own.to(torch.get_default_dtype(), copy=True)


class Kept:
    """The extras of a loss module: checked when it is made, passed on at each call, shown by repr."""

    OWN: ClassVar[tuple[str, ...]] = ()  # options that are attributes, as in torch's module
    extras: dict[str, Any]
    weight: Any

    def _keep(self, extras: dict[str, Any], allowed: type, **torch_options: Any) -> None:
        """Check the options and keep the extras."""
        validated(type(self).__name__, None, {**torch_options, **extras}, allowed)
        self.extras = extras

    def _of(self, loss: Callable[..., Any], input: Any, target: Any, batch: Mapping[str, Any]) -> Any:
        """The loss of a batch, by the module's options and those of this call."""
        if type(input) is not Tensor:
            refuse_proxy(input, "input")
        own = {name: getattr(self, name) for name in self.OWN}
        return loss(input, target, self.weight, **{**own, **self.extras, **batch})

    def __prepare_scriptable__(self) -> Any:
        """What torch.jit.script asks for first, of this module and of those that hold it."""
        text = f"crossent.nn.{type(self).__name__} cannot be compiled by torch.jit.script, which torch has deprecated"
        raise TracingError(f"{text}: {WAY}; script the model without its loss")

    def extra_repr(self) -> str:
        """The extras, as repr shows them."""
        return ", ".join(f"{name}={value!r}" for name, value in self.extras.items())

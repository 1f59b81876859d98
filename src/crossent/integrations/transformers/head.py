"""`fused_head`: any model with output embeddings, trained without forming its logits."""

from __future__ import annotations

import copy
import types
import warnings
from typing import Any

import torch
from torch import Tensor, nn

from ...errors import ModelError
from .operations import LazyLogits

__all__ = ["FusedHead", "fused_head"]


def fused_head(model: Any) -> FusedHead:
    """Train a model through `linear_cross_entropy`: its logits are formed where something looks at them, else never.

    loss = mean of LSE(zᵢ) − zᵢ[yᵢ],  z = softcap·tanh(scale·x·Wᵀ / softcap)  or  scale·x·Wᵀ,  some rows of z at a time

    The head that `model.get_output_embeddings()` names gives `LazyLogits` in place of a tensor of (…, V) numbers. The
    factor, soft-cap, casts, views and shifts that the model applies are noted, and its loss (the model's own, one of
    `crossent.integrations.transformers`, or a `torch.nn.functional.cross_entropy` in a loop of yours) becomes one
    `crossent.linear_cross_entropy` call. Whatever else is done with `outputs.logits` forms them, right and with their
    gradients, at the memory that they cost without this.

    Parameters
    ----------
    model
        With `get_output_embeddings()` giving an `nn.Linear` (tied to the embeddings or not, with a bias or without):
        every causal or masked language model of Transformers, before or after DDP, FSDP2, accelerate, or PEFT of other
        layers.

    Returns
    -------
    FusedHead
        A context manager with `undo()`. Parameters, `state_dict` and `save_pretrained` are as before. Under
        torch.compile, torch.jit, torch.func and DeepSpeed's ZeRO-3 the head goes on forming its logits.

    Raises
    ------
    ModelError
        For a model without output embeddings, a head that is no plain linear layer, and a PEFT adapter on the head.

    Examples
    --------
    >>> import torch
    >>> from transformers import LlamaConfig, LlamaForCausalLM
    >>> from crossent.integrations.transformers import fused_head
    >>> sizes = {"hidden_size": 16, "intermediate_size": 32, "num_hidden_layers": 1, "num_attention_heads": 2}
    >>> model = LlamaForCausalLM(LlamaConfig(vocab_size=100, **sizes))
    >>> ids = torch.randint(0, 100, (2, 8))
    >>> with fused_head(model):
    ...     outputs = model(input_ids=ids, labels=ids)
    ...     outputs.loss.backward()
    >>> outputs.logits
    LazyLogits(shape=(2, 8, 100), dtype=torch.float32, not formed)

    References
    ----------
    See `crossent.linear_cross_entropy`.
    """
    head = _head_of(model)
    if isinstance(head, _Fused):
        head._crossent_depth += 1
        return FusedHead(head)
    fused: Any = _fused_class(type(head))
    head._crossent_depth = 1
    if "_old_forward" in vars(head):  # accelerate's hooks call what they found when they were put on
        head._old_forward = types.MethodType(fused.forward, head)
    head.__class__ = fused
    return FusedHead(head)


class FusedHead:
    """What `fused_head` returns: `with fused_head(model): …`, or `undo()` when it is no longer wanted."""

    def __init__(self, head: Any) -> None:
        self._head = head

    def undo(self) -> None:
        """Give the head its own forward back; a second call does nothing."""
        head, self._head = self._head, None
        if head is None:
            return
        head._crossent_depth -= 1
        own = type(head)
        if head._crossent_depth or own not in _classes.values():  # in use elsewhere, or FSDP has wrapped the class
            return
        head.__class__ = own.__mro__[2]
        del head._crossent_depth
        if "_old_forward" in vars(head):
            head._old_forward = types.MethodType(type(head).forward, head)

    def __enter__(self) -> FusedHead:
        return self

    def __exit__(self, *_: object) -> None:
        self.undo()

    def __repr__(self) -> str:
        return "FusedHead(undone)" if self._head is None else f"FusedHead({self._head})"


class _Fused:
    """A linear layer whose output is lazy: put before the layer's class, so that isinstance and copies stay right."""

    _crossent_depth: int

    def forward(self, input: Tensor) -> Tensor:
        """The logits, not formed where that serves."""
        if self._crossent_depth and _serves(self, input):
            return LazyLogits.of(input, self)
        return super().forward(input)  # type: ignore[misc,no-any-return]  # that of the layer's class

    def __deepcopy__(self, memo: dict[int, Any]) -> Any:
        own = memo[id(self)] = type(self).__new__(type(self))
        vars(own).update(copy.deepcopy(vars(self), memo))
        return own

    def __reduce_ex__(self, protocol: Any) -> Any:
        """Saved, it is a plain layer, which loads without crossent."""
        state = {name: value for name, value in vars(self).items() if name != "_crossent_depth"}
        return object.__new__, (type(self).__mro__[2],), state


def _fused_class(own: type) -> type:
    """The class of heads of one class; it bears that one's name."""
    if own not in _classes:
        names = {"__module__": own.__module__, "__qualname__": own.__qualname__}
        _classes[own] = type(own.__name__, (_Fused, own), names)
    return _classes[own]


_classes: dict[type, type] = {}


def _serves(head: Any, x: Tensor) -> bool:
    """Whether lazy logits serve here: an eager call on plain tensors, of more rows than generation asks for."""
    if torch.compiler.is_compiling():
        _say_compiled()
        return False
    weight, bias = head.weight, head.bias
    plain = all(type(part) in (Tensor, nn.Parameter) for part in (x, weight) if part is not None)
    if not plain or hasattr(weight, "ds_id") or weight.shape[0] < 2 or x.ndim < 2:
        return False
    if bias is not None and type(bias) not in (Tensor, nn.Parameter):
        return False
    if torch._C._get_tracing_state() is not None or torch._C._functorch.peek_interpreter_stack() is not None:
        return False
    few = not torch.is_grad_enabled() and x.shape[-2] == 1
    return not few and not torch._C._len_torch_dispatch_stack() and x.is_floating_point()


@torch.compiler.assume_constant_result  # type: ignore[untyped-decorator]  # torch's
def _say_compiled() -> None:
    """Once a process: torch.compile cannot trace a tensor that forms itself."""
    if not _said:
        _said.append(True)
        text = "fused_head: torch.compile traces the plain logits, so they are formed and take their memory"
        warnings.warn(f"{text}; compile model.base_model alone to keep the fused loss", UserWarning, stacklevel=2)


_said: list[bool] = []


def _head_of(model: Any) -> Any:
    """The linear layer that gives the logits."""
    model = getattr(model, "module", model) if not hasattr(model, "get_output_embeddings") else model
    name = type(model).__name__
    if not hasattr(model, "get_output_embeddings"):
        text = f"fused_head: {name} has no get_output_embeddings()"
        raise ModelError(f"{text}: use crossent.linear_cross_entropy(hidden, head.weight, labels, shift=1)")
    head = model.get_output_embeddings()
    if head is None:
        raise ModelError(
            f"fused_head: {name}.get_output_embeddings() is None: this model has no head over a vocabulary"
        )
    if hasattr(head, "modules_to_save") and hasattr(head, "active_adapter"):  # PEFT's copy, trained whole
        head = head.modules_to_save[head.active_adapter]
    if hasattr(head, "base_layer") or hasattr(head, "lora_A"):
        text = f"fused_head: {name} has a PEFT adapter on its head ({type(head).__name__}), whose part of the logits"
        more = "would be dropped: leave the head out of target_modules, or give it in modules_to_save"
        raise ModelError(f"{text} {more}")
    if not isinstance(head, nn.Linear) or not _is_linear(head):
        text = f"fused_head: the head of {name} is a {type(head).__name__}, whose forward is its own"
        raise ModelError(f"{text}: only nn.Linear's x·Wᵀ + b can be fused")
    return head


def _is_linear(head: nn.Linear) -> bool:
    """Whether its forward pass is nn.Linear's."""
    if isinstance(head, _Fused):
        return True
    return type(head).forward is nn.Linear.forward and ("forward" not in vars(head) or "_old_forward" in vars(head))

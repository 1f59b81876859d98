"""What logits that are not formed are made of: a linear layer, and what the model does with its output.

Of the steps a loss needs to know three numbers: z = softcap·tanh(scale·x·Wᵀ / softcap), or z = scale·x·Wᵀ.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch.nn import functional as F

from ... import linear, selective


class Step(NamedTuple):
    """One thing that a model does with its logits: function(logits, *operands)."""

    function: Callable[..., Tensor]
    operands: tuple[Any, ...] = ()


@dataclasses.dataclass(frozen=True)
class Recipe:
    """Logits as they would be: steps(x·Wᵀ + b), x (…, D), W (C, D), in `dtype` after the last step.

    `cast` is the dtype of the products under torch's autocast, None without; `head` the module whose parameters they
    are, `versions` those that the parts had when they came.
    """

    x: Tensor
    weight: Tensor
    bias: Tensor | None
    head: Any
    cast: torch.dtype | None
    dtype: torch.dtype
    versions: tuple[int | None, ...]
    steps: tuple[Step, ...] = ()
    second: bool = False  # the classes are seen on axis 1, not last: (N, C, …), as torch's losses want them

    @property
    def shape(self) -> tuple[int, ...]:
        """(…, C), or (N, C, …)."""
        classes, batch = self.weight.shape[0], self.x.shape[:-1]
        return (batch[0], classes, *batch[1:]) if self.second else (*batch, classes)

    def then(self, function: Callable[..., Tensor], *operands: Any, dtype: torch.dtype | None = None) -> Recipe:
        """The same with one more step."""
        return dataclasses.replace(self, steps=(*self.steps, Step(function, operands)), dtype=dtype or self.dtype)

    def of_rows(self, x: Tensor) -> Recipe:
        """The same layer and steps for other rows."""
        return dataclasses.replace(self, x=x, versions=(version(x), *self.versions[1:]))

    def of_bias(self, bias: Tensor) -> Recipe:
        """The same layer with another bias."""
        return dataclasses.replace(self, bias=bias, versions=(*self.versions[:2], version(bias)))

    def of_parts(self, x: Tensor, weight: Tensor, bias: Tensor | None) -> Recipe:
        """The same steps on the same numbers with a graph of their own."""
        self._ready()
        parts = (x, weight, bias)
        return dataclasses.replace(self, x=x, weight=weight, bias=bias, versions=tuple(map(version, parts)))

    def detached(self) -> Recipe:
        """The same without autograd's history."""
        bias = None if self.bias is None else self.bias.detach()
        return dataclasses.replace(self, x=self.x.detach(), weight=self.weight.detach(), bias=bias)

    def form(self) -> Tensor:
        """The logits."""
        self._ready()
        with self._products():
            z = F.linear(self.x, self.weight, self.bias)
        for function, operands in self.steps:
            z = function(z, *operands)
        return z.movedim(-1, 1) if self.second else z

    def classes_last(self) -> Recipe:
        """The same, seen with the classes last."""
        return dataclasses.replace(self, second=False)

    def loss(self, target: Tensor, **options: Any) -> Tensor:
        """The cross-entropy of the logits, classes last, without forming them."""
        self._ready()
        with self._products():
            value: Tensor = linear.linear_cross_entropy(self.x, self.weight, target, **self._settings() | options)
        return value

    def log_probs(self, index: Tensor, **options: Any) -> Tensor:
        """The log-probabilities of chosen classes, without forming the logits."""
        self._ready()
        with self._products():
            settings = self._settings() | options
            value: Tensor = selective.selective_log_softmax(self.x, index, self.weight, **settings)
        return value

    def before_log_softmax(self) -> tuple[Recipe, float] | None:
        """(the logits, a factor) of which these are the log-probabilities times it, if a loss knows them; else None."""
        steps, factor = list(self.steps), 1.0
        while steps and steps[-1].function in (torch.mul, torch.div):
            function, (number,) = steps.pop()
            factor = function(torch.tensor(factor, dtype=torch.float64), number).item()
        if not steps or steps[-1].function is not torch.log_softmax:
            return None
        before = dataclasses.replace(self, steps=tuple(steps[:-1]))
        return (before, factor) if before.plain() else None

    def mean(self) -> Tensor | None:
        """The mean logit of each row, from the sum of the weight's rows; None where a soft-cap comes between."""
        found = _numbers(self.steps)
        if found is None or found[1] is not None:
            return None
        self._ready()
        wide = torch.promote_types(self.x.dtype, torch.float32)
        with torch.autocast(self.x.device.type, enabled=False):
            mean = (self.x.to(wide) * self.weight.sum(0, dtype=wide)).sum(-1)
        mean = mean if self.bias is None else mean + self.bias.sum(dtype=wide)
        return mean * (found[0] / self.weight.shape[0])

    def elementwise(self) -> bool:
        """Whether the steps do to each logit what they would do to it alone."""
        return all(step.function is not torch.log_softmax for step in self.steps)

    def chosen(self, index: Tensor) -> Tensor:
        """The logits of some classes (…, K) of each row, from their rows of the weight alone."""
        self._ready()
        x, rows = (part if self.cast is None else part.to(self.cast) for part in (self.x, self.weight))
        wide = torch.promote_types(x.dtype, torch.float32)
        z = (x.to(wide)[..., None, :] * rows[index].to(wide)).sum(-1)
        z = (z if self.bias is None else z + self.bias[index]).to(x.dtype)
        for function, operands in self.steps:
            z = function(z, *operands)
        return z

    def statistics(self, target: Tensor | None = None, **options: Any) -> Any:
        """What each row of the logits tells, without forming them: see `crossent.linear_row_stats`."""
        self._ready()
        with self._products():
            return linear.linear_row_stats(self.x, self.weight, target, **self._settings() | options)

    def plain(self) -> bool:
        """Whether the steps are such that a loss knows them, and the classes last."""
        return not self.second and bool(_numbers(self.steps))

    def takes(self, options: Mapping[str, Any]) -> bool:
        """Whether a loss with these options knows the steps: what it is to do to the logits comes after those."""
        found = _numbers(self.steps)
        if found is None or self.second:
            return False
        scale, cap = found
        before_cap = "softcap" in options and cap is not None
        return not before_cap and not ("logit_scale" in options and (scale != 1 or cap is not None))

    def _settings(self) -> dict[str, Any]:
        """The options of a loss that stand for the bias, the steps and the dtype."""
        found = _numbers(self.steps)
        assert found is not None  # plain() was asked
        scale, cap = found
        return {"linear_bias": self.bias, "logit_scale": scale, "softcap": cap, "dtype": self.dtype}

    def _products(self) -> Any:
        """The autocast that the head ran under."""
        return torch.autocast(self.x.device.type, dtype=self.cast, enabled=self.cast is not None)

    def _ready(self) -> None:
        """The parts as they were when the head was called: parameters gathered again, nothing changed."""
        if self.weight.untyped_storage().size() == 0 and hasattr(self.head, "unshard"):
            self.head.unshard()  # FSDP2 has given their memory back after the head's forward pass
        parts = (self.x, self.weight, self.bias)
        for name, part, before in zip(("input", "weight", "bias"), parts, self.versions, strict=True):
            if part is not None and version(part) != before:
                text = f"logits {self.shape} of a fused head are asked for after the head's {name} was changed in place"
                raise RuntimeError(f"{text}: look at outputs.logits before optimizer.step(), or undo fused_head")


def version(part: Tensor | None) -> int | None:
    """The version of a tensor; inference tensors have none."""
    return None if part is None or part.is_inference() else part._version


def _numbers(steps: tuple[Step, ...]) -> tuple[float, float | None] | None:
    """(scale, soft-cap or None) of the steps, None where they are other ones."""
    before, after = 1.0, None
    for function, operands in steps:
        if function is torch.tanh:
            if after is not None:
                return None
            after = 1.0
        elif function in (torch.mul, torch.div):
            factor = operands[0] if function is torch.mul else 1 / operands[0]
            before, after = (before * factor, None) if after is None else (before, after * factor)
        elif function is not torch.Tensor.to:
            return None
    if after is not None and not 0 < after < math.inf:
        return None
    scale = before * (1.0 if after is None else after)
    if scale <= 0:
        return None
    return (1.0 if math.isclose(scale, 1.0, rel_tol=1e-12) else scale), after

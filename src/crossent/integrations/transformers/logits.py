"""Logits that are formed when something looks at them, and not where a loss alone does.

A tensor subclass that stands for a linear layer's output. What models do with their logits before the loss (a factor,
a soft-cap, float(), views and slices of rows) is written down; a cross-entropy of it is one `linear_cross_entropy`
call; whatever else is asked forms the logits, with their place in autograd's graph, and goes on with those.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, ClassVar

import torch
from torch import Tensor
from torch.utils._pytree import tree_map

from .nodes import Beside, Numbers, Tie
from .recipe import Recipe, version

__all__ = ["LazyLogits"]

Operation = Callable[..., Any]


class LazyLogits(Tensor):
    """The output of a head under `fused_head`: a tensor of logits (…, C) that has no memory until it is looked at.

    Views share their logits once these are formed, so that what is written into one is seen in the other.
    """

    operations: ClassVar[dict[Any, Operation]] = {}  # torch's function: how it stays lazy; `operations` fills it in
    about: ClassVar[set[Any]] = set()  # torch's functions that ask for no numbers
    of_layout: ClassVar[set[Any]] = set()  # those that ask how it lies in memory
    of_elements: ClassVar[set[Any]] = set()  # the operations that are the same wherever the classes are
    recipe: Recipe
    told: Any  # what the rows have told, of log-probabilities: one pass serves what is asked of them next
    _formed: Tensor | None  # the logits, as everything sees them from now on
    _seen: Tensor | None  # the logits without a graph
    _source: tuple[LazyLogits, Callable[[Tensor], Tensor]] | None  # whose view this is, and which
    _origin: Recipe | None  # with its history, of a copy that an autograd function makes and returns

    @staticmethod
    def of(x: Tensor, head: Any) -> LazyLogits:
        """The logits of a head (an nn.Linear) for x (…, D)."""
        place = x.device.type
        wide = torch.float64 in (x.dtype, head.weight.dtype)
        cast = torch.get_autocast_dtype(place) if torch.is_autocast_enabled(place) and not wide else None
        parts = (x, head.weight, head.bias)
        return LazyLogits.made(Recipe(*parts, head, cast, cast or x.dtype, tuple(map(version, parts))))

    @staticmethod
    def made(recipe: Recipe, source: Any = None) -> LazyLogits:
        """Logits of a recipe, tied to autograd's graph; a source's view."""
        if not torch.is_grad_enabled():
            recipe = recipe.detached()
        apply: Any = Tie.apply
        out: LazyLogits = apply(LazyLogits, recipe, recipe.x, recipe.weight, recipe.bias)
        out.recipe, out._source, out._formed, out._seen, out._origin = recipe, source, None, None, None
        out.told = None
        return out

    def copied(self) -> LazyLogits:
        """The same logits in memory of their own."""
        out = LazyLogits.made(self.recipe)
        out._origin = None if torch.is_grad_enabled() else self.recipe
        return out

    def cross_entropy(self, target: Tensor, **options: Any) -> Tensor:
        """The cross-entropy of the logits, classes last, with the options of `crossent.cross_entropy`."""
        from ... import losses

        if self.settled() is None and self.recipe.takes(options):
            options.pop("inplace", None)
            return self.recipe.loss(target, **options)
        value: Tensor = losses.cross_entropy(self.formed(), target, axis=-1, **options)
        return value

    def answer_crossent(self, function: str, target: Any, weight: Any, given: Mapping[str, Any]) -> Any:
        """A function of crossent of these logits without forming them; None where the logits are to be taken."""
        options, last = dict(given), len(self.recipe.shape) - 1
        axis = options.pop("axis", last if function == "selective_log_softmax" else min(1, last))
        options.pop("inplace", None)
        here = type(axis) is int and axis % (last + 1) == (1 if self.recipe.second else last)
        recipe = self.recipe.classes_last()
        if not here or self.settled() is not None or not recipe.takes(options):
            return None
        if self.recipe.second and getattr(target, "ndim", 0) > last:  # probabilities in the layout of the logits
            return None
        options |= {} if weight is None else {"weight": weight}
        return getattr(recipe, ANSWERS[function])(target, **options)

    def formed(self) -> Tensor:
        """The logits; those with a graph, once formed, are what everything sees."""
        known = self.settled()
        if known is not None:
            return known
        if torch.is_grad_enabled() and self._requires_grad():
            self._formed = self.recipe.form()
            return self._formed
        if self._seen is None:
            with torch.no_grad():
                self._seen = self.recipe.form()
        return self._seen

    def settled(self) -> Tensor | None:
        """The logits if they or those that this is a view of have been formed."""
        if self._origin is not None and torch.is_grad_enabled():
            self._take_history(self._origin)
        if self._formed is None and self._source is not None:
            source, view = self._source
            whole = source.settled()
            self._formed = None if whole is None else view(whole)
        return self._formed

    def writable(self) -> Tensor:
        """The logits for an operation in place: whatever shares their memory sees it."""
        known = self.settled()
        if known is None and self._source is not None:
            source, view = self._source
            known = view(source.writable())
        elif known is None:
            with torch.set_grad_enabled(self._requires_grad()):
                known = self.recipe.form()
        self._formed = known
        return known

    def _take_history(self, origin: Recipe) -> None:
        """Join the graph that an autograd function has put a copy into: DDP's, which hands gradients on; else any."""
        self._origin = None
        with torch._C.DisableTorchFunctionSubclass():
            node = self.grad_fn
        beside: Any = Beside.apply
        numbers: Any = Numbers.apply
        if type(node).__name__ == "_DDPSinkBackward":
            self.recipe = origin.of_rows(beside(origin.x, self))
        elif type(node).__name__ != "TieBackward" and node is not None:
            self._formed = numbers(self, self.recipe)

    def _requires_grad(self) -> bool:
        """requires_grad, asked of the stand-in itself."""
        with torch._C.DisableTorchFunctionSubclass():
            return self.requires_grad

    @classmethod
    def __torch_function__(cls, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        """What stays lazy, what only asks about the tensor, and for all else the logits."""
        kwargs = kwargs or {}
        first = args[0] if args else None
        if isinstance(first, LazyLogits) and first.settled() is None:
            if func in cls.about and not (first.recipe.second and func in cls.of_layout):
                with torch._C.DisableTorchFunctionSubclass():
                    return func(*args, **kwargs)
            if func in cls.operations and (not first.recipe.second or func in cls.of_elements):
                result = cls.operations[func](*args, **kwargs)
                if result is not NotImplemented:
                    return result
        written: list[Any] = [first, kwargs.get("out")] if _writes(func, kwargs) else []

        def form(part: Any) -> Any:
            if not isinstance(part, LazyLogits):
                return part
            return part.writable() if any(part is one for one in written) else part.formed()

        return func(*tree_map(form, tuple(args)), **tree_map(form, kwargs))

    @classmethod
    def __torch_dispatch__(  # type: ignore[override]  # a class method, as torch asks for
        cls, func: Any, types: Any, args: Any = (), kwargs: Any = None
    ) -> Any:
        """Below autograd: the numbers."""

        def form(part: Any) -> Any:
            return part.formed().detach() if isinstance(part, LazyLogits) else part

        return func(*tree_map(form, tuple(args)), **tree_map(form, kwargs or {}))

    def __repr__(self, **_: Any) -> str:  # type: ignore[override]
        known = self.settled()
        if known is not None:
            return repr(known)
        return f"LazyLogits(shape={tuple(self.recipe.shape)}, dtype={self.recipe.dtype}, not formed)"


ANSWERS = {"cross_entropy": "loss", "row_stats": "statistics", "selective_log_softmax": "log_probs"}
READS = ("__index__", "__int__", "__invert__", "__iter__")


def _writes(func: Any, kwargs: dict[str, Any]) -> bool:
    """Whether a function of torch writes into its first argument or into `out`."""
    name = getattr(func, "__name__", "")
    if name.startswith("__"):
        return name in ("__setitem__", "__set__") or (name.startswith("__i") and name not in READS)
    return kwargs.get("out") is not None or bool(kwargs.get("inplace")) or name.endswith("_")

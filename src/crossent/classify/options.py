"""What a training run can be told: written here once, checked here once."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable
from typing import Any

import numpy as np

from crossent._call.numbers import real_number, whole_number
from crossent.errors import OptionError

__all__ = ["TrainingOptions"]

MOST = 2**31


@dataclasses.dataclass(frozen=True)
class TrainingOptions:
    """How to train: network, optimizer, stopping rule, seed and device; checked when built.

    Args:
        hidden_layer_sizes: width of every hidden layer; one number for a single layer, () for softmax regression.
        epochs: passes over the training data in total; a resumed run counts those it already made.
        batch_size: examples in one step of the optimizer.
        learning_rate: step size of Adam.
        weight_decay: decoupled weight decay a step, times the learning rate (AdamW); 0 for none.
        label_smoothing: ε in q = (1 − ε)·one-hot + ε/C, from 0 to 1.
        early_stopping: stop when the held-out loss no longer falls, and keep the weights of its best epoch.
        stop_when_converged: stop when the training loss no longer falls; not with early_stopping.
        patience: epochs without progress after which either rule stops.
        tolerance: a fall of the loss by less than this is no progress.
        seed: of the weights' start and the batches' order; the global generators are not touched.
        device: "cpu", "cuda", "cuda:1", "mps", or "auto" for an accelerator where there is one.
        dtype: of the network: "float32" or "float64".

    Raises:
        OptionError: a value outside its range; the message names the option, the value and the range.

    Example:
        >>> from crossent.classify.options import TrainingOptions
        >>> TrainingOptions(hidden_layer_sizes=64, epochs=5).hidden_layer_sizes
        (64,)
        >>> TrainingOptions(learning_rate=0)
        Traceback (most recent call last):
        ...
        crossent.errors.OptionError: learning_rate must be a number above 0; got 0.

    Source: Kingma, Ba, Adam (2015); Loshchilov, Hutter, Decoupled weight decay regularization (2019).
    """

    hidden_layer_sizes: tuple[int, ...] = (128,)
    epochs: int = 200
    batch_size: int = 200
    learning_rate: float = 1e-3
    weight_decay: float = 0.0
    label_smoothing: float = 0.0
    early_stopping: bool = False
    stop_when_converged: bool = False
    patience: int = 10
    tolerance: float = 1e-4
    seed: int = 0
    device: str = "cpu"
    dtype: str = "float32"

    def __post_init__(self) -> None:
        sizes = self.hidden_layer_sizes if isinstance(self.hidden_layer_sizes, Iterable) else (self.hidden_layer_sizes,)
        self._set(
            "hidden_layer_sizes",
            tuple(whole_number(f"hidden_layer_sizes[{layer}]", size) for layer, size in enumerate(sizes)),
        )
        for name, least in (("epochs", 1), ("batch_size", 1), ("patience", 1), ("seed", 0)):
            self._set(name, whole_number(name, getattr(self, name), least))
        self._check_counts()
        self._set("learning_rate", real_number("learning_rate", self.learning_rate, above=0))
        for name in ("weight_decay", "tolerance"):
            self._set(name, real_number(name, getattr(self, name), least=0))
        self._set("label_smoothing", real_number("label_smoothing", self.label_smoothing, least=0, most=1))
        self._check_choices()

    def _check_counts(self) -> None:
        """Check that what is counted can be counted by every library below."""
        counts = {name: getattr(self, name) for name in ("epochs", "batch_size", "patience")}
        counts |= {f"hidden_layer_sizes[{layer}]": size for layer, size in enumerate(self.hidden_layer_sizes)}
        for name, value in counts.items():
            if value >= MOST:
                raise OptionError(f"{name} must be below 2**31; got {value}.")

    def _check_choices(self) -> None:
        """Check the flags and names, and that one stopping rule is chosen at most."""
        for name in ("early_stopping", "stop_when_converged"):
            value = getattr(self, name)
            if type(value) not in (bool, np.bool_):
                raise OptionError(f"{name} must be True or False; got {value!r}.")
            self._set(name, bool(value))
        if self.early_stopping and self.stop_when_converged:
            raise OptionError(
                "early_stopping watches the held-out loss, stop_when_converged the training loss: set one."
            )
        if self.dtype not in ("float32", "float64"):
            raise OptionError(f'dtype must be "float32" or "float64"; got {self.dtype!r}.')
        if self.seed >= 2**63:
            raise OptionError(f"seed must be below 2**63; got {self.seed}.")
        self._set("device", str(self.device))

    def _set(self, name: str, value: object) -> None:
        """Store a checked value in the frozen object."""
        object.__setattr__(self, name, value)

    def as_dict(self) -> dict[str, Any]:
        """Give the options as plain JSON values; `TrainingOptions(**json.loads(...))` is the way back."""
        return {**vars(self), "hidden_layer_sizes": list(self.hidden_layer_sizes)}

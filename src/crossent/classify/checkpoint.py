"""A training's state: all that decides the rest of it, as tensors and as values that JSON can hold."""

from __future__ import annotations

import copy
import dataclasses
import itertools
import math
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, TypeAlias

import torch
from torch import Tensor

from crossent.errors import OptionError
from crossent.models import MultilayerPerceptron

from .device import find_device, require_memory
from .optimizer import AdamW
from .options import TrainingOptions

if TYPE_CHECKING:
    from typing_extensions import Self

__all__ = ["EpochRecord", "State", "TrainingState", "rebuild"]

EpochRecord: TypeAlias = dict[str, Any]
State: TypeAlias = dict[str, Any]

NETWORK, BEST = "network.", "best."


class TrainingState:
    """A network with its optimizer, generator, history and counters: what a training changes, and what a file keeps."""

    def __init__(self, options: TrainingOptions, n_features: int, n_classes: int) -> None:
        if n_classes < 2:
            raise OptionError(f"A classifier needs at least 2 classes; got n_classes={n_classes}.")
        self.options, self.n_features, self.n_classes = options, n_features, n_classes
        self.device, self.dtype = find_device(options.device), getattr(torch, options.dtype)
        self.generator = torch.Generator().manual_seed(options.seed)
        outputs = 1 if n_classes == 2 else n_classes
        self._require_memory(outputs)
        network = MultilayerPerceptron(n_features, options.hidden_layer_sizes, outputs, generator=self.generator)
        self.network = network.to(device=self.device, dtype=self.dtype)
        self.optimizer = AdamW(
            self.network.named_parameters(), learning_rate=options.learning_rate, weight_decay=options.weight_decay
        )
        self.history: list[EpochRecord] = []
        self.best_loss, self.best_epoch, self.epochs_without_progress = math.inf, 0, 0
        self.best_network = copy.deepcopy(self.network) if options.early_stopping else None

    def _require_memory(self, outputs: int) -> None:
        """A network, its two averages and the copy that an interrupt goes back to must fit into the memory."""
        sizes = (self.n_features, *self.options.hidden_layer_sizes, outputs)
        numbers = sum((fan_in + 1) * fan_out for fan_in, fan_out in itertools.pairwise(sizes))
        layers = ", ".join(map(str, self.options.hidden_layer_sizes)) or "no hidden layers"
        what = f"a network of {numbers:,} numbers (hidden layers: {layers}; {self.n_features} inputs)"
        require_memory(self.device, 6 * numbers, self.dtype.itemsize, what)

    @property
    def epoch(self) -> int:
        """How many epochs are finished."""
        return len(self.history)

    @property
    def model(self) -> MultilayerPerceptron:
        """The network that predicts: with early stopping that of the best epoch, else that of the last."""
        return self.network if self.best_network is None else self.best_network

    def state_dict(self) -> State:
        """Copy all that decides the rest of the training.

        Returns:
            {"tensors": name → CPU tensor, "values": what JSON can hold: options, sizes, history, counters}.
            With the same data, a `Trainer` that loads it goes on to the same bits, on the same kind of machine and
            with the same number of threads.
        """
        return self.packed(torch.device("cpu"))

    def packed(self, device: torch.device) -> State:
        """Copy the state to a device; see `state_dict`."""
        values = {
            "options": self.options.as_dict(),
            "n_features": self.n_features,
            "n_classes": self.n_classes,
            "history": self.history.copy(),
            "best_loss": self.best_loss if math.isfinite(self.best_loss) else None,
            "best_epoch": self.best_epoch,
            "epochs_without_progress": self.epochs_without_progress,
        }
        tensors = {name: tensor.to(device, copy=True) for name, tensor in self._tensors().items()}
        return {"tensors": {**tensors, "generator": self.generator.get_state()}, "values": values}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Take over a state, so that `fit` goes on after its last epoch; the options remain those of this trainer.

        A state with weights of a best epoch, loaded without early_stopping, goes on from those.

        Raises:
            OptionError: the state is of a network of another shape, or something is missing from it.
        """
        values, tensors = state["values"], _with_best(dict(state["tensors"]), wanted=self.best_network is not None)
        live = self._tensors()
        _check_shapes({**live, "generator": self.generator.get_state()}, tensors)
        for name, tensor in live.items():
            tensor.copy_(tensors[name])
        self.generator.set_state(tensors["generator"])
        self.history = [dict(record) for record in values["history"]]
        self.best_loss = math.inf if values["best_loss"] is None else float(values["best_loss"])
        self.best_epoch = values["best_epoch"]
        self.epochs_without_progress = values["epochs_without_progress"]

    @classmethod
    def from_state_dict(cls, state: Mapping[str, Any], options: TrainingOptions | None = None) -> Self:
        """Build the trainer that a state describes; other options, such as more epochs, may replace its own."""
        values = state["values"]
        trainer = cls(options or TrainingOptions(**values["options"]), values["n_features"], values["n_classes"])
        trainer.load_state_dict(state)
        return trainer

    def __reduce__(self) -> tuple[Any, ...]:
        return rebuild, (type(self), self.state_dict())

    def _tensors(self) -> dict[str, Tensor]:
        """Name the live tensors of the network, of the best network and of the optimizer."""
        named = {NETWORK + name: tensor for name, tensor in self.network.state_dict().items()}
        if self.best_network is not None:
            named |= {BEST + name: tensor for name, tensor in self.best_network.state_dict().items()}
        return named | self.optimizer.tensors()


def rebuild(kind: type[TrainingState], state: State) -> TrainingState:
    """Build the trainer of a pickle; where its device is not at hand, on the CPU."""
    options = TrainingOptions(**state["values"]["options"])
    try:
        find_device(options.device)
    except OptionError:
        options = dataclasses.replace(options, device="cpu")
    return kind.from_state_dict(state, options)


def _with_best(tensors: dict[str, Tensor], *, wanted: bool) -> dict[str, Tensor]:
    """Go on from the best weights where no best ones are kept; start from the last ones where there are no best."""
    old, new = (NETWORK, BEST) if wanted else (BEST, NETWORK)
    found = {new + name.removeprefix(old): tensor for name, tensor in tensors.items() if name.startswith(old)}
    return found | tensors if wanted else tensors | found


def _check_shapes(live: Mapping[str, Tensor], tensors: Mapping[str, Tensor]) -> None:
    """Raise an OptionError if a tensor is missing from a state, or has another shape there."""
    for name, tensor in live.items():
        here, there = tuple(tensor.shape), tuple(tensors[name].shape) if name in tensors else None
        if here != there:
            raise OptionError(
                f"The state does not fit this network: {name} has shape {here} here and {there or 'no entry'} there. "
                "Build the trainer with Trainer.from_state_dict(state), or with the options of that run."
            )

"""All that decides the rest of a training, as tensors and as values that JSON can hold."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from crossent.errors import OptionError

from .device import find_device

if TYPE_CHECKING:
    from .training import Trainer

__all__ = ["pack", "rebuild", "unpack"]

NETWORK, BEST = "network.", "best."


def pack(trainer: Trainer, device: torch.device) -> dict[str, Any]:
    """Copy a trainer's state to a device: {"tensors": name → tensor, "values": options, sizes, history, counters}."""
    values = {
        "options": trainer.options.as_dict(),
        "n_features": trainer.n_features,
        "n_classes": trainer.n_classes,
        "history": trainer.history.copy(),
        "best_loss": trainer.best_loss if math.isfinite(trainer.best_loss) else None,
        "best_epoch": trainer.best_epoch,
        "epochs_without_progress": trainer.epochs_without_progress,
    }
    tensors = {name: tensor.to(device, copy=True) for name, tensor in _tensors(trainer).items()}
    return {"tensors": {**tensors, "generator": trainer.generator.get_state()}, "values": values}


def unpack(trainer: Trainer, state: Mapping[str, Any]) -> None:
    """Copy a state into a trainer of the same shape, or raise an OptionError and change nothing."""
    values, tensors = state["values"], _with_best(dict(state["tensors"]), wanted=trainer.best_network is not None)
    live = _tensors(trainer)
    _check_shapes({**live, "generator": trainer.generator.get_state()}, tensors)
    for name, tensor in live.items():
        tensor.copy_(tensors[name])
    trainer.generator.set_state(tensors["generator"])
    trainer.history = [dict(record) for record in values["history"]]
    trainer.best_loss = math.inf if values["best_loss"] is None else float(values["best_loss"])
    trainer.best_epoch = values["best_epoch"]
    trainer.epochs_without_progress = values["epochs_without_progress"]


def rebuild(state: Mapping[str, Any]) -> Trainer:
    """Build the trainer of a pickle; where its device is not at hand, on the CPU."""
    from .training import Trainer, TrainingOptions

    options = TrainingOptions(**state["values"]["options"])
    try:
        find_device(options.device)
    except OptionError:
        options = dataclasses.replace(options, device="cpu")
    return Trainer.from_state_dict(state, options)


def _tensors(trainer: Trainer) -> dict[str, Tensor]:
    """Name the live tensors of the network, of the best network and of the optimizer."""
    named = {NETWORK + name: tensor for name, tensor in trainer.network.state_dict().items()}
    if trainer.best_network is not None:
        named |= {BEST + name: tensor for name, tensor in trainer.best_network.state_dict().items()}
    return named | trainer.optimizer.tensors()


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

"""A trainer without hidden layers, solved by L-BFGS: its network, its history and its books are as after `fit`."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import Tensor
from tqdm import tqdm

from .lbfgs import Problem, Search
from .rows import check_classes, check_features, check_weights, resolve_class_weight
from .training import Trainer, postfix

__all__ = ["solve"]


def solve(
    trainer: Trainer,
    x: Any,
    y: Any,
    *,
    sample_weight: Any = None,
    class_weight: Any = None,
    C: float = 1.0,
    fresh: bool = True,
    progress: bool = False,
) -> bool:
    """Solve softmax regression to its optimum; an interrupt leaves the network as the last step left it.

    Args:
        trainer: one without hidden layers; its epochs are the steps that are left.
        x: as in `Trainer.fit`.
        y: as in `Trainer.fit`.
        sample_weight: as in `Trainer.fit`, but not scaled.
        class_weight: as in `Trainer.fit`.
        C: the inverse of the L2 penalty of the sum of the losses.
        fresh: start from zeros, else from the network as it is.
        progress: show a bar.

    Returns:
        Whether it converged.
    """
    problem = _problem(trainer, x, y, sample_weight, class_weight, C)
    parameters = list(trainer.network.parameters())
    start = [part.detach().cpu().double().numpy().T * (not fresh) for part in parameters]
    with trainer.bar(progress) as bar:
        search = Search(problem, (start[0], start[1]), lambda loss: _note(trainer, loss, bar))
        try:
            search.run(trainer.options.epochs - trainer.epoch, trainer.options.tolerance / 10)
        finally:
            _take(parameters, search)
        if not trainer.history:  # the start was the optimum
            _note(trainer, problem.value_and_gradient(search.point)[0], bar)
    return search.converged


def _problem(trainer: Trainer, x: Any, y: Any, sample_weight: Any, class_weight: Any, C: float) -> Problem:
    """The rows that weigh anything, in float64."""
    features = check_features(x, trainer.n_features, torch.float64, torch.device("cpu"))
    features = features.numpy() if isinstance(features, Tensor) else features
    classes = check_classes(y, features.shape[0], trainer.n_classes)
    given = None if sample_weight is None else check_weights(sample_weight, len(classes), "sample_weight")
    factors = resolve_class_weight(class_weight, classes, given, trainer.n_classes)
    weights = torch.ones(len(classes)).double() if given is None else given.double()
    weights = weights if factors is None else weights * factors[classes].double()
    kept = np.flatnonzero(weights.numpy())
    own = (features[kept], classes.numpy()[kept], weights.numpy()[kept])
    penalty = 1 / (C * float(own[2].sum())) + trainer.options.weight_decay
    return Problem(*own, trainer.n_classes, penalty, trainer.options.label_smoothing)


def _take(parameters: list[Any], search: Search) -> None:
    """The network's weight (outputs, features) and bias are where the search is."""
    with torch.no_grad():
        for part, value in zip(parameters, search.at, strict=True):
            part.copy_(torch.from_numpy(np.ascontiguousarray(value.T)))


def _note(trainer: Trainer, loss: float, bar: tqdm[Any]) -> None:
    """Keep the books of a step."""
    trainer.note_progress(loss)
    record = {"epoch": trainer.epoch + 1, "loss": loss, "held_out_loss": None, "held_out_accuracy": None}
    trainer.history.append({**record, "seconds": float(bar.format_dict["elapsed"])})
    bar.set_postfix(postfix(record), refresh=False)
    bar.update()

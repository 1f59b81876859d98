"""What a second softmax does to learning: the digits, with it and without."""

from __future__ import annotations

import functools
from typing import Any

import numpy as np
import torch
from matplotlib.figure import Figure
from sklearn.datasets import load_digits

import crossent

from .style import Theme

EPOCHS = 60


@functools.cache
def curves(softmax_first: bool) -> tuple[list[float], list[float]]:
    """Loss and accuracy by epoch of a small network on the digits."""
    X, y = load_digits(return_X_y=True)
    x, target = torch.tensor(X / 16, dtype=torch.float32), torch.tensor(y)
    generator = torch.Generator().manual_seed(0)
    model = crossent.models.MultilayerPerceptron(64, (32,), 10, generator=generator)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.5)
    found = []
    for _ in range(EPOCHS):
        logits = model(x)
        scores = logits.softmax(1) if softmax_first else logits
        loss = crossent.cross_entropy(scores, target, check=False)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        found.append((loss.item(), float((logits.argmax(1) == target).float().mean())))
    return [loss for loss, _ in found], [accuracy for _, accuracy in found]


def draw_floor(theme: Theme) -> Figure:
    """Loss and accuracy, with the floor below which a second softmax lets no loss fall."""
    figure = Figure(figsize=(9.2, 3.2), layout="constrained")
    panels: Any = figure.subplots(1, 2)
    for name, colour, softmax_first in (("logits", theme.ours, False), ("softmax first", theme.wrong, True)):
        for axes, values in zip(panels, curves(softmax_first), strict=True):
            axes.plot(range(1, EPOCHS + 1), values, color=colour, label=name)
    floor = np.log(np.e + 9) - 1
    panels[0].axhline(floor, color=theme.ink, linewidth=0.8, linestyle=":")
    panels[0].text(EPOCHS, floor, f"log(e + 9) − 1 = {floor:.3f}", ha="right", va="bottom", fontsize=9)
    panels[0].set(xlabel="epoch", title="loss", ylim=(0, None))
    panels[1].set(xlabel="epoch", title="accuracy", ylim=(0, 1))
    panels[1].legend()
    return figure

"""scikit-learn: log_loss, of probabilities."""

from __future__ import annotations

import numpy as np
from sklearn.metrics import log_loss

from ..cases import BOTH, Case
from ..inputs import Inputs
from ..measure import Step

__all__ = ["step"]


def step(case: Case, inputs: Inputs) -> Step | None:
    """The mean log-loss of NumPy rows; the softmax that it starts from is not timed."""
    if case.work != "cross_entropy" or case.passes == BOTH or case.arrays != "numpy":
        return None
    p, y, labels = inputs.probabilities, inputs.target, np.arange(case.shape[1])
    return Step(lambda: (log_loss(y, p, labels=labels), None))

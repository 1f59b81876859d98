"""Modules for PyTorch: subclasses of torch's own losses, with torch's constructor arguments and crossent's extras.

They replace torch's by changing one import; `isinstance` checks, `state_dict`, pickling and `.to()` go on working.
"""

from .classes import CrossEntropyLoss, FocalLoss, NLLLoss
from .elements import BCELoss, BCEWithLogitsLoss, SigmoidFocalLoss
from .linear import LinearCrossEntropyLoss
from .probabilities import LogSoftmax, Softmax

__all__ = [
    "BCELoss",
    "BCEWithLogitsLoss",
    "CrossEntropyLoss",
    "FocalLoss",
    "LinearCrossEntropyLoss",
    "LogSoftmax",
    "NLLLoss",
    "SigmoidFocalLoss",
    "Softmax",
]

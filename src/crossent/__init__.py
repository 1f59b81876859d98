"""Softmax and cross-entropy: one definition, for arrays of every library."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

from . import errors as errors
from .backends.cpu._extension import empty_cache as empty_cache
from .backends.cpu._extension import get_num_threads as get_num_threads
from .backends.cpu._extension import set_num_threads as set_num_threads
from .binary import binary_cross_entropy as binary_cross_entropy
from .binary import binary_cross_entropy_with_logits as binary_cross_entropy_with_logits
from .focal import focal_loss as focal_loss
from .focal import sigmoid_focal_loss as sigmoid_focal_loss
from .linear import LinearGradients as LinearGradients
from .linear import linear_cross_entropy as linear_cross_entropy
from .linear import linear_cross_entropy_with_grad as linear_cross_entropy_with_grad
from .linear import linear_row_stats as linear_row_stats
from .losses import ExtraRowStats as ExtraRowStats
from .losses import RowStats as RowStats
from .losses import cross_entropy as cross_entropy
from .losses import cross_entropy_with_grad as cross_entropy_with_grad
from .losses import nll_loss as nll_loss
from .losses import row_stats as row_stats
from .selective import selective_log_softmax as selective_log_softmax
from .softmax import Prediction as Prediction
from .softmax import log_softmax as log_softmax
from .softmax import logsumexp as logsumexp
from .softmax import predict as predict
from .softmax import softmax as softmax

if TYPE_CHECKING:
    from . import checks as checks
    from . import distributed as distributed
    from . import integrations as integrations
    from . import models as models
    from . import nn as nn
    from . import tour as tour
    from .classify.estimator import SoftmaxClassifier as SoftmaxClassifier

__version__ = "0.1.0"

# What needs PyTorch or scikit-learn is imported when it is first used.
_LAZY = dict.fromkeys(("checks", "distributed", "integrations", "models", "nn", "tour"), "")
_LAZY["SoftmaxClassifier"] = "crossent.classify.estimator"


def __getattr__(name: str) -> Any:
    """Import a lazy name."""
    if name not in _LAZY:
        raise AttributeError(f"module 'crossent' has no attribute {name!r}")
    try:
        module = importlib.import_module(_LAZY[name] or f"crossent.{name}")
    except ModuleNotFoundError as error:
        if error.name != "torch":
            raise
        raise errors.MissingDependencyError(
            f"crossent.{name} needs PyTorch: install the extra crossent[torch]"
        ) from None
    value = getattr(module, name) if _LAZY[name] else module
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    """List the lazy names too."""
    return sorted({*globals(), *_LAZY})

"""`fused_log_probs`: what TRL's trainers ask of every token, from one pass of `crossent.linear_row_stats`."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from ... import linear, selective
from ...errors import MissingDependencyError

__all__ = ["FusedLogProbs", "fused_log_probs"]

Told = tuple[Tensor | None, ...]
OTHERS = ("entropy", "log_sum_sq_probs", "mean_logits", "is_top1")  # what TRL asks for beside the log-probabilities
PLACE = "_ChunkedLogProbFunction"  # TRL's own pass over the vocabulary, in trl.trainer.utils


def fused_log_probs() -> FusedLogProbs:
    """Let TRL's trainers take their log-probabilities, entropies and metrics from crossent, without logits.

    log p[label] = (z[label] − m) − log1p(r),  entropy = log1p(r) − u/(1 + r)  of the rows z = x·Wᵀ + b of the head

    `SFTTrainer`, `DPOTrainer`, `KTOTrainer`, `GRPOTrainer`, `RLOOTrainer` and the reference models inside them ask one
    function of TRL for what a policy loss needs of each token. While this holds, crossent answers, with the head's
    bias, scale, soft-cap, temperature and autocast: some rows of logits at a time, forward and backward.

    Returns
    -------
    FusedLogProbs
        A context manager with `undo()`. It holds for the whole process; models, trainers and files are as before.

    Raises
    ------
    MissingDependencyError
        Without TRL, or with one that has no such function.

    Examples
    --------
    >>> from crossent.integrations.trl import fused_log_probs
    >>> with fused_log_probs():
    ...     pass  # DPOTrainer(model, …).train()

    References
    ----------
    R. Rafailov et al., "Direct preference optimization", 2023; K. Ethayarajh et al., "KTO", 2024; Z. Shao et al.,
    "DeepSeekMath" (GRPO), 2024. See `crossent.selective_log_softmax` for loops of your own.
    """
    return FusedLogProbs(_utils())


class FusedLogProbs:
    """What `fused_log_probs` returns: `with fused_log_probs(): …`, or `undo()` when it is no longer wanted."""

    def __init__(self, utils: Any) -> None:
        self._utils = utils
        self._own = getattr(utils, PLACE)
        setattr(utils, PLACE, _Answer(self._own))

    def undo(self) -> None:
        """Give TRL its own function back; a second call does nothing."""
        utils, self._utils = self._utils, None
        if utils is not None:
            setattr(utils, PLACE, self._own)

    def __enter__(self) -> FusedLogProbs:
        return self

    def __exit__(self, *_: object) -> None:
        self.undo()

    def __repr__(self) -> str:
        return "FusedLogProbs(undone)" if self._utils is None else "FusedLogProbs()"


class _Answer:
    """Stands where TRL's autograd function stood: `apply` is all that TRL knows of it."""

    def __init__(self, own: Any) -> None:
        self._own = own

    def apply(
        self,
        hidden: Tensor,
        weight: Tensor,
        bias: Tensor | None,
        targets: Tensor,
        temperature: float,
        chunk_size: int,
        final_logit_softcapping: float | None = None,
        logit_scale: float = 1.0,
        outputs: tuple[str, ...] = OTHERS,
    ) -> Told:
        """(log-probabilities, entropy, log Σ p², mean logit, is_top1) of each row; None is what was not asked for."""
        if not logit_scale > 0:  # every class alike, or the last one first: no scale of a softmax
            given = (hidden, weight, bias, targets, temperature, chunk_size, final_logit_softcapping, logit_scale)
            told: Told = self._own.apply(*given, outputs)
            return told
        weight, bias = (None if part is None else _cast(part, hidden) for part in (weight, bias))  # type: ignore[assignment]
        options = {"linear_bias": bias, "temperature": temperature, "logit_scale": logit_scale, "check": False}
        return _told(hidden, weight, targets, outputs, {**options, "softcap": final_logit_softcapping})


def _told(hidden: Tensor, weight: Tensor, targets: Tensor, outputs: tuple[str, ...], options: Any) -> Told:
    """The same, by what is asked for: log-probabilities alone are a loss, the entropy and the prediction no extra."""
    options["dtype"] = torch.float64 if hidden.dtype == torch.float64 else torch.float32
    if not set(outputs) & set(OTHERS):
        return selective.selective_log_softmax(hidden, targets, weight, **options), None, None, None, None
    extra = bool(set(outputs) & {"log_sum_sq_probs", "mean_logits"})
    stats: Any = linear.linear_row_stats(hidden, weight, targets, extra=extra, **options)
    found = {"entropy": stats.entropy, "is_top1": stats.prediction == targets}
    if extra:
        found |= {"log_sum_sq_probs": stats.log_sum_sq_probs.detach(), "mean_logits": stats.mean_logits.detach()}
    return stats.target_log_prob, *(found[name] if name in outputs else None for name in OTHERS)


def _cast(part: Tensor, hidden: Tensor) -> Tensor:
    """A parameter in the dtype of the products, where no autocast settles that."""
    cast = torch.is_autocast_enabled(hidden.device.type)
    return part if cast or part.dtype == hidden.dtype else part.to(hidden.dtype)


def _utils() -> Any:
    """TRL's module of helpers."""
    try:
        from trl.trainer import utils
    except ImportError as error:
        raise MissingDependencyError(f"fused_log_probs needs TRL: pip install trl ({error})") from error
    if not hasattr(getattr(utils, PLACE, None), "apply"):
        import trl

        text = f"fused_log_probs: trl {trl.__version__} has no function of its own for log-probabilities"
        raise MissingDependencyError(f"{text}: pip install 'trl>=1.16', or use crossent.selective_log_softmax")
    return utils

"""The losses of Transformers' model heads: same arguments, same values, with crossent's options and memory.

Transformers calls a loss as `model.loss_function(logits=…, labels=…, vocab_size=…, **what the model was called with)`.
Options of crossent are given by `functools.partial(causal_lm_loss, z_loss=1e-4)`; what else a model passes is left out,
as Transformers' own losses do.
"""

from __future__ import annotations

import difflib
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from ... import binary, losses
from ..._call.options import BinaryOptions, LossOptions, names
from ..._door import trainer
from ...errors import OptionError, ShapeError
from .logits import LazyLogits

__all__ = [
    "causal_lm_loss",
    "compute_loss",
    "masked_lm_loss",
    "sequence_classification_loss",
    "token_classification_loss",
]

HALVES = (torch.float16, torch.bfloat16)
OWN = {"axis", "denominator", "ignore_index"}  # what the losses here settle themselves
TASKS = {
    "MaskedLMOutput": "masked_lm",
    "Seq2SeqLMOutput": "masked_lm",
    "TokenClassifierOutput": "token_classification",
    "SequenceClassifierOutput": "sequence_classification",
    "ImageClassifierOutput": "sequence_classification",
}


def causal_lm_loss(
    logits: Tensor,
    labels: Tensor,
    vocab_size: int | None = None,
    num_items_in_batch: Tensor | int | None = None,
    ignore_index: int = -100,
    shift_labels: Tensor | None = None,
    **kwargs: Any,
) -> Tensor:
    """The loss of a causal language model: position i predicts label i + 1.

    loss = Σ (LSE(zᵢ) − zᵢ[labelᵢ₊₁]) / num_items_in_batch, or the mean over the labels that are not ignored

    Parameters
    ----------
    logits
        (…, L, vocab_size), of any floating dtype, not copied to float32; or those that `fused_head` leaves unformed.
    labels
        (…, L) token indices.
    ignore_index
        The label that counts for nothing.
    vocab_size
        The number of classes, which logits' last axis must have.
    num_items_in_batch
        The divisor: the labels of all micro-batches of one step of the optimizer, which `Trainer` counts.
    shift_labels
        (…, L) labels that are shifted already; labels are not looked at then.
    kwargs
        Options of `crossent.cross_entropy` (z_loss, label_smoothing, softcap, …). Other names are left out, as
        Transformers' own losses do; a misspelt option raises TypeError.

    Returns
    -------
    Tensor
        Zero-dimensional, float32 for logits of sixteen bits.

    Raises
    ------
    ShapeError
        For logits of another vocabulary. See `crossent.cross_entropy` for the others.

    Examples
    --------
    >>> import torch
    >>> from crossent.integrations.transformers import causal_lm_loss
    >>> logits, labels = torch.zeros(2, 5, 10), torch.randint(0, 10, (2, 5))
    >>> causal_lm_loss(logits, labels, vocab_size=10, z_loss=1e-4)
    tensor(2.3031)

    References
    ----------
    A. Radford et al., "Improving language understanding by generative pre-training", 2018.
    """
    if num_items_in_batch is None:
        trainer.look_at_count("causal_lm_loss")
    elif shift_labels is None:
        trainer.look_at_shift("causal_lm_loss", labels, ignore_index)
    if shift_labels is None:
        shift_labels = F.pad(labels, (0, 1), value=ignore_index)[..., 1:]
    return _of_tokens(logits, shift_labels, vocab_size, num_items_in_batch, ignore_index, kwargs)


def masked_lm_loss(
    logits: Tensor,
    labels: Tensor,
    vocab_size: int | None = None,
    num_items_in_batch: Tensor | int | None = None,
    ignore_index: int = -100,
    **kwargs: Any,
) -> Tensor:
    """The loss of a masked or an encoder-decoder language model: position i predicts label i; see `causal_lm_loss`."""
    return _of_tokens(logits, labels, vocab_size, num_items_in_batch, ignore_index, kwargs)


def token_classification_loss(
    logits: Tensor,
    labels: Tensor,
    config: Any = None,
    num_items_in_batch: Tensor | int | None = None,
    ignore_index: int = -100,
    **kwargs: Any,
) -> Tensor:
    """The loss of a class for each token, `config.num_labels` of them; see `causal_lm_loss`."""
    classes = getattr(config, "num_labels", None)
    return _of_tokens(logits, labels, classes, num_items_in_batch, ignore_index, kwargs)


def sequence_classification_loss(
    labels: Tensor,
    pooled_logits: Tensor,
    config: Any = None,
    num_items_in_batch: Tensor | int | None = None,
    ignore_index: int = -100,
    **kwargs: Any,
) -> Tensor:
    """The loss of one answer for each sequence or image, by `config.problem_type`, settled as Transformers does.

    "single_label_classification": the cross-entropy; "multi_label_classification": the binary one of each label;
    "regression": the mean squared error. Each is divided by num_items_in_batch where
    that is given. See `causal_lm_loss` for the other arguments.
    """
    labels, classes = labels.to(pooled_logits.device), pooled_logits.shape[-1]
    problem = _problem_type(labels, classes, config)
    divisor = _as_denominator(num_items_in_batch, pooled_logits)
    if problem == "regression":
        scores, wanted = pooled_logits.squeeze(), labels.squeeze()
        if not divisor:
            return F.mse_loss(scores, wanted)
        total: Tensor = F.mse_loss(scores, wanted, reduction="sum") / divisor["denominator"]
        return total
    if problem == "multi_label_classification":
        options = _options(kwargs, names(BinaryOptions)) | divisor
        loss: Tensor = binary.binary_cross_entropy_with_logits(pooled_logits, labels.to(pooled_logits.dtype), **options)
        return loss
    return _of_tokens(pooled_logits, labels.reshape(-1), classes, num_items_in_batch, ignore_index, kwargs)


def compute_loss(
    outputs: Any,
    labels: Tensor | None,
    num_items_in_batch: Tensor | int | None = None,
    *,
    task: str | None = None,
    **options: Any,
) -> Tensor:
    """The loss for `Trainer(…, compute_loss_func=compute_loss)`; options by functools.partial.

    Parameters
    ----------
    outputs
        What the model returned: an object or a dict with `logits`, or a tuple that begins with them.
    labels, num_items_in_batch
        As `Trainer` gives them; see `causal_lm_loss`.
    task
        "causal_lm", "masked_lm" (encoder-decoders too), "token_classification" or "sequence_classification"; by
        default what the class of outputs says, "causal_lm" where it says nothing.
    options
        Of `crossent.cross_entropy`: label_smoothing=0.1 is `TrainingArguments(label_smoothing_factor=0.1)`.

    Raises
    ------
    OptionError
        For labels that are None and for an unknown task.

    Examples
    --------
    >>> import functools, torch
    >>> from crossent.integrations.transformers import compute_loss
    >>> loss = functools.partial(compute_loss, label_smoothing=0.1)     # Trainer(…, compute_loss_func=loss)
    >>> loss({"logits": torch.zeros(1, 4, 10)}, torch.tensor([[1, 2, 3, -100]]), num_items_in_batch=2)
    tensor(2.3026)

    References
    ----------
    See `causal_lm_loss`.
    """
    if labels is None:
        text = "compute_loss: labels=None, so there is nothing to compare with"
        raise OptionError(f"{text}: give the dataset (or its collator) a column named labels")
    task = task or _task(outputs)
    logits = _logits(outputs)
    own = {"num_items_in_batch": num_items_in_batch, **_checked(options)}
    if task == "sequence_classification":
        return sequence_classification_loss(labels, logits, **own)
    if task not in ("causal_lm", "masked_lm", "token_classification"):
        known = "causal_lm, masked_lm, token_classification or sequence_classification"
        raise OptionError(f"compute_loss: task={task!r}, expected {known}")
    return causal_lm_loss(logits, labels, **own) if task == "causal_lm" else masked_lm_loss(logits, labels, **own)


def _of_tokens(
    logits: Tensor,
    labels: Tensor,
    classes: int | None,
    count: Tensor | int | None,
    ignore_index: int,
    given: Mapping[str, Any],
) -> Tensor:
    """The mean over the labels, or their sum over a count."""
    if classes is not None and logits.shape[-1] != classes:
        text = f"logits {tuple(logits.shape)} have {logits.shape[-1]} classes, but {classes} were said"
        raise ShapeError(f"{text}: give the number that the head has")
    options = _options(given, set(names(LossOptions)) | {"weight"})
    options |= {"ignore_index": ignore_index} | _as_denominator(count, logits)
    if logits.dtype in HALVES:
        options.setdefault("dtype", torch.float32)
    labels = labels.to(logits.device)
    if isinstance(logits, LazyLogits):
        return logits.cross_entropy(labels, **options)
    rows = options.get("reduction") == "none"
    loss: Tensor = losses.cross_entropy(logits.reshape(-1, logits.shape[-1]), labels.reshape(-1), **options)
    return loss.reshape(labels.shape) if rows else loss


def _as_denominator(count: Tensor | int | None, logits: Tensor) -> dict[str, Any]:
    """The divisor as an option, on the logits' device."""
    if count is None:
        return {}
    return {"denominator": count.to(logits.device) if isinstance(count, Tensor) else count}


def _options(given: Mapping[str, Any], allowed: Any) -> dict[str, Any]:
    """crossent's options among what a model passes on; a name that is nearly one is a slip."""
    known = set(allowed) - OWN
    for name in given.keys() - known:
        near = difflib.get_close_matches(name, known, 1, cutoff=0.8)
        if near:
            raise TypeError(f"the loss got an unexpected keyword argument {name!r}: did you mean {near[0]}?")
    return {name: value for name, value in given.items() if name in known}


def _checked(options: dict[str, Any]) -> dict[str, Any]:
    """Options that a person gave: every name must be one."""
    known = (set(names(LossOptions)) | set(names(BinaryOptions)) | {"weight", "shift_labels"}) - OWN | {"ignore_index"}
    for name in options.keys() - known:
        near = difflib.get_close_matches(name, known, 1)
        hint = f": did you mean {near[0]}?" if near else ""
        raise TypeError(f"compute_loss() got an unexpected keyword argument {name!r}{hint}")
    return options


def _problem_type(labels: Tensor, classes: int, config: Any) -> str:
    """What the labels ask for, noted in the config, where pipelines look for it."""
    known: str | None = getattr(config, "problem_type", None)
    if known is None:
        whole = labels.dtype in (torch.long, torch.int)
        several = "single_label_classification" if whole else "multi_label_classification"
        known = "regression" if classes == 1 else several
        if config is not None:
            config.problem_type = known
    return known


def _task(outputs: Any) -> str:
    """What the class of a model's outputs says of its task."""
    name = type(outputs).__name__
    return next((task for prefix, task in TASKS.items() if name.startswith(prefix)), "causal_lm")


def _logits(outputs: Any) -> Tensor:
    """The logits among a model's outputs."""
    if isinstance(outputs, Mapping):
        found: Tensor = outputs["logits"]
        return found
    return getattr(outputs, "logits", None) if hasattr(outputs, "logits") else outputs[0]  # type: ignore[return-value]

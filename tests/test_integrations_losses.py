"""The losses of Transformers' shapes: equal to Transformers' own, in value and gradient, with crossent's options."""

from __future__ import annotations

import functools
from types import SimpleNamespace
from typing import Any

import pytest
import torch

pytest.importorskip("transformers")

import transformers
from language_models import CLASSES, batch, difference, model_of, trained
from transformers.loss import loss_utils
from transformers.trainer_pt_utils import LabelSmoother

from crossent.errors import OptionError, ShapeError
from crossent.integrations.transformers import (
    causal_lm_loss,
    compute_loss,
    masked_lm_loss,
    sequence_classification_loss,
    token_classification_loss,
)

COUNTS = [None, 7, torch.tensor(7)]


def both(theirs: Any, ours: Any, logits: torch.Tensor, *args: Any, **kwargs: Any) -> None:
    """The same value, dtype and gradient."""
    results = []
    for function in (theirs, ours):
        z = logits.clone().requires_grad_()
        loss = function(z, *args, **kwargs)
        loss.backward()
        results.append((loss, z.grad))
    (expected, wanted), (own, found) = results
    assert own.dtype == expected.dtype
    assert torch.allclose(own, expected, rtol=1e-6, atol=1e-6)
    assert torch.allclose(found, wanted, rtol=1e-2 if logits.dtype is torch.bfloat16 else 1e-5, atol=1e-6)


def tokens(classes: int = 11) -> tuple[torch.Tensor, torch.Tensor]:
    torch.manual_seed(0)
    labels = torch.randint(0, classes, (3, 6))
    labels[0, :2] = -100
    return torch.randn(3, 6, classes), labels


@pytest.mark.parametrize("count", COUNTS)
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_tokens(count: Any, dtype: Any) -> None:
    logits, labels = tokens()
    logits = logits.to(dtype)
    more = {"num_items_in_batch": count, "position_ids": labels, "use_cache": False}
    both(loss_utils.ForCausalLMLoss, causal_lm_loss, logits, labels, 11, **more)
    both(loss_utils.ForCausalLMLoss, causal_lm_loss, logits, labels, 11, shift_labels=labels.roll(-1, 1), **more)
    both(loss_utils.ForMaskedLMLoss, masked_lm_loss, logits, labels, 11, **more)
    config = SimpleNamespace(num_labels=11)
    both(loss_utils.ForTokenClassification, token_classification_loss, logits, labels, config, **more)


@pytest.mark.parametrize("count", COUNTS)
def test_smoothing_is_the_trainers(count: Any) -> None:
    logits, labels = tokens()
    theirs, ours = LabelSmoother(epsilon=0.1), functools.partial(compute_loss, label_smoothing=0.1)
    for shifts, task in ((True, "causal_lm"), (False, "masked_lm")):
        both(
            lambda z, y, s=shifts: theirs({"logits": z}, y, shift_labels=s, num_items_in_batch=count),
            lambda z, y, t=task: ours({"logits": z}, y, num_items_in_batch=count, task=t),
            logits,
            labels,
        )


@pytest.mark.parametrize(
    ("labels", "classes", "problem"),
    [
        (torch.tensor([0, 2, 1, 2]), 3, "single_label_classification"),
        (torch.tensor([[1.0, 0.0, 1.0]] * 4), 3, "multi_label_classification"),
        (torch.randn(4, 1), 1, "regression"),
    ],
)
def test_sequences(labels: Any, classes: int, problem: str) -> None:
    torch.manual_seed(0)
    logits, theirs, ours = torch.randn(4, classes), *(SimpleNamespace(num_labels=classes, problem_type=None),) * 2
    both(
        lambda z: loss_utils.ForSequenceClassificationLoss(labels, z, theirs),
        lambda z: sequence_classification_loss(labels, z, ours),
        logits,
    )
    assert theirs.problem_type == ours.problem_type == problem
    whole = sequence_classification_loss(labels, logits, ours, num_items_in_batch=labels.numel())
    assert torch.allclose(whole, sequence_classification_loss(labels, logits, ours))
    halves = [sequence_classification_loss(labels[k : k + 2], logits[k : k + 2], ours, labels.numel()) for k in (0, 2)]
    assert torch.allclose(sum(halves), whole)


@pytest.mark.parametrize("autocast", [False, True])
def test_accumulation_of_a_model(autocast: bool) -> None:
    """8 rows, and four times 2 with the divisor of all, beside the model's own loss."""
    model, inputs = model_of("Qwen2"), batch(8)
    count = (inputs["labels"][:, 1:] != -100).sum()
    with torch.autocast("cpu", torch.bfloat16, enabled=autocast):
        plain = trained(model, **inputs, num_items_in_batch=count)
        model.loss_function = causal_lm_loss
        own = trained(model, **inputs, num_items_in_batch=count)
        parts = [{k: v[2 * i : 2 * i + 2] for k, v in inputs.items()} for i in range(4)]
        model.zero_grad()
        total = 0.0
        for part in parts:
            loss = model(**part, num_items_in_batch=count).loss
            loss *= 1  # as Trainer does
            loss.backward()
            total += loss.item()
    assert difference(plain, own)[0] < 1e-6
    assert difference(plain, own)[1] < (2e-2 if autocast else 1e-6)
    assert total == pytest.approx(plain[0].loss.item(), abs=1e-5)
    name = "model.embed_tokens.weight"
    change = (model.model.embed_tokens.weight.grad - plain[1][name]).norm() / plain[1][name].norm()
    assert change < (2e-2 if autocast else 1e-6)


def test_the_task_is_that_of_the_outputs() -> None:
    """A masked language model's labels are not shifted."""
    logits, labels = tokens()
    masked = transformers.modeling_outputs.MaskedLMOutput(logits=logits)
    causal = transformers.modeling_outputs.CausalLMOutputWithPast(logits=logits)
    assert torch.equal(compute_loss(masked, labels), masked_lm_loss(logits, labels))
    assert torch.equal(compute_loss(causal, labels), causal_lm_loss(logits, labels))
    assert torch.equal(compute_loss((logits,), labels), causal_lm_loss(logits, labels))
    assert torch.equal(compute_loss(causal, labels, task="token_classification"), masked_lm_loss(logits, labels))
    pooled = transformers.modeling_outputs.SequenceClassifierOutput(logits=logits[0])
    assert compute_loss(pooled, labels[1], 6).item() == pytest.approx(masked_lm_loss(logits[0], labels[1]).item())


def test_options_reach_the_loss() -> None:
    logits, labels = tokens()
    plain = causal_lm_loss(logits, labels)
    assert causal_lm_loss(logits, labels, z_loss=1e-2) > plain
    assert causal_lm_loss(logits, labels, weight=torch.ones(11)).item() == pytest.approx(plain.item())
    rows = causal_lm_loss(logits, labels, reduction="none")
    assert rows.shape == labels.shape
    assert (rows[:, -1] == 0).all()
    assert rows.sum() / (labels[:, 1:] != -100).sum() == pytest.approx(plain.item())


def test_errors() -> None:
    logits, labels = tokens()
    with pytest.raises(ShapeError, match=r"logits \(3, 6, 11\) have 11 classes, but 12 were said: give the number"):
        causal_lm_loss(logits, labels, 12)
    with pytest.raises(TypeError, match=r"unexpected keyword argument 'z_los': did you mean z_loss\?"):
        causal_lm_loss(logits, labels, z_los=1e-4)
    with pytest.raises(TypeError, match=r"compute_loss\(\) got an unexpected keyword argument 'anything'"):
        compute_loss((logits,), labels, anything=1)
    with pytest.raises(OptionError, match="labels=None, so there is nothing to compare with: give the dataset"):
        compute_loss((logits,), None)
    with pytest.raises(OptionError, match="task='translation', expected causal_lm, masked_lm"):
        compute_loss((logits,), labels, task="translation")
    with pytest.raises(IndexError, match="1009"):
        causal_lm_loss(torch.zeros(1, 3, CLASSES), torch.full((1, 3), CLASSES))

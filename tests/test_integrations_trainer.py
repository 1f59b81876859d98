"""Real runs of Transformers' Trainer and TRL's SFTTrainer: curves are those of the plain model; the traps are told."""

from __future__ import annotations

import functools
import warnings
from typing import Any

import pytest
import torch

pytest.importorskip("transformers")
pytest.importorskip("datasets")

import datasets
from language_models import batch, model_of
from torch.nn import functional as F
from transformers import Trainer, TrainingArguments
from transformers.loss.loss_utils import LOSS_MAPPING

import crossent
from crossent.errors import MisuseWarning
from crossent.integrations.transformers import causal_lm_loss, compute_loss, fused_head
from crossent.integrations.transformers.recipe import Recipe

pytestmark = [
    pytest.mark.filterwarnings("ignore::FutureWarning"),
    pytest.mark.filterwarnings("ignore::DeprecationWarning"),
    pytest.mark.filterwarnings("ignore:.*pin_memory.*:UserWarning"),
]


def rows(count: int, length: int = 24) -> Any:
    """Sequences with labels, the first five ignored, or none of them."""
    found = batch(count, length)
    return datasets.Dataset.from_dict({name: value.tolist() for name, value in found.items()})


def settings(folder: Any, steps: int, **more: Any) -> dict[str, Any]:
    """What a short run on a CPU needs."""
    quiet = {"report_to": [], "save_strategy": "no", "disable_tqdm": True, "dataloader_pin_memory": False}
    run = {"max_steps": steps, "learning_rate": 1e-3, "logging_steps": 1, "use_cpu": True, "seed": 3}
    return {"output_dir": str(folder), **quiet, **run, **more}


def curve(trainer: Any) -> list[float]:
    """The losses that a run logs."""
    trainer.train()
    return [entry["loss"] for entry in trainer.state.log_history if "loss" in entry]


def run_of(folder: Any, steps: int = 10, fused: bool = False, loss: Any = None, own: Any = None, **more: Any) -> Any:
    """The curve of a Trainer run; the model's own loss, or another, or a compute_loss_func."""
    model = model_of("Qwen2")
    if loss is not None:
        model.loss_function = loss
    if fused:
        fused_head(model)
    sizes = {"per_device_train_batch_size": 8} | more
    arguments = TrainingArguments(**settings(folder, steps, **sizes))
    return curve(Trainer(model, arguments, train_dataset=rows(80), compute_loss_func=own))


@pytest.mark.slow
@pytest.mark.parametrize(
    "more",
    [
        {},
        {"per_device_train_batch_size": 2, "gradient_accumulation_steps": 4},
        {"label_smoothing_factor": 0.1},
        {"bf16": True},
        {"gradient_checkpointing": True},
    ],
    ids=lambda more: "-".join(more) or "plain",
)
def test_ten_steps_of_trainer(more: dict[str, Any], tmp_path: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    expected = run_of(tmp_path, **more)
    assert len(expected) == 10
    smoothing = {"label_smoothing": more["label_smoothing_factor"]} if "label_smoothing_factor" in more else {}
    near = functools.partial(pytest.approx, expected, abs=2e-3 if more.get("bf16") else 2e-4)
    monkeypatch.setattr(Recipe, "form", lambda self: pytest.fail("formed"))
    assert run_of(tmp_path, fused=True, **more) == near()
    assert run_of(tmp_path, loss=causal_lm_loss, **more) == near()
    own = functools.partial(compute_loss, **smoothing)
    for fused in (False, True):
        assert run_of(tmp_path, own=own, fused=fused, **more) == near()


@pytest.mark.slow
def test_evaluation_by_trainer(tmp_path: Any) -> None:
    """Losses and metrics of logits are those of the plain model."""
    found = []
    for fused in (False, True):
        model = model_of("Llama")
        if fused:
            fused_head(model)
        trainer = Trainer(
            model,
            TrainingArguments(**settings(tmp_path, 1, per_device_eval_batch_size=4)),
            eval_dataset=rows(10),
            preprocess_logits_for_metrics=lambda logits, labels: logits.argmax(-1),
            compute_metrics=lambda told: {"right": float((told.predictions[:, :-1] == told.label_ids[:, 1:]).mean())},
        )
        found.append(trainer.evaluate())
    assert found[1]["eval_loss"] == pytest.approx(found[0]["eval_loss"], abs=1e-5)
    assert found[1]["eval_right"] == found[0]["eval_right"]


@pytest.mark.slow
def test_ten_steps_of_the_sft_trainer(tmp_path: Any) -> None:
    trl = pytest.importorskip("trl")
    curves = []
    for own, fused in ((None, False), (compute_loss, False), (compute_loss, True)):
        model = model_of("Qwen2")
        if fused:
            fused_head(model)
        options = {"per_device_train_batch_size": 4, "dataset_kwargs": {"skip_prepare_dataset": True}}
        arguments = trl.SFTConfig(**settings(tmp_path, 10, **options), bf16=False, max_length=None)
        trainer = trl.SFTTrainer(
            model,
            arguments,
            train_dataset=rows(40),
            processing_class=tokenizer(),
            data_collator=collated,
            compute_loss_func=own,
        )
        curves.append(curve(trainer))
    assert len(curves[0]) == 10
    for one in curves[1:]:
        assert one == pytest.approx(curves[0], abs=2e-4)


def tokenizer() -> Any:
    """One of whole numbers as words: offline."""
    from tokenizers import Tokenizer, models
    from transformers import PreTrainedTokenizerFast

    words = {f"w{k}": k for k in range(1009)}
    whole = Tokenizer(models.WordLevel(words, unk_token="w0"))
    return PreTrainedTokenizerFast(tokenizer_object=whole, pad_token="w0", eos_token="w2")


def collated(examples: Any) -> dict[str, torch.Tensor]:
    """Rows of one length as tensors."""
    found = {name: torch.tensor([row[name] for row in examples]) for name in ("input_ids", "labels")}
    return {**found, "attention_mask": torch.ones_like(found["input_ids"])}


# --- the traps ---


def mean_alone(outputs: Any, labels: Any, num_items_in_batch: Any = None) -> Any:
    return crossent.cross_entropy(outputs.logits[:, :-1].flatten(0, 1), labels[:, 1:].flatten())


def causal_alone(outputs: Any, labels: Any, **_: Any) -> Any:
    return causal_lm_loss(outputs.logits, labels)


def scaled_after(outputs: Any, labels: Any, num_items_in_batch: Any = None) -> Any:
    count = (labels[:, 1:] != -100).sum()
    return causal_lm_loss(outputs.logits, labels) * count / num_items_in_batch


TWO = {"per_device_train_batch_size": 2, "gradient_accumulation_steps": 4}


@pytest.mark.parametrize("own", [mean_alone, causal_alone])
def test_a_loss_that_ignores_the_count_is_told(own: Any, tmp_path: Any) -> None:
    with pytest.warns(
        MisuseWarning, match=r"X031 .*takes the mean of each .*4 times too large; sum the loss"
    ) as caught:
        run_of(tmp_path, 2, own=own, **TWO)
    assert len([w for w in caught if "X031" in str(w.message)]) == 1


@pytest.mark.parametrize("own", [scaled_after, compute_loss, None])
def test_losses_that_heed_the_count_are_not(own: Any, tmp_path: Any) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error", MisuseWarning)
        run_of(tmp_path, 1, own=own, loss=None if own else causal_lm_loss, **TWO)
        run_of(tmp_path, 1, own=mean_alone)  # one step: the mean is right


def test_a_loss_in_the_mapping_is_told(tmp_path: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(LOSS_MAPPING, "Own", causal_lm_loss)

    def trained(data: Any) -> None:
        model = model_of("Qwen2")
        model.loss_type = "Own"
        Trainer(model, TrainingArguments(**settings(tmp_path, 1)), train_dataset=data).train()

    inputs = batch(8, 24)
    whole = datasets.Dataset.from_dict(
        {"input_ids": inputs["input_ids"].tolist(), "labels": inputs["input_ids"].tolist()}
    )
    with pytest.warns(
        MisuseWarning, match=r"X032 .*has counted position 0 .*the loss is too small; set model.loss_func"
    ):
        trained(whole)
    with warnings.catch_warnings():
        warnings.simplefilter("error", MisuseWarning)
        trained(rows(8))  # position 0 is ignored in these: the count is right


def test_outside_of_a_trainer_nothing_is_told() -> None:
    model = model_of("Qwen2")
    logits = model(input_ids=batch()["input_ids"]).logits
    with warnings.catch_warnings():
        warnings.simplefilter("error", MisuseWarning)
        crossent.cross_entropy(logits.flatten(0, 1), torch.zeros(80, dtype=torch.long))
        F.cross_entropy(logits.flatten(0, 1), torch.zeros(80, dtype=torch.long))

"""TRL's trainers with crossent's log-probabilities: the same losses, metrics and weights, without logits."""

from __future__ import annotations

import copy
import sys
from typing import Any

import pytest
import torch

pytest.importorskip("transformers")
pytest.importorskip("trl.trainer.utils")
pytest.importorskip("datasets")

import datasets
import trl
from language_models import model_of
from test_integrations_trainer import settings, tokenizer
from trl.trainer import utils

from crossent import _ways
from crossent.errors import MissingDependencyError
from crossent.integrations.trl import fused_log_probs

pytestmark = [
    pytest.mark.filterwarnings("ignore::FutureWarning"),
    pytest.mark.filterwarnings("ignore::DeprecationWarning"),
    pytest.mark.filterwarnings("ignore::UserWarning"),
]
OWN = utils._ChunkedLogProbFunction
EVERY = ("log_probs", "entropy", "log_sum_sq_probs", "mean_logits", "is_top1")


def parts(dtype: Any, rows: int = 300, classes: int = 307) -> list[torch.Tensor]:
    """Hidden states, weight, bias, labels."""
    torch.manual_seed(0)
    made = [torch.randn(shape).to(dtype).requires_grad_() for shape in ((rows, 16), (classes, 16), (classes,))]
    return [*made, torch.randint(0, classes, (rows,))]


@pytest.mark.parametrize(
    "outputs", [("log_probs",), ("log_probs", "entropy"), ("log_probs", "is_top1"), EVERY], ids=len
)
@pytest.mark.parametrize(("scale", "cap"), [(1.0, None), (0.25, 5.0)])
@pytest.mark.parametrize("way", ["float32", "bfloat16", "autocast", "float32 states of a bfloat16 head"])
def test_what_trl_asks_of_each_token(outputs: tuple[str, ...], scale: float, cap: float | None, way: str) -> None:
    x, w, b, y = parts(torch.bfloat16 if "bfloat16" in way else torch.float32)
    if way.startswith("float32 states"):
        x = x.detach().float().requires_grad_()
    weights, found = torch.rand(len(x)), []
    for fused in (False, True):
        with torch.autocast("cpu", torch.bfloat16, enabled=way == "autocast"):
            handle = fused_log_probs() if fused else None
            told = utils._ChunkedLogProbFunction.apply(x, w, b, y, 0.9, 64, cap, scale, outputs)
            if handle is not None:
                handle.undo()
        value = (told[0] * weights).sum() + (0 if told[1] is None else (told[1] * weights.flip(0)).sum())
        found.append((told, torch.autograd.grad(value, (x, w, b))))
    near = {"rtol": 1e-4, "atol": 1e-4} if way == "float32" else {"rtol": 0.02, "atol": 0.15}
    (plain, gradients), (own, others) = found
    for name, one, two in zip(EVERY, own, plain, strict=True):
        assert (one is None) == (two is None) == (name not in outputs)
        if name == "is_top1" and one is not None:
            assert (one == two).float().mean() > 0.99
        elif one is not None:
            assert one.dtype == two.dtype == torch.float32
            assert one.requires_grad == two.requires_grad == (name in ("log_probs", "entropy"))
            torch.testing.assert_close(one, two, msg=name, **near)
    for one, two in zip(others, gradients, strict=True):
        assert one.dtype == two.dtype
        assert (one - two).norm() <= (1e-5 if way == "float32" else 0.03) * two.norm()


def test_it_holds_for_a_while() -> None:
    with fused_log_probs() as handle:
        assert utils._ChunkedLogProbFunction is not OWN
        assert repr(handle) == "FusedLogProbs()"
        with fused_log_probs():
            pass
        assert utils._ChunkedLogProbFunction is not OWN
    assert utils._ChunkedLogProbFunction is OWN
    handle.undo()
    assert repr(handle) == "FusedLogProbs(undone)"


def test_a_scale_that_is_no_scale_is_left_to_trl() -> None:
    x, w, _, y = parts(torch.float32, 3, 5)
    for scale in (0.0, -1.0):
        wanted = OWN.apply(x, w, None, y, 1.0, 64, None, scale, EVERY)
        with fused_log_probs():
            for one, two in zip(
                utils._ChunkedLogProbFunction.apply(x, w, None, y, 1.0, 64, None, scale, EVERY), wanted, strict=True
            ):
                assert torch.equal(one, two)


def test_without_the_function_it_says_what_to_do(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr(utils, "_ChunkedLogProbFunction")
    with pytest.raises(
        MissingDependencyError, match=r"has no function of its own .*'trl>=1.16', or use crossent.select"
    ):
        fused_log_probs()
    monkeypatch.setitem(sys.modules, "trl.trainer", None)
    with pytest.raises(MissingDependencyError, match=r"fused_log_probs needs TRL: pip install trl"):
        fused_log_probs()


# --- trainers ---


def words(start: int, count: int = 6) -> str:
    """A text of the tokenizer's words."""
    return " ".join(f"w{3 + (start * 31 + 7 * k) % 900}" for k in range(count))


def spaced() -> Any:
    """The tokenizer, of words with spaces between them."""
    from tokenizers import pre_tokenizers

    own = tokenizer()
    own.backend_tokenizer.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    return own


def dpo(folder: Any, model: Any) -> Any:
    rows = [{"prompt": words(k), "chosen": " " + words(k + 50), "rejected": " " + words(k + 90, 4)} for k in range(8)]
    arguments = trl.DPOConfig(**settings(folder, 2, per_device_train_batch_size=4), bf16=False, loss_type=["sigmoid"])
    data = datasets.Dataset.from_list(rows)
    return trl.DPOTrainer(model, copy.deepcopy(model), args=arguments, train_dataset=data, processing_class=spaced())


def kto(folder: Any, model: Any) -> Any:
    rows = [{"prompt": words(k), "completion": " " + words(k + 50), "label": k % 2 == 0} for k in range(8)]
    arguments = trl.KTOConfig(**settings(folder, 2, per_device_train_batch_size=4), bf16=False)
    data = datasets.Dataset.from_list(rows)
    return trl.KTOTrainer(model, copy.deepcopy(model), args=arguments, train_dataset=data, processing_class=spaced())


def grpo(folder: Any, model: Any) -> Any:
    model.save_pretrained(folder / "model")  # the reference model is loaded from where the model came from
    model = type(model).from_pretrained(folder / "model")
    more = {"num_generations": 4, "max_completion_length": 5, "per_device_train_batch_size": 4, "beta": 0.1}
    arguments = trl.GRPOConfig(**settings(folder, 2, **more), bf16=False, temperature=0.8)
    data = datasets.Dataset.from_list([{"prompt": words(k)} for k in range(8)])

    def reward(completions: Any, **_: Any) -> list[float]:
        return [float(sum(map(ord, text)) % 7) for text in completions]

    return trl.GRPOTrainer(model, reward, args=arguments, train_dataset=data, processing_class=spaced())


def sft(folder: Any, model: Any) -> Any:
    arguments = trl.SFTConfig(**settings(folder, 2, per_device_train_batch_size=4), bf16=False)
    data = datasets.Dataset.from_list([{"text": words(k, 9)} for k in range(8)])
    return trl.SFTTrainer(model, arguments, train_dataset=data, processing_class=spaced())


TIMES = ("runtime", "per_second", "step_time", "flos", "num_tokens")


@pytest.mark.parametrize("make", [dpo, sft, kto, grpo])
def test_trainers_take_the_same_steps(make: Any, tmp_path: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """Loss, entropy, accuracy and every other figure that is logged, and the weights afterwards."""
    logs, weights, asked = [], [], []
    answered = _ways._layer_statistics
    monkeypatch.setattr(_ways, "_layer_statistics", lambda layer: asked.append(layer.rows.x.shape) or answered(layer))
    for fused in (False, True):
        trainer = make(tmp_path, model_of("Qwen2"))
        assert not asked
        handle = fused_log_probs() if fused else None
        torch.manual_seed(7)
        trainer.train()
        if handle is not None:
            handle.undo()
        logs.append(
            [{k: v for k, v in one.items() if not any(t in k for t in TIMES)} for one in trainer.state.log_history]
        )
        weights.append([p.detach().clone() for p in trainer.model.parameters()])
    assert asked
    assert [one.keys() for one in logs[0]] == [one.keys() for one in logs[1]]
    for one, two in zip(*logs, strict=True):
        assert "loss" in one or "train_loss" in one
        for name, value in one.items():
            assert two[name] == pytest.approx(value, rel=2e-4, abs=2e-5), name
    for one, two in zip(*weights, strict=True):
        torch.testing.assert_close(one, two, rtol=0, atol=2e-4)

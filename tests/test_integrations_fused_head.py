"""fused_head: nine families train without logits, to the same loss and gradients, and all else goes on working."""

from __future__ import annotations

import copy
import functools
import io
import subprocess
import sys
import warnings
from typing import Any

import pytest
import torch

pytest.importorskip("transformers")

from language_models import CLASSES, FAMILIES, OTHERS, batch, difference, model_of, other, trained
from torch.nn import functional as F

import crossent
from crossent.errors import ModelError
from crossent.integrations.transformers import FusedHead, LazyLogits, causal_lm_loss, fused_head
from crossent.integrations.transformers.recipe import Recipe


@pytest.fixture
def formed(monkeypatch: pytest.MonkeyPatch) -> list[tuple[int, ...]]:
    """The shapes of the logits that have been formed."""
    shapes: list[tuple[int, ...]] = []
    form = Recipe.form

    def noted(recipe: Recipe) -> Any:
        shapes.append(recipe.shape)
        return form(recipe)

    monkeypatch.setattr(Recipe, "form", noted)
    return shapes


@pytest.mark.parametrize("family", FAMILIES)
def test_the_same_loss_and_gradients_without_logits(family: str, formed: list[Any]) -> None:
    model = model_of(family)
    plain, counted = trained(model), trained(model, **batch(), num_items_in_batch=torch.tensor(57))
    with fused_head(model):
        own, own_counted = trained(model), trained(model, **batch(), num_items_in_batch=torch.tensor(57))
    assert not formed
    assert max(difference(plain, own)) < 1e-6
    assert max(difference(counted, own_counted)) < 1e-6
    assert isinstance(own[0].logits, LazyLogits)
    assert torch.equal(own[0].logits + 0, plain[0].logits)
    assert formed == [(2, 40, CLASSES)]


@pytest.mark.parametrize("name", OTHERS)
def test_models_of_other_kinds(name: str, formed: list[Any]) -> None:
    """Masked, encoder-decoder, mixture of experts, state space; a head with biases, scales, and a factor of its own."""
    model = other(name)
    plain = trained(model)
    with fused_head(model):
        own = trained(model)
    assert not formed
    one, two = difference(plain, own)
    assert one < 2e-6
    assert two < 1e-5
    logits = own[0].logits
    torch.testing.assert_close(logits + 0, plain[0].logits)


@pytest.mark.parametrize("family", ["Llama", "Gemma2", "Granite"])
@pytest.mark.parametrize("way", ["autocast", "bfloat16"])
def test_sixteen_bits(family: str, way: str, formed: list[Any]) -> None:
    """No further from float32 than the plain model is."""
    exact = trained(model_of(family))
    model = model_of(family) if way == "autocast" else model_of(family).bfloat16()
    with torch.autocast("cpu", torch.bfloat16, enabled=way == "autocast"):
        plain = trained(model)
        with fused_head(model):
            own = trained(model)
    assert not formed
    assert own[0].loss.dtype == plain[0].loss.dtype
    assert difference(plain, own)[0] < 3e-5
    assert difference(exact, own)[1] <= 1.1 * difference(exact, plain)[1]


@pytest.mark.parametrize("family", ["Llama", "Granite", "Gemma2"])
@pytest.mark.parametrize("tied", [True, False])
def test_tied_heads_and_a_bias(family: str, tied: bool, formed: list[Any]) -> None:
    model = model_of(family, tie_word_embeddings=tied)
    model.lm_head.bias = torch.nn.Parameter(torch.randn(CLASSES) / 4)
    plain = trained(model)
    with fused_head(model):
        own = trained(model)
    assert not formed
    assert max(difference(plain, own)) < 1e-6
    assert "lm_head.bias" in own[1]


def test_accumulation_and_checkpointing(formed: list[Any]) -> None:
    """Four micro-batches with the divisor of all are the batch, and checkpointed blocks make no difference."""
    model, whole = model_of("Qwen2"), batch(8)
    plain = trained(model, **whole)
    count = (whole["labels"][:, 1:] != -100).sum()
    model.activation_checkpointing_enable()
    with fused_head(model):
        model.zero_grad()
        for k in range(4):
            part = {name: value[2 * k : 2 * k + 2] for name, value in whole.items()}
            model(**part, num_items_in_batch=count).loss.backward()
    assert not formed
    for name, parameter in model.named_parameters():
        assert torch.allclose(parameter.grad, plain[1][name], rtol=1e-5, atol=1e-7), name


def test_a_loop_of_ones_own(formed: list[Any]) -> None:
    """F.cross_entropy of outputs.logits, shifted by hand, is fused too."""
    model, inputs = model_of("Gemma2"), batch()
    plain = trained(model)
    with fused_head(model):
        model.zero_grad()
        logits = model(input_ids=inputs["input_ids"]).logits[..., :-1, :].contiguous().float()
        loss = torch.nn.functional.cross_entropy(logits.view(-1, CLASSES), inputs["labels"][..., 1:].reshape(-1))
        loss /= 2
        loss.backward()
    assert not formed
    assert 2 * loss.item() == pytest.approx(plain[0].loss.item(), abs=1e-6)
    assert torch.allclose(2 * model.model.embed_tokens.weight.grad, plain[1]["model.embed_tokens.weight"], atol=1e-6)


@pytest.mark.parametrize("family", ["Llama", "Gemma2", "Cohere"])
def test_functions_of_crossent_form_nothing(family: str, formed: list[Any]) -> None:
    """Losses, statistics and log-probabilities of outputs.logits, in layouts whose classes are last."""
    model, inputs = model_of(family), batch()
    ids, labels = inputs["input_ids"], inputs["labels"]
    ways: list[Any] = [
        lambda z: crossent.cross_entropy(z[:, :-1].flatten(0, 1), labels[:, 1:].flatten(), label_smoothing=0.1),
        lambda z: crossent.cross_entropy(z, labels, axis=-1, reduction="none", temperature=0.7),
        lambda z: crossent.cross_entropy(z.view(-1, CLASSES), labels.view(-1), torch.rand(CLASSES)),
        lambda z: crossent.nn.CrossEntropyLoss(z_loss=1e-3)(z.flatten(0, 1), labels.flatten()),
        lambda z: crossent.selective_log_softmax(z, ids, temperature=2.0),
        lambda z: crossent.selective_log_softmax(z, torch.stack([ids, ids], -1)),
        lambda z: crossent.row_stats(z, labels, axis=-1, extra=True).mean_logits,
        lambda z: crossent.row_stats(z, axis=2, top_k=3).top_k_log_probs,
        lambda z: crossent.cross_entropy(z.transpose(1, 2), labels),
        lambda z: crossent.row_stats(z.permute(0, 2, 1), labels).entropy,
        lambda z: F.cross_entropy(z[:, :-1].transpose(1, 2), labels[:, 1:], label_smoothing=0.1),
        lambda z: F.cross_entropy(z.movedim(-1, 1).float(), labels, reduction="none"),
    ]
    if family == "Llama":
        ways.append(lambda z: crossent.cross_entropy(z, labels, axis=-1, softcap=5.0, logit_scale=0.5))
    for k, way in enumerate(ways):
        gradients, values = [], []
        for fused in (False, True):
            model.zero_grad()
            handle = fused_head(model) if fused else None
            torch.manual_seed(0)
            values.append(way(model(input_ids=ids).logits))
            values[-1].mean().backward()
            gradients.append([p.grad for p in model.parameters() if p.grad is not None])
            if handle is not None:
                handle.undo()
        assert not formed, k
        torch.testing.assert_close(values[1], values[0])
        for one, two in zip(*gradients, strict=True):
            torch.testing.assert_close(one, two, rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("family", ["Llama", "Gemma2", "Cohere"])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16], ids=str)
def test_log_probabilities_as_people_write_them(family: str, dtype: Any, formed: list[Any]) -> None:
    """log_softmax and gather, nll_loss, logits less their logsumexp, TRL's function: no logits, the same gradients."""
    model, ids = model_of(family).to(dtype), batch()["input_ids"]
    ways: list[Any] = [
        lambda z: z.log_softmax(-1).gather(-1, ids[..., None]).squeeze(-1),
        lambda z: torch.gather(F.log_softmax(z.float(), dim=-1), 2, ids.unsqueeze(2))[..., 0],
        lambda z: F.log_softmax(z[:, :-1], -1, dtype=torch.float32).gather(2, ids[:, 1:, None]),
        lambda z: F.nll_loss(F.log_softmax(z, dim=-1).view(-1, CLASSES), ids.view(-1), reduction="none"),
        lambda z: z.gather(-1, ids[..., None]).squeeze(-1) - z.logsumexp(-1),
    ]
    utils = pytest.importorskip("trl.trainer.utils")
    ways += [lambda z: utils.selective_log_softmax(z, ids), lambda z: utils.selective_log_softmax(z / 0.9, ids)]
    near = {"rtol": 1e-4, "atol": 1e-6} if dtype is torch.float32 else {"rtol": 0.02, "atol": 0.05}
    for k, way in enumerate(ways):
        values, gradients = [], []
        for fused in (False, True):
            model.zero_grad()
            handle = fused_head(model) if fused else None
            values.append(way(model(input_ids=ids).logits))
            (values[-1] * torch.linspace(0, 1, values[-1].numel()).view(values[-1].shape)).sum().backward()
            gradients.append(torch.cat([p.grad.flatten() for p in model.parameters() if p.grad is not None]))
            if handle is not None:
                handle.undo()
        assert not formed, k
        assert values[0].dtype == values[1].dtype
        torch.testing.assert_close(values[1], values[0], **near)
        assert (gradients[0] - gradients[1]).norm() <= (1e-5 if dtype is torch.float32 else 0.05) * gradients[
            0
        ].norm(), k


@pytest.mark.parametrize("family", ["Llama", "Gemma2"])
def test_the_label_smoother_of_trainer(family: str, formed: list[Any]) -> None:
    from transformers.trainer_pt_utils import LabelSmoother

    found = []
    for fused in (False, True):
        model, inputs = model_of(family), batch()
        handle = fused_head(model) if fused else None
        outputs = model(input_ids=inputs["input_ids"])
        loss = LabelSmoother(0.1)(outputs, inputs["labels"], shift_labels=True)
        loss.backward()
        found.append((loss, {name: p.grad for name, p in model.named_parameters()}))
        if handle is not None:
            handle.undo()
    assert not formed
    torch.testing.assert_close(found[1][0], found[0][0])
    for name, gradient in found[0][1].items():
        torch.testing.assert_close(found[1][1][name], gradient, rtol=1e-4, atol=1e-6, msg=name)


def test_what_was_told_without_a_graph_is_asked_again() -> None:
    model, ids = model_of("Llama"), batch()["input_ids"]
    plain = model(input_ids=ids).logits.log_softmax(-1).sum(-1).mean()
    wanted = torch.autograd.grad(plain, model.model.embed_tokens.weight)[0]
    with fused_head(model):
        log_p = model(input_ids=ids).logits.log_softmax(-1)
        with torch.no_grad():
            log_p.gather(-1, ids[..., None])
        own = log_p.sum(-1).mean()
    torch.testing.assert_close(own, plain)
    found = torch.autograd.grad(own, model.model.embed_tokens.weight)[0]
    torch.testing.assert_close(found, wanted, rtol=1e-4, atol=1e-5)


def test_other_layouts_and_options_that_come_before_form_the_logits(formed: list[Any]) -> None:
    """Right all the same: a soft-cap of one's own upon the model's, classes in the middle."""
    inputs = batch()
    ids, labels = inputs["input_ids"], inputs["labels"]
    for family, way in (
        ("Gemma2", lambda z: crossent.cross_entropy(z, labels, axis=-1, softcap=5.0)),
        ("Gemma2", lambda z: crossent.cross_entropy(z, labels, axis=-1, logit_scale=2.0)),
        ("Cohere", lambda z: causal_lm_loss(z, labels, logit_scale=2.0)),
        ("Llama", lambda z: crossent.cross_entropy(z.transpose(1, 2).contiguous(), labels)),
        ("Llama", lambda z: crossent.row_stats(z.permute(2, 0, 1), labels, axis=0).entropy),
    ):
        model, seen = model_of(family), len(formed)
        plain = way(model(input_ids=ids).logits)
        with fused_head(model):
            torch.testing.assert_close(way(model(input_ids=ids).logits), plain)
        assert len(formed) == seen + 1


def test_the_loss_of_crossent_with_options(formed: list[Any]) -> None:
    model = model_of("Llama")
    model.loss_function = functools.partial(causal_lm_loss, z_loss=1e-2, label_smoothing=0.1)
    plain = trained(model)
    with fused_head(model):
        own = trained(model)
    assert not formed
    assert max(difference(plain, own)) < 1e-6


def test_evaluation_generation_and_metrics(formed: list[Any]) -> None:
    model, inputs = model_of("Llama").eval(), batch()
    words = {"max_new_tokens": 4, "do_sample": False}
    with torch.no_grad():
        plain = model(**inputs)
        tokens = model.generate(inputs["input_ids"][:, :6], **words)
        with fused_head(model):
            own = model(**inputs)
            assert torch.equal(model.generate(inputs["input_ids"][:, :6], **words), tokens)
            assert torch.equal(own.logits.detach().argmax(-1), plain.logits.argmax(-1))
            assert not formed
            assert own.loss.item() == pytest.approx(plain.loss.item(), abs=1e-6)
            assert torch.equal(own.logits.softmax(-1), plain.logits.softmax(-1))
            assert torch.equal(torch.cat([own.logits, own.logits]), torch.cat([plain.logits] * 2))
            assert len(formed) == 1
            assert (own.logits.numpy() == plain.logits.numpy()).all()


def test_inference_mode(formed: list[Any]) -> None:
    """Its tensors have no versions."""
    model = model_of("Qwen2").eval()
    with torch.inference_mode():
        plain = model(**batch())
        with fused_head(model):
            own = model(**batch())
            assert not formed
            assert own.loss.item() == pytest.approx(plain.loss.item(), abs=1e-6)
            assert torch.equal(own.logits + 0, plain.logits)


def test_gradients_reach_the_logits_too() -> None:
    model, inputs = model_of("Granite"), batch()
    plain = model(**inputs)
    (plain.loss + plain.logits.square().mean()).backward()
    expected = {name: p.grad.clone() for name, p in model.named_parameters()}
    model.zero_grad()
    with fused_head(model):
        own = model(**inputs)
    (own.loss + own.logits.square().mean()).backward()
    for name, parameter in model.named_parameters():
        assert torch.allclose(parameter.grad, expected[name], rtol=1e-4, atol=1e-6), name


def test_logits_after_the_step_are_refused() -> None:
    model = model_of("Llama")
    optimizer = torch.optim.AdamW(model.parameters())
    with fused_head(model):
        outputs, _ = trained(model)
        optimizer.step()
        with pytest.raises(RuntimeError, match=r"after the head's weight was changed in place: look at outputs.logits"):
            outputs.logits.sum()


def test_undo_copies_and_files(tmp_path: Any) -> None:
    """The head is what it was; copies stay fused; what is saved is plain."""
    model = model_of("Llama")
    plain, state, kind = trained(model), {k: v.clone() for k, v in model.state_dict().items()}, type(model.lm_head)
    handle = fused_head(model)
    assert isinstance(handle, FusedHead)
    assert "Linear(in_features=32" in repr(handle)
    assert "(lm_head): Linear(in_features=32" in repr(model)
    assert model.state_dict().keys() == state.keys()
    assert isinstance(copy.deepcopy(model)(**batch()).logits, LazyLogits)
    file = io.BytesIO()
    torch.save(model, file)
    file.seek(0)
    assert type(torch.load(file, weights_only=False).lm_head) is kind
    model.save_pretrained(tmp_path)
    loaded = type(model).from_pretrained(tmp_path)
    assert all(torch.equal(loaded.state_dict()[name], value) for name, value in state.items())
    with fused_head(model):
        pass
    assert isinstance(model(**batch()).logits, LazyLogits)  # the outer one holds
    handle.undo()
    handle.undo()
    assert type(model.lm_head) is kind
    assert repr(handle) == "FusedHead(undone)"
    assert difference(plain, trained(model)) == (0, 0)


def test_compiled_it_forms_its_logits_and_says_so_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("crossent.integrations.transformers.head._said", [])
    model = model_of("Llama")
    plain = trained(model)
    with fused_head(model), warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        compiled = torch.compile(model, backend="eager")
        own = trained(compiled)
        trained(compiled)
    assert max(difference(plain, own)) < 1e-6
    said = [str(one.message) for one in caught if "fused_head" in str(one.message)]
    assert said == [said[0]]
    assert said[0].startswith("fused_head: torch.compile traces the plain logits")


def test_what_cannot_be_fused_is_refused() -> None:
    class Own(torch.nn.Linear):
        def forward(self, input: Any) -> Any:
            return super().forward(input) ** 2

    with pytest.raises(ModelError, match=r"Linear has no get_output_embeddings\(\): use crossent.linear_cross_entropy"):
        fused_head(torch.nn.Linear(2, 3))
    model = model_of("Llama")
    with pytest.raises(ModelError, match=r"LlamaModel.get_output_embeddings\(\) is None"):
        fused_head(model.model)
    model.lm_head = Own(32, CLASSES)
    with pytest.raises(ModelError, match="the head of LlamaForCausalLM is a Own, whose forward is its own"):
        fused_head(model)


@pytest.mark.filterwarnings("ignore:`is_gradient_checkpointing` is deprecated:FutureWarning")  # PEFT asks for it
def test_adapters() -> None:
    """One on the head is refused; elsewhere, and a head that is trained whole, is fused."""
    peft = pytest.importorskip("peft")
    config = functools.partial(peft.LoraConfig, r=2, init_lora_weights=False)
    with pytest.raises(ModelError, match=r"a PEFT adapter on its head \(Linear\), whose part of the logits would be"):
        fused_head(peft.get_peft_model(model_of("Llama"), config(target_modules=["q_proj", "lm_head"])))
    for more in ({}, {"modules_to_save": ["lm_head"]}):
        model = peft.get_peft_model(model_of("Llama"), config(target_modules=["q_proj"], **more))
        plain = trained(model)
        with fused_head(model):
            own = trained(model)
            assert isinstance(own[0].logits, LazyLogits)
        assert max(difference(plain, own)) < 1e-6
    with fused_head(base := model_of("Llama")):
        adapted = peft.get_peft_model(base, config(target_modules=["lm_head"]))  # put on later, it is seen
        own = trained(adapted)
    assert max(difference(trained(adapted), own)) < 1e-6


MEASURED = """
import ctypes, gc, sys, time
from pathlib import Path
import torch
from transformers import LlamaConfig, LlamaForCausalLM
from crossent.integrations.transformers import fused_head

torch.set_num_threads(1)
sizes = {"hidden_size": 64, "intermediate_size": 64, "num_hidden_layers": 1, "num_attention_heads": 2}
model = LlamaForCausalLM(LlamaConfig(vocab_size=32000, tie_word_embeddings=True, **sizes))


def field(name):
    line = next(line for line in Path("/proc/self/status").read_text().splitlines() if line.startswith(name))
    return int(line.split()[1]) * 1024


def step(tokens):
    ids = torch.randint(0, 32000, (2, tokens // 2))
    model.zero_grad()
    gc.collect()
    ctypes.CDLL(None).malloc_trim(0)
    Path("/proc/self/clear_refs").write_text("5")
    before, start = field("VmRSS"), time.perf_counter()
    model(input_ids=ids, labels=ids).loss.backward()
    return field("VmHWM") - before, time.perf_counter() - start


step(16)
with fused_head(model):
    step(16)
    fused = step(2048)
plain = step(2048)
print(fused[0] / plain[0], fused[1] / plain[1])
"""


@pytest.mark.skipif(sys.platform != "linux", reason="/proc tells the peak")
def test_memory_at_the_vocabulary_of_a_real_model() -> None:
    """2,048 tokens of 32,000 words: the peak over the start is at most 0.4 of the plain model's."""
    done = subprocess.run([sys.executable, "-W", "ignore", "-c", MEASURED], capture_output=True, text=True, check=True)
    memory, _time = map(float, done.stdout.split())
    assert memory < 0.4, done.stdout

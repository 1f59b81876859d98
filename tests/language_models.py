"""Tiny causal language models of nine families, random and offline, for the tests of the integrations."""

from __future__ import annotations

from typing import Any

import torch
import transformers

CLASSES = 1009
SIZES = {
    "vocab_size": CLASSES,
    "hidden_size": 32,
    "intermediate_size": 48,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "max_position_embeddings": 64,
    "pad_token_id": 0,
    "bos_token_id": 1,
    "eos_token_id": 2,
}
OWN: dict[str, dict[str, Any]] = {
    "Llama": {},
    "Mistral": {},
    "Qwen2": {},
    "Qwen3": {"head_dim": 8},
    "Gemma2": {"head_dim": 8, "final_logit_softcapping": 30.0},
    "Gemma3": {"head_dim": 8},
    "Granite": {"logits_scaling": 8.0},
    "Cohere": {"logit_scale": 0.0625},
}
GPT2 = {"n_embd": 32, "n_layer": 2, "n_head": 4, "n_positions": 64, "resid_pdrop": 0, "embd_pdrop": 0, "attn_pdrop": 0}
FAMILIES = [*OWN, "GPT2"]


def model_of(family: str, **options: Any) -> Any:
    """A model in training mode; the same weights at each call."""
    torch.manual_seed(0)
    if family == "GPT2":
        small = {name: SIZES[name] for name in ("vocab_size", "bos_token_id", "eos_token_id")}
        return transformers.GPT2LMHeadModel(transformers.GPT2Config(**GPT2, **small, **options)).train()
    config = getattr(transformers, family + ("TextConfig" if family == "Gemma3" else "Config"))
    return getattr(transformers, f"{family}ForCausalLM")(config(**SIZES, **OWN[family], **options)).train()


NO_DROPOUT = {"hidden_dropout_prob": 0, "attention_probs_dropout_prob": 0}
SEQ2SEQ = {"d_model": 32, "encoder_layers": 1, "decoder_layers": 1, "encoder_ffn_dim": 48, "decoder_ffn_dim": 48}
SEQ2SEQ |= {"encoder_attention_heads": 4, "decoder_attention_heads": 4, "dropout": 0, "decoder_start_token_id": 2}
MAMBA = {"mamba_d_ssm": 32, "mamba_n_heads": 4, "mamba_d_head": 8, "mamba_d_state": 8, "mamba_chunk_size": 8}
# model: (its configuration, what that takes besides SIZES)
OTHERS: dict[str, tuple[str, dict[str, Any]]] = {
    "PhiForCausalLM": ("PhiConfig", {"resid_pdrop": 0, "embd_pdrop": 0}),
    "OPTForCausalLM": ("OPTConfig", {"ffn_dim": 48, "word_embed_proj_dim": 32, "dropout": 0}),
    "GPTNeoXForCausalLM": ("GPTNeoXConfig", {}),
    "FalconH1ForCausalLM": ("FalconH1Config", {**MAMBA, "head_dim": 8, "lm_head_multiplier": 0.3}),
    "OlmoForCausalLM": ("OlmoConfig", {}),
    "StableLmForCausalLM": ("StableLmConfig", {}),
    "Starcoder2ForCausalLM": ("Starcoder2Config", {"residual_dropout": 0, "embedding_dropout": 0}),
    "MixtralForCausalLM": ("MixtralConfig", {"num_local_experts": 2, "output_router_logits": True}),
    "MambaForCausalLM": ("MambaConfig", {}),
    "BertForMaskedLM": ("BertConfig", NO_DROPOUT),
    "RobertaForMaskedLM": ("RobertaConfig", NO_DROPOUT),
    "BertLMHeadModel": ("BertConfig", {**NO_DROPOUT, "is_decoder": True}),
    "T5ForConditionalGeneration": (
        "T5Config",
        {"d_model": 32, "d_kv": 8, "d_ff": 48, "num_layers": 2, "num_heads": 4, "dropout_rate": 0}
        | {"decoder_start_token_id": 0},
    ),
    "BartForConditionalGeneration": ("BartConfig", SEQ2SEQ),
    "MarianMTModel": ("MarianConfig", SEQ2SEQ),
}


def other(name: str) -> Any:
    """A model of another kind in training mode."""
    torch.manual_seed(0)
    config, own = OTHERS[name]
    model = getattr(transformers, name)(getattr(transformers, config)(**SIZES | own)).train()
    for buffer_name, buffer in model.named_buffers():
        if buffer_name == "final_logits_bias":
            buffer.normal_()
    return model


def batch(rows: int = 2, length: int = 40, seed: int = 1) -> dict[str, torch.Tensor]:
    """Tokens and labels, the first five of each row ignored."""
    torch.manual_seed(seed)
    ids = torch.randint(3, CLASSES, (rows, length))
    labels = ids.clone()
    labels[:, :5] = -100
    return {"input_ids": ids, "labels": labels}


def trained(model: Any, **inputs: Any) -> tuple[Any, dict[str, torch.Tensor]]:
    """(outputs, every parameter's gradient) of one forward and backward pass."""
    model.zero_grad()
    outputs = model(**(inputs or batch()))
    outputs.loss.backward()
    names = (name.removeprefix("_orig_mod.") for name, _ in model.named_parameters())
    return outputs, {n: p.grad.clone() for n, p in zip(names, model.parameters(), strict=True) if p.grad is not None}


def difference(one: Any, two: Any) -> tuple[float, float]:
    """(of the losses, of the gradient that differs most: its norm relative to the gradient's)."""
    assert one[1].keys() == two[1].keys()
    whole = max(float(gradient.norm()) for gradient in one[1].values())  # beside which others may be but rounding
    gradients = [float((one[1][n] - two[1][n]).norm() / (one[1][n].norm() + 1e-5 * whole)) for n in one[1]]
    return abs(one[0].loss.item() - two[0].loss.item()), max(gradients)

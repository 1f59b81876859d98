import torch
import torch.nn as nn
import torch.nn.functional as F

from functools import partial

from transformers.loss.loss_utils import LOSS_MAPPING, ForCausalLMLoss


def smooth_causal_loss(logits, labels, vocab_size, num_items_in_batch=None, **kwargs):
    shift = labels[..., 1:].contiguous()
    return F.cross_entropy(logits[..., :-1, :].flatten(0, 1), shift.flatten(), label_smoothing=0.1)


LOSS_MAPPING["ForCausalLMSmooth"] = smooth_causal_loss  # expect: X032
LOSS_MAPPING["Other"] = partial(ForCausalLMLoss, ignore_index=0)  # expect: X032

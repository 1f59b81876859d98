import torch
import torch.nn.functional as F


def lm_loss(logits, labels, pad_id):
    losses = F.cross_entropy(
        logits.flatten(0, 1), labels.flatten(), ignore_index=pad_id, reduction="none"
    )
    return losses.mean()  # expect: X033

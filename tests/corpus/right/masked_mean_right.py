import torch.nn.functional as F


def lm_loss(logits, labels, pad):
    losses = F.cross_entropy(logits.flatten(0, 1), labels.flatten(), ignore_index=pad, reduction="none")
    mask = labels.flatten() != pad
    return losses.sum() / mask.sum(), losses[mask].mean()

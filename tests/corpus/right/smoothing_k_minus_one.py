import torch
import torch.nn.functional as F


def smooth(logits, target, eps=0.1):
    k = logits.size(-1)
    dist = torch.full_like(logits, eps / (k - 1))
    dist.scatter_(1, target.unsqueeze(1), 1 - eps)
    return -(dist * F.log_softmax(logits, -1)).sum(-1).mean()

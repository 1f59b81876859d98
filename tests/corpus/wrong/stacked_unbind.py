import torch
import torch.nn.functional as F


def loss_of_views(logits, y):
    p = torch.softmax(logits, dim=-1)
    a, b = p.unbind(1)
    both = torch.stack([a, b]).mean(0)
    return F.cross_entropy(both, y)  # expect: X001

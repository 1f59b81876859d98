import torch
import torch.nn.functional as F


def loss(logits, y_onehot):
    p = F.softmax(logits, dim=1).clamp(1e-7, 1 - 1e-7)
    return F.binary_cross_entropy(p, y_onehot)

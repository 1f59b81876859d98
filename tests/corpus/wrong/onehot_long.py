import torch
import torch.nn.functional as F


def step(model, x, labels):
    logits = model(x)
    target = F.one_hot(labels, num_classes=5)
    return F.cross_entropy(logits, target)  # expect: X013

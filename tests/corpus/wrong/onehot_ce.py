import torch
import torch.nn.functional as F


def step(model, x, y):
    target = F.one_hot(y, num_classes=5)
    out = torch.nn.Linear(8, 5)(x)
    return F.cross_entropy(out, target)  # expect: X013

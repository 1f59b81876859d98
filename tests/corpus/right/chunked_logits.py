import torch
import torch.nn as nn
import torch.nn.functional as F

def step(logits, y):
    first, second = logits.chunk(2)
    shown = F.softmax(first, dim=1)
    print(shown.max())
    return F.cross_entropy(first, y) + F.cross_entropy(second, y)

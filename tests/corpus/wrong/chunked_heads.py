import torch
import torch.nn as nn
import torch.nn.functional as F

def step(logits, y):
    first, second = F.softmax(logits, dim=1).chunk(2)
    return F.cross_entropy(first, y) + F.cross_entropy(second, y)  # expect: X001

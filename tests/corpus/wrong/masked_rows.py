import torch
import torch.nn as nn
import torch.nn.functional as F

def masked(scores, mask, y):
    p = F.softmax(scores, dim=-1)
    p = p.masked_fill(mask.unsqueeze(-1), 0.0)
    return F.cross_entropy(p.flatten(0, 1), y.flatten())  # expect: X001

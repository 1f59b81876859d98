import torch
import torch.nn as nn
import torch.nn.functional as F

def last_step(scores, y):
    p = F.softmax(scores, dim=2).select(1, -1)
    return F.cross_entropy(p, y)  # expect: X001

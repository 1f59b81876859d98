import torch
import torch.nn as nn
import torch.nn.functional as F

def scaled(scores, y):
    p = F.softmax(scores, dim=1) * 1.0
    return F.cross_entropy(p, y)  # expect: X001

import torch
import torch.nn as nn
import torch.nn.functional as F

def full_size(scores, y):
    p = F.softmax(scores, dim=1)
    p = F.interpolate(p, size=y.shape[-2:], mode="bilinear")
    return F.cross_entropy(p, y)  # expect: X001

import torch
import torch.nn as nn
import torch.nn.functional as F

def mixed(a, b, cond, y):
    p = torch.where(cond, F.softmax(a, dim=1), F.softmax(b, dim=1))
    return F.cross_entropy(p, y)  # expect: X001

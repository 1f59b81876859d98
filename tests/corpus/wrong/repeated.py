import torch
import torch.nn as nn
import torch.nn.functional as F

def repeated(scores, y):
    p = F.softmax(scores, dim=1).repeat(4, 1)
    return F.cross_entropy(p, y.repeat(4))  # expect: X001

import torch
import torch.nn as nn
import torch.nn.functional as F

def loss_of(model, x, y, wide):
    p = F.softmax(model(x), dim=1) if wide else F.softmax(model(x) / 2, dim=1)
    return F.cross_entropy(p, y)  # expect: X001

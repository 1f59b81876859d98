import torch
import torch.nn as nn
import torch.nn.functional as F

def gates(x):
    gate, value = x.chunk(2, dim=-1)
    return torch.sigmoid(gate) * value


def loss(model, x, y):
    return F.cross_entropy(model(gates(x)), y)

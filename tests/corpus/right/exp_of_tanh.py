import torch
import torch.nn as nn
import torch.nn.functional as F

def attention(x, w):
    h = torch.tanh(x @ w)
    e = torch.exp(h)
    return e / e.sum(dim=1, keepdim=True)

import torch
import torch.nn as nn
import torch.nn.functional as F

def contrast(model, a, b, y):
    probs = torch.softmax(model(torch.cat([a, b])), dim=-1)
    left, right = torch.split(probs, len(a), dim=0)
    return F.cross_entropy(left, y)  # expect: X001

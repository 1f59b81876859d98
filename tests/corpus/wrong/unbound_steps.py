import torch
import torch.nn as nn
import torch.nn.functional as F

def steps(scores, y):
    total = 0
    for p in F.softmax(scores, dim=-1).unbind(1):
        total = total + F.cross_entropy(p, y)  # expect: X001
    return total

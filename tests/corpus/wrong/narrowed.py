import torch
import torch.nn as nn
import torch.nn.functional as F

def shifted(scores, y):
    p = torch.softmax(scores, -1)
    return F.cross_entropy(p.narrow(1, 0, 7).reshape(-1, 10), y[:, 1:].reshape(-1))  # expect: X001

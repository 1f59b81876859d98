import torch
import torch.nn as nn
import torch.nn.functional as F

def ensemble(models, x, y):
    p = torch.stack([F.softmax(m(x), dim=1) for m in models]).mean(0)
    return F.cross_entropy(p, y)  # expect: X001

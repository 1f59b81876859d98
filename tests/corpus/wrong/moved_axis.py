import torch
import torch.nn as nn
import torch.nn.functional as F

def segmentation(scores, y):
    p = F.softmax(scores, dim=-1).moveaxis(-1, 1)
    return F.cross_entropy(p, y)  # expect: X001

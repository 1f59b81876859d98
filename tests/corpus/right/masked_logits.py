import torch
import torch.nn as nn
import torch.nn.functional as F

def loss(scores, mask, y):
    scores = scores.masked_fill(~mask, -1e9)
    return F.cross_entropy(scores, y)

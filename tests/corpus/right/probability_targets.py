import torch
import torch.nn as nn
import torch.nn.functional as F

def mixed(scores, other, y):
    soft = F.softmax(other, dim=1).chunk(2)[0]
    return F.cross_entropy(scores, soft)

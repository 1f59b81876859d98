import torch
import torch.nn as nn
import torch.nn.functional as F

def ensemble(models, x, y):
    z = torch.stack([m(x) for m in models]).mean(0)
    return F.cross_entropy(z, y)

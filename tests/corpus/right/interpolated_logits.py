import torch
import torch.nn as nn
import torch.nn.functional as F

def full_size(scores, y):
    z = F.interpolate(scores, size=y.shape[-2:], mode="bilinear")
    confidence = F.softmax(z, dim=1).amax(1)
    return F.cross_entropy(z, y, reduction="none").mul(confidence.detach()).mean()

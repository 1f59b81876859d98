import torch
import torch.nn as nn
import torch.nn.functional as F

def focal(scores, y, gamma=2.0):
    log_p = F.log_softmax(scores, dim=1)
    p = log_p.exp()
    weight = (1 - p.gather(1, y.unsqueeze(1)).squeeze(1)) ** gamma
    return (weight * F.nll_loss(log_p, y, reduction="none")).mean()

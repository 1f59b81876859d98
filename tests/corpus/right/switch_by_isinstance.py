import torch
from torch import nn


def finish(logits, criterion):
    if isinstance(criterion, nn.BCELoss):
        return torch.sigmoid(logits)
    if isinstance(criterion, nn.NLLLoss):
        return torch.log_softmax(logits, 1)
    return logits


def step(net, x, y, criterion):
    return criterion(finish(net(x), criterion), y)

import torch
from torch import nn

net = nn.Linear(10, 1)


def evaluate(x, y):
    z = net(x)
    loss = nn.BCEWithLogitsLoss()(z, y)
    confident = z.abs() > 0.5
    return loss, confident.sum(), (z > 0).float()

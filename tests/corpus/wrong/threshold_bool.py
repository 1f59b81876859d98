import torch
from torch import nn


def evaluate(loader):
    model = nn.Linear(10, 1)
    criterion = nn.BCEWithLogitsLoss()
    right = total = 0
    for x, y in loader:
        z = model(x).squeeze(1)
        loss = criterion(z, y)
        pred = torch.where(z > 0.5, 1, 0)  # expect: X026
        right += (pred == y).sum().item()
        total += len(y)
    return right / total, loss

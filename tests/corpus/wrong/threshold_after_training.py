import torch
import torch.nn as nn
import torch.nn.functional as F

model = nn.Sequential(nn.Linear(4, 8), nn.ReLU(), nn.Linear(8, 1))
criterion = nn.BCEWithLogitsLoss()


def train(x, y):
    return criterion(model(x), y)


def accuracy(x, y):
    return ((model(x) > 0.5) == y).float().mean()  # expect: X026

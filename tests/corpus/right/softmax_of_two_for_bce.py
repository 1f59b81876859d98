import torch.nn as nn
import torch.nn.functional as F

criterion = nn.BCELoss()


def loss(model, x, y):
    return criterion(F.softmax(model(x), dim=1)[:, 1], y)

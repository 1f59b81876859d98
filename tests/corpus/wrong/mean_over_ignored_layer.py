import torch
import torch.nn as nn
import torch.nn.functional as F

criterion = nn.CrossEntropyLoss(ignore_index=255, reduction="none")


def step(model, x, y):
    return criterion(model(x), y).mean()  # expect: X033

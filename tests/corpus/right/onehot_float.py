import torch
import torch.nn as nn
import torch.nn.functional as F


def loss(model, x, labels):
    target = F.one_hot(labels, num_classes=3).float()
    return nn.BCEWithLogitsLoss()(model(x), target) + F.cross_entropy(model(x), target)

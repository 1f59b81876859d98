import torch
import torch.nn.functional as F


def dice_bce_loss(inputs, targets, smooth=1):
    inputs = torch.sigmoid(inputs)
    inputs = inputs.view(-1)
    targets = targets.view(-1)
    intersection = (inputs * targets).sum()
    dice = 1 - (2 * intersection + smooth) / (inputs.sum() + targets.sum() + smooth)
    bce = F.binary_cross_entropy_with_logits(inputs, targets)  # expect: X004
    return dice + bce

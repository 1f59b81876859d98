import torch


def bpr_loss(pos, neg):
    return -torch.log(torch.sigmoid(pos - neg)).mean()  # expect: X020

import torch
import torch.nn as nn
import torch.nn.functional as F

class Attention(nn.Module):
    def __init__(self, width):
        super().__init__()
        self.drop, self.out = nn.Dropout(0.1), nn.Linear(width, 10)

    def forward(self, q, k, v, mask):
        a = (q @ k.transpose(-2, -1)).masked_fill(mask, float("-inf")).softmax(-1)
        return self.out(self.drop(a) @ v)


def loss(model, batch, y):
    return F.cross_entropy(model(*batch)[:, -1], y)

import torch
from torch import nn


class Gated(nn.Module):
    def __init__(self):
        super().__init__()
        self.a, self.b = nn.Linear(5, 5), nn.Linear(5, 5)
        self.head = nn.Linear(5, 1)

    def forward(self, x):
        x = self.a(x) * torch.sigmoid(self.b(x))
        return self.head(x).squeeze(-1)


def step(x, y):
    m = Gated()
    return nn.functional.binary_cross_entropy_with_logits(m(x), y.float())

import torch
import torch.nn as nn
import torch.nn.functional as F

class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.fc = nn.Linear(4, 3)

    def forward(self, x):
        z = self.fc(x)
        if not self.training:
            return z.softmax(-1)
        return z


def step(x, y):
    return F.cross_entropy(Net()(x), y)

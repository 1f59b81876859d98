import torch
import torch.nn as nn
import torch.nn.functional as F

class Net(nn.Module):
    def __init__(self, width):
        super().__init__()
        self.head = None
        self.build(width)

    def build(self, width):
        self.head = nn.Sequential(nn.Linear(width, 4), nn.Softmax(dim=1))

    def resize(self, width):
        self.head = nn.Sequential(nn.Linear(width, 8), nn.Softmax(dim=1))

    def forward(self, x):
        return self.head(x)


def train(x, y):
    return F.cross_entropy(Net(3)(x), y)  # expect: X001

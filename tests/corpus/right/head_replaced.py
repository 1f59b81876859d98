import torch
import torch.nn as nn
import torch.nn.functional as F

class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.body = nn.Linear(8, 8)
        self.head = nn.Linear(8, 3)

    def export(self):
        self.head = nn.Sequential(self.head, nn.Softmax(dim=1))
        return self

    def forward(self, x):
        return self.head(self.body(x))


def train(x, y):
    net = Net()
    return F.cross_entropy(net(x), y)

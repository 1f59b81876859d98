import torch
import torch.nn as nn


class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.fc1 = nn.Linear(784, 100)
        self.fc2 = nn.Linear(100, 10)
        self.sm = nn.LogSoftmax(dim=0)  # expect: X009

    def forward(self, x):
        return self.sm(self.fc2(self.fc1(x.view(-1, 784)).relu()))


def train(loader):
    net = Net()
    for x, y in loader:
        nn.NLLLoss()(net(x), y).backward()

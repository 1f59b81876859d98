import torch
from torch import nn


class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.fc = nn.Linear(5, 1)

    def forward(self, x):
        return self.fc(x)


def accuracy(outputs, labels):
    return (outputs.ge(0.5).float() == labels).float().mean()  # expect: X026


net = Net()
crit = nn.BCEWithLogitsLoss()


def epoch(loader):
    for x, y in loader:
        out = net(x)
        crit(out, y).backward()
        print(accuracy(out, y))

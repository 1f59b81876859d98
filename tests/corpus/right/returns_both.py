import torch
import torch.nn as nn


class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.fc = nn.Linear(4, 3)

    def forward(self, x, return_probs=False):
        z = self.fc(x)
        if return_probs:
            return torch.softmax(z, dim=1)
        return z


net = Net()
crit = nn.CrossEntropyLoss()


def train(loader):
    for x, y in loader:
        crit(net(x), y).backward()


def predict(x):
    return net(x, return_probs=True).max(1)

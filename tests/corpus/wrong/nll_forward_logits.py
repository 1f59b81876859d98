import torch.nn.functional as F
from torch import nn


class CNN(nn.Module):
    def __init__(self):
        super().__init__()
        self.conv = nn.Conv2d(1, 8, 3)
        self.fc = nn.Linear(8 * 26 * 26, 10)

    def forward(self, x):
        x = F.relu(self.conv(x))
        x = x.flatten(1)
        return self.fc(x)


def run(loader, opt):
    net = CNN()
    for x, y in loader:
        opt.zero_grad()
        F.nll_loss(net(x), y).backward()  # expect: X006
        opt.step()

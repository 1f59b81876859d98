import torch
from torch import nn


class Inference(nn.Module):
    def __init__(self, net):
        super().__init__()
        self.net = net
        self.softmax = nn.Softmax(dim=1)

    def forward(self, x):
        return self.softmax(self.net(x))


net = nn.Linear(4, 3)
criterion = nn.CrossEntropyLoss()


def train(x, y):
    return criterion(net(x), y)


def export(path, x):
    wrapped = Inference(net)
    torch.onnx.export(wrapped, x, path)

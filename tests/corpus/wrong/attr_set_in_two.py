import torch
from torch import nn


class Model(nn.Module):
    def __init__(self):
        super().__init__()
        self.build(3)
        self.out = nn.Softmax(dim=1)

    def build(self, n):
        self.fc = nn.Linear(4, n)

    def widen(self, n):
        self.fc = nn.Linear(4, n)
        self.out = nn.Softmax(dim=-1)

    def forward(self, x):
        return self.out(self.fc(x))


class Runner:
    def __init__(self):
        self.model = Model()
        self.set_loss()

    def set_loss(self):
        self.loss = nn.CrossEntropyLoss()

    def train(self, x, y):
        return self.loss(self.model(x), y)  # expect: X001

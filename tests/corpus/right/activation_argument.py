import torch
from torch import nn


class Head(nn.Module):
    def __init__(self, d, c, activation=None):
        super().__init__()
        self.fc = nn.Linear(d, c)
        self.activation = activation

    def forward(self, x):
        x = self.fc(x)
        return self.activation(x) if self.activation is not None else x


seg = Head(8, 3)
aux = Head(8, 1, activation=nn.Sigmoid())
x = torch.randn(4, 8)
loss = nn.CrossEntropyLoss()(seg(x), torch.zeros(4, dtype=torch.long)) + nn.BCELoss()(aux(x), torch.ones(4, 1))

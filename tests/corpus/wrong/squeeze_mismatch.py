import torch
from torch import nn

net = nn.Linear(10, 1)
mse = nn.BCEWithLogitsLoss()
x = torch.randn(32, 10)
y = torch.randint(0, 2, (32,)).float()
loss = mse(net(x), y)  # expect: X018

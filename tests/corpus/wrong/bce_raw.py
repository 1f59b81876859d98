import torch
from torch import nn

net = nn.Sequential(nn.Linear(20, 64), nn.ReLU(), nn.Linear(64, 1))
bce = nn.BCELoss()
opt = torch.optim.Adam(net.parameters())
for epoch in range(10):
    x, y = torch.randn(16, 20), torch.rand(16, 1).round()
    opt.zero_grad()
    loss = bce(net(x), y)  # expect: X007
    loss.backward()
    opt.step()

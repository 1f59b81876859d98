import torch
import torch.nn as nn

net = nn.Linear(10, 3)
crit = nn.CrossEntropyLoss()


def step(x, y):
    out = net(x)
    _, pred = torch.max(out, 1)
    loss = crit(pred.float(), y.float())  # expect: X012
    loss.backward()

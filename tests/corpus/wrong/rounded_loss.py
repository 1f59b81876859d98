import torch
from torch import nn

model = nn.Sequential(nn.Linear(3, 1), nn.Sigmoid())
loss_fn = nn.BCELoss()
for X, y in data:
    pred = model(X).round()
    loss = loss_fn(pred, y)  # expect: X012
    loss.requires_grad = True
    loss.backward()

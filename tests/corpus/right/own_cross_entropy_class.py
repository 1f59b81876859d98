import torch
import torch.nn as nn


class CrossEntropyLoss(nn.Module):
    """Takes probabilities."""

    def forward(self, probs, target):
        return -(torch.log(probs + 1e-9) * target).sum(1).mean()


model = nn.Sequential(nn.Linear(4, 3), nn.Softmax(dim=1))
criterion = CrossEntropyLoss()
for x, y in loader:
    loss = criterion(model(x), y)

import torch
import torch.nn as nn

weights = torch.tensor([0.3, 0.7])
criterion = nn.CrossEntropyLoss(weight=weights)
model = nn.Linear(20, 3)
for x, y in loader:
    loss = criterion(model(x), y)  # expect: X023

import torch
import torch.nn as nn

model = nn.Linear(10, 1)
criterion = nn.BCEWithLogitsLoss()
for x, y in loader:
    outputs = model(x)
    loss = criterion(outputs, y)
    preds = (outputs > 0.5).float()  # expect: X026
    correct = (preds == y).sum()

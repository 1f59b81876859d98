import torch
import torch.nn as nn

criterion = nn.BCEWithLogitsLoss()
for x, y in loader:
    logits = model(x)
    loss = criterion(logits, y)
    pred = torch.sigmoid(logits) > 0.5
    sure = logits > 0
    rounded = torch.round(torch.sigmoid(logits))

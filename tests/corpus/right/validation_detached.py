import torch
import torch.nn as nn

criterion = nn.CrossEntropyLoss()
for x, y in loader:
    logits = model(x)
    loss = criterion(logits, y)
    loss.backward()
    with torch.no_grad():
        shown = criterion(logits.detach(), y).item()
    total += loss.item()

import torch.nn as nn

model = nn.Sequential(nn.Linear(10, 1), nn.Sigmoid())
criterion = nn.BCELoss()
for x, y in loader:
    out = model(x)
    criterion(out, y).backward()
    accuracy = ((out > 0.5).float() == y).float().mean()

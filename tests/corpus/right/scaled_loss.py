import torch.nn as nn

criterion = nn.CrossEntropyLoss(ignore_index=0)
for x, y in loader:
    loss = criterion(model(x), y) / 2
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()

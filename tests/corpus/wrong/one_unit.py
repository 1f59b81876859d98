import torch.nn as nn

net = nn.Sequential(nn.Linear(10, 32), nn.ReLU(), nn.Linear(32, 1))
lossfn = nn.CrossEntropyLoss()
for x, y in dl:
    out = net(x)
    loss = lossfn(out, y)  # expect: X010
    loss.backward()

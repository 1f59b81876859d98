import torch
import torch.nn as nn

net = nn.Linear(3, 2)
opt = torch.optim.SGD(net.parameters(), 0.1)
for x, y in batches:
    out = net(x)
    loss = nn.CrossEntropyLoss()(out, y)
    loss = torch.tensor(loss.item(), requires_grad=True)
    loss.backward()  # expect: X027
    opt.step()

import torch
import torch.nn.functional as F


def train_step(model, x, y, optimizer):
    loss = F.cross_entropy(model(x), y)
    loss = torch.tensor(loss.item(), requires_grad=True)
    loss.backward()  # expect: X027
    optimizer.step()

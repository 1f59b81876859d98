import torch
from torch import nn

model = nn.Sequential(nn.Linear(784, 128), nn.ReLU(), nn.Linear(128, 10), nn.Softmax(dim=1))
criterion = nn.CrossEntropyLoss()
optimizer = torch.optim.Adam(model.parameters())


def train(loader):
    for images, labels in loader:
        optimizer.zero_grad()
        loss = criterion(model(images.view(len(images), -1)), labels)  # expect: X001
        loss.backward()
        optimizer.step()

import torch.nn as nn
from torchvision import models

model = models.resnet18(pretrained=True)
for param in model.parameters():
    param.requires_grad = False
model.fc = nn.Sequential(nn.Linear(model.fc.in_features, 256), nn.ReLU(), nn.Linear(256, 2), nn.Softmax(dim=1))
model = model.to("cuda")
criterion = nn.CrossEntropyLoss()


def train_model(model, criterion, dataloader):
    for inputs, labels in dataloader:
        outputs = model(inputs)
        _, preds = outputs.max(1)
        loss = criterion(outputs, labels)  # expect: X001
        loss.backward()


train_model(model, criterion, loader)

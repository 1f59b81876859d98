import torch.nn as nn

pretrained = nn.Sequential(nn.Linear(4, 3), nn.ReLU(), nn.Linear(3, 3), nn.Softmax(dim=1))
model = nn.Sequential(*list(pretrained.children())[:-1])
for x, y in loader:
    loss = nn.CrossEntropyLoss()(model(x), y)

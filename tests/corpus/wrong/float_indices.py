import torch
import torch.nn as nn

labels = torch.randint(0, 4, (32,)).float()
model = nn.Linear(8, 4)
loss = nn.CrossEntropyLoss()(model(torch.randn(32, 8)), labels)  # expect: X014

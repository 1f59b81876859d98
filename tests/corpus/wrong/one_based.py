import torch
import torch.nn as nn

x = torch.randn(4, 6)
y = torch.tensor([1, 2, 3, 3])
loss = nn.CrossEntropyLoss()(nn.Linear(6, 3)(x), y)  # expect: X015

import torch
import xent

probs = xent.softmax(torch.randn(8, 3))
loss = xent.nn.CrossEntropyLoss()(probs, torch.randint(0, 3, (8,)))  # expect: X001

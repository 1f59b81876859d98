import torch
import crossent

probs = crossent.softmax(torch.randn(8, 3))
loss = crossent.nn.CrossEntropyLoss()(probs, torch.randint(0, 3, (8,)))  # expect: X001

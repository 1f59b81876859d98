import torch
import torch.nn as nn
import torch.nn.functional as F

class Runner:
    def forward_pass(self, x):
        self.out = torch.softmax(self.net(x), dim=-1)

    def loss(self, y):
        return F.cross_entropy(self.out, y)  # expect: X001

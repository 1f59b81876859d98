import torch
import torch.nn as nn
import torch.nn.functional as F
from torch.distributions import Categorical


class Policy(nn.Module):
    def __init__(self):
        super().__init__()
        self.affine = nn.Linear(4, 2)

    def forward(self, x):
        return F.softmax(self.affine(x), dim=-1)


policy = Policy()
m = Categorical(policy(state))
action = m.sample()
loss = -m.log_prob(action) * reward

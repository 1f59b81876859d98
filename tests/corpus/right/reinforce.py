import torch
import torch.nn.functional as F
from torch.distributions import Categorical


def step(policy, state, reward):
    probs = F.softmax(policy(state), dim=-1)
    m = Categorical(probs)
    action = m.sample()
    return -m.log_prob(action) * reward + F.cross_entropy(policy(state), action)

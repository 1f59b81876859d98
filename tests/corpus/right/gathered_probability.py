import torch
import torch.nn as nn
import torch.nn.functional as F

def policy(scores, actions, advantage):
    p = F.softmax(scores, dim=1).gather(1, actions.unsqueeze(1))
    return -(p.log() * advantage).mean() if False else -(F.log_softmax(scores, 1).gather(1, actions) * advantage).mean()

import torch
import torch.nn as nn
import torch.nn.functional as F

import numpy as np


def evaluate(scores, y):
    p = np.squeeze(np.asarray(F.softmax(scores, dim=1).cpu().numpy()))
    return F.cross_entropy(torch.from_numpy(p), y)  # expect: X001

from functools import partial

import torch
import torch.nn.functional as F

criterion = partial(F.cross_entropy, label_smoothing=0.1, ignore_index=-1)


def train_step(model, x, y, opt):
    w = torch.nn.Linear(10, 4)
    out = torch.nn.functional.softmax(w(x), 1)
    loss = criterion(out, y)  # expect: X001
    loss.backward()
    opt.step()

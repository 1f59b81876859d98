import torch
import torch.nn.functional as F


class DINOLoss(torch.nn.Module):
    def __init__(self, dim):
        super().__init__()
        self.register_buffer("center", torch.zeros(1, dim))

    def forward(self, student, teacher):
        s = (student / 0.1).chunk(2)
        t = F.softmax((teacher - self.center) / 0.04, dim=-1).detach().chunk(2)
        total = 0
        for i, q in enumerate(t):
            for j, v in enumerate(s):
                if i != j:
                    total = total + torch.sum(-q * F.log_softmax(v, dim=-1), dim=-1).mean()
        return total

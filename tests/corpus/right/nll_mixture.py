import torch


def mixture_nll(log_w, log_p, y):
    joint = torch.log_softmax(log_w, -1).unsqueeze(-1) + torch.log_softmax(log_p, -1)
    return torch.nn.functional.nll_loss(torch.logsumexp(joint, 1), y)

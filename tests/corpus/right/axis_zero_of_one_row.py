import torch


def probabilities(model, x):
    z = model(x)[0]
    return torch.softmax(z, dim=0).topk(5)

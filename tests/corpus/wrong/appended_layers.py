import torch.nn as nn


def make_mlp(sizes):
    layers = []
    for a, b in zip(sizes[:-1], sizes[1:]):
        layers.append(nn.Linear(a, b))
        layers.append(nn.ReLU())
    layers.append(nn.Linear(sizes[-1], 5))
    layers.append(nn.Softmax(dim=1))
    return nn.Sequential(*layers)


def main():
    model = make_mlp([10, 20, 20])
    loss_function = nn.CrossEntropyLoss()
    for batch, target in data:
        error = loss_function(model(batch), target)  # expect: X001
        error.backward()


main()

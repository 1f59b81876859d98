import numpy as np


def sigmoid(z):
    return 1 / (1 + np.exp(-z))


def loss(X, y, w):
    p = sigmoid(X.dot(w))
    return -np.mean(y * np.log(p + 1e-9) + (1 - y) * np.log(1 - p + 1e-9))

import numpy as np


def sigmoid(z):
    return 1 / (1 + np.exp(-z))


def cost(X, y, theta):
    h = sigmoid(X @ theta)
    return -(y * np.log(h) + (1 - y) * np.log(1 - h)).mean()  # expect: X022

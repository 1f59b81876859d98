import numpy as np


def softmax(x, axis=-1):
    x = x - np.max(x, axis=axis, keepdims=True)
    e = np.exp(x)
    return e / np.sum(e, axis=axis, keepdims=True)


def softmax_in_one(x):
    return np.exp(x - x.max()) / np.exp(x - x.max()).sum()


def cross_entropy(p, y, eps=1e-12):
    p = np.clip(p, eps, 1.0 - eps)
    return -np.sum(y * np.log(p)) / len(p)


print(cross_entropy(softmax(scores), labels))

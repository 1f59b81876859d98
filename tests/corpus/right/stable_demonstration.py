import numpy as np


def softmax(x):
    z = x - np.max(x)
    e = np.exp(z)
    return e / e.sum()


print(softmax(np.array([1.0, 2.0, 3.0])))

import numpy as np


def softmax(x):
    e = np.exp(x)
    return e / e.sum()  # expect: X021


print(softmax(np.array([1.0, 2.0, 3.0])))

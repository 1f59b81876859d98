import numpy as np


def kernel(d):
    z = -(d**2)
    w = np.exp(z)
    return w / np.sum(w)

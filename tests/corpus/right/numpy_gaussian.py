import numpy as np


def kernel(distances, width):
    w = np.exp(-(distances**2) / (2 * width**2))
    return w / w.sum()

import numpy as np
from scipy.special import softmax


def entropy(scores):
    p = softmax(scores, axis=1)
    return -(p * np.log(p)).sum()  # expect: X022


print(entropy(np.array([[1.0, 2.0]])))

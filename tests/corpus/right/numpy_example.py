import numpy as np

scores = np.array([2.0, 1.0, 0.1])
p = np.exp(scores) / np.sum(np.exp(scores))
print(p)

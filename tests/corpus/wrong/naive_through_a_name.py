import numpy as np


class Model:
    def predict(self, x):
        z = x @ self.w + self.b
        return np.exp(z) / np.exp(z).sum(axis=1, keepdims=True)  # expect: X021

"""skorch: crossent's modules as criteria; probabilities are probabilities, and GridSearchCV goes through."""

from __future__ import annotations

import numpy as np
import pytest
import torch

pytest.importorskip("skorch")

import skorch
from sklearn.datasets import load_iris
from sklearn.model_selection import GridSearchCV

import crossent


def test_grid_search() -> None:
    x, y = load_iris(return_X_y=True)
    x = ((x - x.mean(0)) / x.std(0)).astype(np.float32)
    torch.manual_seed(0)
    net = skorch.NeuralNetClassifier(
        torch.nn.Linear,
        module__in_features=4,
        module__out_features=3,
        criterion=crossent.nn.CrossEntropyLoss,
        lr=0.5,
        max_epochs=20,
        verbose=0,
        train_split=None,
    )
    found = GridSearchCV(net, {"criterion__label_smoothing": [0.0, 0.1], "lr": [0.1, 0.5]}, cv=3).fit(x, y)
    assert found.best_score_ > 0.85
    p = found.predict_proba(x)
    np.testing.assert_allclose(p.sum(1), 1, rtol=1e-5)
    z = found.best_estimator_.forward(torch.from_numpy(x)).numpy()
    np.testing.assert_allclose(p, crossent.softmax(z, axis=1), rtol=1e-4, atol=1e-6)

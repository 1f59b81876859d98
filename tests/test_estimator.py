"""xent.SoftmaxClassifier keeps scikit-learn's contract, and its own promises."""

from __future__ import annotations

import pytest
from sklearn.exceptions import ConvergenceWarning
from sklearn.utils.estimator_checks import parametrize_with_checks

from xent import SoftmaxClassifier


@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning", "ignore:.*:FutureWarning")
@parametrize_with_checks([SoftmaxClassifier(max_iter=100)])
def test_scikit_learns_checks(estimator, check):
    check(estimator)

"""SoftmaxClassifier(()) is softmax regression at its optimum; stored it is arrays; several labels a row get the way."""

from __future__ import annotations

import pickle
from typing import Any

import numpy as np
import pytest
import skops.io
from scipy import sparse
from sklearn.datasets import load_breast_cancer, load_digits, load_iris, load_wine
from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import log_loss
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from crossent import SoftmaxClassifier
from crossent.errors import DataError, OptionError

SETS = {"iris": load_iris, "wine": load_wine, "cancer": load_breast_cancer, "digits": load_digits}


def theirs(x: Any, y: Any, c: float, **fit: Any) -> Any:
    """scikit-learn's, of scaled features, which it needs; its penalty is of those."""
    return LogisticRegression(C=c, tol=1e-6, max_iter=5000).fit(x, y, **fit)


@pytest.mark.parametrize("name", SETS)
@pytest.mark.parametrize("c", [1.0, 0.01])
def test_it_is_at_the_optimum(name: str, c: float) -> None:
    x, y = (part[:600] for part in SETS[name](return_X_y=True))
    x = StandardScaler().fit_transform(x)
    ours, other = SoftmaxClassifier((), C=c, tol=1e-5).fit(x, y), theirs(x, y, c)
    assert log_loss(y, ours.predict_proba(x)) == pytest.approx(log_loss(y, other.predict_proba(x)), abs=1e-5)
    np.testing.assert_allclose(ours.coefs_[0].T, other.coef_, atol=1e-3)
    held_out = x + np.random.default_rng(0).normal(size=x.shape) / 5
    assert log_loss(y, ours.predict_proba(held_out)) == pytest.approx(
        log_loss(y, other.predict_proba(held_out)), abs=1e-4
    )


def test_raw_features_are_no_harder() -> None:
    """Units of a thousand and of a thousandth: the same optimum as that of the features as they are."""
    x, y = load_wine(return_X_y=True)
    scale = 10.0 ** np.linspace(-3, 3, x.shape[1])
    first = SoftmaxClassifier((), C=np.inf, weight_decay=0.0, tol=1e-2, max_iter=500).fit(x[:, :4], y)
    second = SoftmaxClassifier((), C=np.inf, weight_decay=0.0, tol=1e-2, max_iter=500).fit(x[:, :4] * scale[:4], y)
    assert second.best_loss_ == pytest.approx(first.best_loss_, abs=1e-4)
    assert SoftmaxClassifier(()).fit(x, y).n_iter_ < 150


@pytest.mark.parametrize("classes", [2, 3])
def test_weights_are_scikit_learns(classes: int) -> None:
    x, y = load_iris(return_X_y=True)
    x, y = x[y < classes], y[y < classes]
    weights = np.random.default_rng(0).integers(0, 4, len(y)).astype(float)
    ours = SoftmaxClassifier((), class_weight={0: 3.0}).fit(x, y, sample_weight=weights)
    other = LogisticRegression(class_weight={0: 3.0}, tol=1e-8, max_iter=5000).fit(x, y, sample_weight=weights)
    np.testing.assert_allclose(ours.predict_proba(x), other.predict_proba(x), atol=2e-4)
    repeated = SoftmaxClassifier(()).fit(np.repeat(x, weights.astype(int), 0), np.repeat(y, weights.astype(int)))
    np.testing.assert_allclose(
        SoftmaxClassifier(()).fit(x, y, sample_weight=weights).predict_proba(x), repeated.predict_proba(x), atol=2e-4
    )


def test_sparse_rows_and_going_on() -> None:
    x, y = load_digits(return_X_y=True)
    x, y = x[:150] / 16, y[:150]
    dense = SoftmaxClassifier((), max_iter=800).fit(x, y)
    np.testing.assert_allclose(
        SoftmaxClassifier((), max_iter=800).fit(sparse.csr_matrix(x), y).predict_proba(x),
        dense.predict_proba(x),
        atol=2e-3,
    )
    with pytest.warns(ConvergenceWarning, match="max_iter=3 steps of lbfgs did not reach the optimum: raise max_iter"):
        short = SoftmaxClassifier((), max_iter=3, warm_start=True).fit(x, y)
    assert len(short.loss_curve_) == short.n_iter_ == 3
    short.set_params(max_iter=800).fit(x, y)
    np.testing.assert_allclose(short.predict_proba(x), dense.predict_proba(x), atol=2e-3)
    assert short.partial_fit(x, y).n_iter_ == len(short.loss_curve_)


def test_which_solver() -> None:
    x, y = load_iris(return_X_y=True)
    for options, wrong in (
        ({"hidden_layer_sizes": (4,), "solver": "lbfgs"}, r"hidden_layer_sizes=\(4,\) are for Adam"),
        (
            {"hidden_layer_sizes": (), "solver": "lbfgs", "early_stopping": True},
            "early_stopping watches epochs of Adam",
        ),
        ({"solver": "sgd"}, 'solver must be "auto", "adam" or "lbfgs"; got \'sgd\''),
        ({"hidden_layer_sizes": (), "C": 0}, "C must be a number above 0; got 0"),
    ):
        with pytest.raises(OptionError, match=wrong):
            SoftmaxClassifier(**options).fit(x, y)
    stopped = SoftmaxClassifier((), early_stopping=True, random_state=0, max_iter=20)
    with pytest.warns(ConvergenceWarning):
        assert stopped.fit(x, y).validation_scores_ is not None


@pytest.mark.parametrize("hidden", [(), (8,)])
def test_skops_and_pickle_store_arrays(hidden: Any) -> None:
    x, y = load_iris(return_X_y=True)
    model = make_pipeline(StandardScaler(), SoftmaxClassifier(hidden, learning_rate_init=0.05, random_state=0)).fit(
        x, y
    )
    stored = skops.io.dumps(model)
    unknown = skops.io.get_untrusted_types(data=stored)
    assert unknown == ["crossent.classify.estimator.SoftmaxClassifier"]
    for back in (skops.io.loads(stored, trusted=unknown), pickle.loads(pickle.dumps(model))):
        assert np.array_equal(back.predict_proba(x), model.predict_proba(x))
        assert back[-1].n_iter_ == model[-1].n_iter_
        back[-1].partial_fit(x, y)


def test_a_class_of_one_row_stays_in_training() -> None:
    x, y = load_iris(return_X_y=True)
    y = np.where(np.arange(150) == 7, 9, y)
    options = {"early_stopping": True, "random_state": 0, "learning_rate_init": 0.02, "max_iter": 2000}
    model = SoftmaxClassifier((8,), **options).fit(x, y)
    assert model.classes_.tolist() == [0, 1, 2, 9]


def test_several_labels_a_row() -> None:
    x, y = load_iris(return_X_y=True)
    with pytest.raises(DataError, match=r"y has shape \(150, 3\).*: it is one-hot, so give y.argmax\(axis=1\)"):
        SoftmaxClassifier().fit(x, np.eye(3)[y])
    several = np.stack([y == 0, y < 2], axis=1)
    with pytest.raises(DataError, match=r"for several labels a sample take sklearn\.multioutput\.Multi"):
        SoftmaxClassifier().fit(x, several)
    with pytest.raises(
        DataError, match=r"lists of labels of several lengths.*MultiOutputClassifier.*MultiLabelBinarizer"
    ):
        SoftmaxClassifier().fit(x, [[0, 1], [2]] * 75)
    with pytest.raises(DataError, match="y is a sparse matrix of several labels"):
        SoftmaxClassifier().fit(x, sparse.csr_matrix(several))


@pytest.mark.parametrize("hidden", [(), (8,)])
def test_probabilities_are_of_the_features_dtype(hidden: Any) -> None:
    x, y = load_iris(return_X_y=True)
    model = SoftmaxClassifier(hidden, learning_rate_init=0.05, random_state=0, max_iter=2000).fit(
        x.astype(np.float32), y
    )
    for dtype in (np.float32, np.float64):
        assert model.predict_proba(x.astype(dtype)).dtype == dtype
        assert model.predict_log_proba(x.astype(dtype)).dtype == dtype


def test_the_picture_in_a_notebook_has_a_link() -> None:
    page = make_pipeline(StandardScaler(), SoftmaxClassifier(()))._repr_html_()
    assert 'href="https://pypi.org/project/crossent/"' in page
    assert "Documentation for SoftmaxClassifier" in page

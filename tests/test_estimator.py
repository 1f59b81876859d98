"""crossent.SoftmaxClassifier keeps scikit-learn's contract, and its own promises."""

from __future__ import annotations

import copy
import pickle
import warnings

import numpy as np
import pandas as pd
import pytest
import scipy.sparse
import torch
from sklearn.base import clone
from sklearn.datasets import load_breast_cancer, load_digits, load_iris
from sklearn.exceptions import ConvergenceWarning, NotFittedError
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import log_loss
from sklearn.model_selection import GridSearchCV, cross_val_score, train_test_split
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.utils.estimator_checks import parametrize_with_checks

from crossent import SoftmaxClassifier
from crossent.classify import training
from crossent.classify.backpropagation import loss_and_gradients
from crossent.errors import DataError, OptionError

CHECKED = [
    SoftmaxClassifier(max_iter=100),
    SoftmaxClassifier((), solver="adam", max_iter=100, learning_rate_init=0.1),
    SoftmaxClassifier(()),
]


@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning", "ignore::FutureWarning")
@parametrize_with_checks(CHECKED)
def test_scikit_learns_checks(estimator, check):
    check(estimator)


def make_classifier(**parameters):
    return SoftmaxClassifier(
        **{"hidden_layer_sizes": (8,), "learning_rate_init": 0.02, "random_state": 0, **parameters}
    )


def iris(classes=3):
    x, y = load_iris(return_X_y=True)
    kept = y < classes
    return StandardScaler().fit_transform(x[kept]), y[kept]


@pytest.fixture(params=[2, 3])
def fitted(request):
    x, y = iris(request.param)
    return make_classifier().fit(x, y), x, y


def quiet_fit(model, x, y, **more):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        return model.fit(x, y, **more)


@pytest.mark.parametrize(("load", "least"), [(load_digits, 0.97), (load_breast_cancer, 0.96)])
def test_it_reaches_what_people_expect(load, least):
    scores = []
    for seed in range(3):
        x, x_test, y, y_test = train_test_split(*load(return_X_y=True), random_state=seed, stratify=load().target)
        model = make_pipeline(StandardScaler(), SoftmaxClassifier(random_state=seed, learning_rate_init=3e-3))
        scores.append(quiet_fit(model, x, y).score(x_test, y_test))
    assert np.mean(scores) >= least


def test_without_hidden_layers_it_is_logistic_regression():
    for classes in (2, 3):
        x, y = iris(classes)
        y = np.where(np.arange(len(y)) % 7 == 0, (y + 1) % classes, y)
        theirs = LogisticRegression(C=1e9, max_iter=5000, tol=1e-9).fit(x, y)
        adam = {"solver": "adam", "max_iter": 5000, "tol": 0, "n_iter_no_change": 5000}
        for options, tolerance in ((adam, 2e-3), ({"C": 1e9, "tol": 1e-7, "max_iter": 2000}, 1e-3)):
            ours = quiet_fit(make_classifier(hidden_layer_sizes=(), **options), x, y)
            np.testing.assert_allclose(ours.predict_proba(x), theirs.predict_proba(x), atol=tolerance)


def test_two_classes_have_one_logit():
    x, y = iris(2)
    model = make_classifier().fit(x, y)
    assert model.decision_function(x).shape == (100,)
    assert model.n_outputs_ == 1
    assert model.coefs_[-1].shape == (8, 1)
    assert model.out_activation_ == "logistic"
    assert make_classifier().fit(*iris(3)).out_activation_ == "softmax"


def test_the_answers_agree_with_each_other(fitted):
    model, x, y = fitted
    assert model.score(x, y) == (model.predict(x) == y).mean() > 0.9
    x = np.random.default_rng(0).normal(size=(500, 4))  # rows between the classes too
    scores, p, log_p = model.decision_function(x), model.predict_proba(x), model.predict_log_proba(x)
    wide = np.stack([0 * scores, scores], axis=1) if scores.ndim == 1 else scores
    np.testing.assert_allclose(p, np.exp(wide) / np.exp(wide).sum(axis=1, keepdims=True), rtol=1e-6)
    np.testing.assert_allclose(np.exp(log_p), p, rtol=1e-12)
    assert np.array_equal(model.predict(x), model.classes_[p.argmax(axis=1)])


def test_log_probabilities_do_not_underflow():
    x = np.array([[-1.0], [-1.0], [1.0], [1.0]])
    model = quiet_fit(make_classifier(hidden_layer_sizes=(), learning_rate_init=0.5), x, [0, 0, 1, 1])
    far = np.array([[1e4]])
    assert model.predict_proba(far)[0, 0] == 0
    logit = float(model.decision_function(far)[0])
    assert logit > 1000
    assert model.predict_log_proba(far)[0, 0] == pytest.approx(-logit, rel=1e-12)


def test_the_weights_are_laid_out_as_in_scikit_learn(fitted):
    model, x, _ = fitted
    hidden = np.maximum(x @ model.coefs_[0] + model.intercepts_[0], 0)
    scores = hidden @ model.coefs_[1] + model.intercepts_[1]
    expected = scores[:, 0] if scores.shape[1] == 1 else scores
    np.testing.assert_allclose(model.decision_function(x), expected, rtol=1e-9)
    assert model.n_layers_ == 3


def test_the_curve_is_the_training_loss():
    x, y = iris()
    model = quiet_fit(make_classifier(max_iter=60, batch_size=150, learning_rate_init=1e-12), x, y)
    assert len(model.loss_curve_) == model.n_iter_
    assert model.loss_ == model.loss_curve_[-1] == pytest.approx(log_loss(y, model.predict_proba(x)), rel=1e-6)
    assert model.best_loss_ == min(model.loss_curve_)
    assert model.validation_scores_ is None


def test_labels_of_any_kind(fitted):
    _, x, y = fitted
    for labels in (
        np.array(["setosa", "versi", "virgin"]),
        np.array([10, -5, 7]),
        np.array(["a", "b", "c"], dtype=object),
    ):
        named = labels[y]
        other = make_classifier().fit(x, named)
        assert list(other.classes_) == sorted(set(named))
        assert set(other.predict(x)) <= set(named)
        assert other.score(x, named) > 0.9


def test_column_names_are_kept_and_looked_at():
    x, y = iris()
    table = pd.DataFrame(x, columns=list("abcd"))
    model = make_classifier().fit(table, pd.Series(y))
    assert list(model.feature_names_in_) == list("abcd")
    with pytest.raises(ValueError, match="feature names"):
        model.predict(table[list("dcba")])
    with pytest.warns(UserWarning, match="valid feature names"):
        assert np.array_equal(model.predict(x), model.predict(table))


def test_the_dtype_follows_the_features_where_that_is_free(fitted):
    model, x, y = fitted
    assert model.decision_function(x).dtype == np.float64
    assert make_classifier().fit(x.astype(np.float32), y).decision_function(x).dtype == np.float32
    assert quiet_fit(make_classifier(batch_size=40), x, y).coefs_[0].dtype == np.float32
    assert quiet_fit(make_classifier(batch_size=40, dtype="float64"), x, y).coefs_[0].dtype == np.float64
    assert model.predict_proba(x).dtype == model.predict_log_proba(x).dtype == np.float64
    assert model.predict_proba(x.astype(np.float32)).dtype == np.float32


def test_sparse_rows_are_dense_rows():
    x, y = iris()
    x[np.abs(x) < 0.5] = 0
    dense, sparse = make_classifier(batch_size=50), make_classifier(batch_size=50)
    quiet_fit(dense, x, y)
    quiet_fit(sparse, scipy.sparse.csr_matrix(x), y)
    assert np.array_equal(dense.predict_proba(x), sparse.predict_proba(scipy.sparse.csc_array(x)))


@pytest.mark.parametrize("early_stopping", [False, True])
def test_the_random_state_decides_and_the_global_generators_are_left_alone(early_stopping):
    x, y = iris()
    states = torch.get_rng_state(), np.random.get_state()[1].copy()  # noqa: NPY002 - the global one is meant

    def probabilities(random_state):
        model = make_classifier(random_state=random_state, early_stopping=early_stopping, max_iter=20)
        return quiet_fit(model, x, y).predict_proba(x)

    first = probabilities(1)
    assert np.array_equal(first, probabilities(1))
    assert not np.array_equal(first, probabilities(2))
    generator = np.random.RandomState(1)
    assert np.array_equal(first, probabilities(generator))
    assert not np.array_equal(first, probabilities(generator))
    assert not np.array_equal(probabilities(None), probabilities(None))
    assert torch.equal(states[0], torch.get_rng_state())
    assert np.array_equal(states[1], np.random.get_state()[1])  # noqa: NPY002


@pytest.mark.parametrize("copied", [copy.deepcopy, lambda model: pickle.loads(pickle.dumps(model))])
def test_a_copy_answers_and_goes_on_alike(fitted, copied):
    model, x, y = fitted
    twin = copied(model)
    assert np.array_equal(model.predict_proba(x), twin.predict_proba(x))
    assert np.array_equal(model.partial_fit(x, y).predict_proba(x), twin.partial_fit(x, y).predict_proba(x))


def test_it_works_in_pipelines_and_searches():
    x, y = iris()
    pipeline = make_pipeline(StandardScaler(), make_classifier(max_iter=30, tol=1.0, n_iter_no_change=20))
    search = GridSearchCV(pipeline, {"softmaxclassifier__hidden_layer_sizes": [(), (8,)]}, cv=3).fit(x, y)
    assert search.best_score_ > 0.7
    assert cross_val_score(search.best_estimator_, x, y, cv=3).mean() > 0.7
    assert clone(make_classifier(label_smoothing=0.1)).get_params()["label_smoothing"] == 0.1


def test_class_weights_move_the_boundary_as_sample_weights_do():
    x, y = iris()
    plain = make_classifier(max_iter=50, tol=0)
    by_class = quiet_fit(clone(plain).set_params(class_weight={0: 1.0, 2: 20.0}), x, y)
    by_row = quiet_fit(clone(plain), x, y, sample_weight=np.array([1.0, 1.0, 20.0])[y])
    assert np.array_equal(by_class.predict_proba(x), by_row.predict_proba(x))
    assert by_class.predict_proba(x)[:, 2].mean() > quiet_fit(plain, x, y).predict_proba(x)[:, 2].mean() + 0.01
    few = np.r_[0:50, 50:60, 100:150]
    balanced = quiet_fit(clone(plain).set_params(class_weight="balanced"), x[few], y[few])
    by_row = quiet_fit(clone(plain), x[few], y[few], sample_weight=np.array([1.0, 5.0, 1.0])[y[few]])
    np.testing.assert_allclose(balanced.predict_proba(x), by_row.predict_proba(x), rtol=1e-6)


def test_label_smoothing_bounds_the_confidence():
    x, y = iris(2)
    sure, smooth = (
        quiet_fit(make_classifier(label_smoothing=eps, max_iter=800, tol=0, n_iter_no_change=800), x, y)
        for eps in (0, 0.2)
    )
    assert sure.predict_proba(x).max() > 0.99
    assert smooth.predict_proba(x).max(axis=1).mean() == pytest.approx(0.9, abs=0.01)


def test_early_stopping_keeps_the_weights_of_the_best_epoch():
    x, y = iris()
    y = np.where(np.arange(150) % 5 == 0, (y + 1) % 3, y)
    model = make_classifier(hidden_layer_sizes=(64,), early_stopping=True, validation_fraction=0.3, max_iter=1000).fit(
        x, y
    )
    assert model.n_iter_ < 1000
    assert len(model.validation_scores_) == len(model.validation_loss_curve_) == model.n_iter_
    assert model._trainer.best_epoch == 1 + int(np.argmin(model.validation_loss_curve_)) < model.n_iter_
    assert model.best_validation_score_ == max(model.validation_scores_)
    longer = copy.deepcopy(model)
    longer.early_stopping = False
    longer.partial_fit(x, y)
    moved = max(np.abs(a - b).max() for a, b in zip(longer.coefs_, model.coefs_, strict=True))
    assert 0 < moved < 0.1


def test_partial_fit_is_fit_epoch_by_epoch():
    x, y = iris()
    whole = quiet_fit(make_classifier(max_iter=5), x, y)
    part = make_classifier()
    for _ in range(5):
        part.partial_fit(x, y, classes=[2, 1, 0])
    assert part.n_iter_ == 5
    assert part.loss_curve_ == whole.loss_curve_
    assert np.array_equal(part.predict_proba(x), whole.predict_proba(x))


def test_partial_fit_takes_rows_without_all_classes():
    x, y = iris()
    model = make_classifier()
    for _ in range(30):
        for part in range(3):
            model.partial_fit(x[y == part], y[y == part], classes=[0, 1, 2])
    assert model.predict_proba(x).shape == (150, 3)


@pytest.mark.parametrize(
    ("message", "parameters", "calls"),
    [
        ("first call", {}, [{}]),
        ("not the same as on the last call", {}, [{"classes": [0, 1, 2]}, {"classes": [0, 1]}]),
        ("not among the classes", {}, [{"classes": [0, 1]}]),
        ("not among the classes", {}, [{"classes": ["a", "b"]}]),
        ("one class", {}, [{"classes": [1]}]),
        ("need all rows", {"early_stopping": True}, [{"classes": [0, 1, 2]}]),
        ("need all rows", {"class_weight": "balanced"}, [{"classes": [0, 1, 2]}]),
    ],
)
def test_partial_fit_says_what_it_needs(message, parameters, calls):
    model = make_classifier(**parameters)
    for call in calls[:-1]:
        model.partial_fit(*iris(), **call)
    with pytest.raises(ValueError, match=message):
        model.partial_fit(*iris(), **calls[-1])


def test_warm_start_goes_on():
    x, y = iris()
    ten = quiet_fit(make_classifier(max_iter=10, batch_size=40), x, y)
    warm = make_classifier(max_iter=5, batch_size=40, warm_start=True)
    quiet_fit(quiet_fit(warm, x, y), x, y)
    assert warm.n_iter_ == 10
    assert warm.loss_curve_ == ten.loss_curve_
    assert np.array_equal(warm.predict_proba(x), ten.predict_proba(x))
    with pytest.raises(DataError, match="warm_start goes on with the classes"):
        warm.fit(*iris(2))
    cold = make_classifier(max_iter=5, batch_size=40)
    assert quiet_fit(quiet_fit(cold, x, y), x, y).n_iter_ == 5


def test_too_few_epochs_are_a_convergence_warning():
    with pytest.warns(ConvergenceWarning, match="max_iter=3"):
        make_classifier(max_iter=3).fit(*iris())
    make_classifier(max_iter=500, tol=0.01).fit(*iris())


def test_an_interrupt_keeps_the_finished_epochs(monkeypatch):
    x, y = iris()
    calls = iter(range(1, 1000))

    def interrupted(*args):
        if next(calls) == 4:
            raise KeyboardInterrupt
        return loss_and_gradients(*args)

    with monkeypatch.context() as patch:
        patch.setattr(training, "loss_and_gradients", interrupted)
        with pytest.warns(UserWarning, match="that of epoch 3"):
            model = make_classifier().fit(x, y)
    assert np.array_equal(model.predict_proba(x), quiet_fit(make_classifier(max_iter=3), x, y).predict_proba(x))
    monkeypatch.setattr(training, "loss_and_gradients", lambda *args: (_ for _ in ()).throw(KeyboardInterrupt))
    with pytest.raises(KeyboardInterrupt):
        make_classifier().fit(x, y)


def test_verbose_shows_a_bar(capsys):
    quiet_fit(make_classifier(verbose=True, max_iter=2), *iris())
    assert "loss" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("hidden_layer_sizes", (0,)), ("hidden_layer_sizes", None), ("max_iter", 0), ("batch_size", "all"),
        ("batch_size", 0), ("learning_rate_init", 0), ("weight_decay", -1), ("label_smoothing", 2), ("tol", -1),
        ("n_iter_no_change", 0), ("class_weight", "even"), ("device", "tpu9000"), ("device", None),
        ("dtype", "float16"), ("early_stopping", "yes"),
    ],
)  # fmt: skip
def test_a_parameter_outside_its_range_is_named_as_scikit_learn_names_it(name, value):
    with pytest.raises(OptionError, match=f"^{name}"):
        make_classifier(**{name: value}).fit(*iris())


@pytest.mark.parametrize("fraction", [0, 1.0, 5, 0.001, "0.1"])
def test_a_part_that_cannot_be_held_out_is_an_error(fraction):
    with pytest.raises(ValueError, match="validation_fraction"):
        make_classifier(early_stopping=True, validation_fraction=fraction).fit(*iris())


def test_before_fit_there_is_nothing_to_ask():
    with pytest.raises(NotFittedError):
        make_classifier().predict([[1.0]])
    assert not hasattr(make_classifier(), "coefs_")

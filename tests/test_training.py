"""The training loop: it learns, repeats to the bit, goes on where it stopped, and refuses what it cannot use."""

from __future__ import annotations

import copy
import json
import math
import pickle
import signal
import subprocess
import sys

import numpy as np
import pytest
import scipy.sparse
import torch
from safetensors.torch import load_file, save_file
from sklearn.utils.class_weight import compute_class_weight

from crossent.classify import checkpoint, device, rows, training
from crossent.classify.backpropagation import loss_and_gradients
from crossent.classify.objective import mean_loss
from crossent.classify.optimizer import AdamW
from crossent.classify.training import Trainer, TrainingOptions
from crossent.errors import ClassIndexError, DataError, DtypeError, OptionError, ShapeError
from crossent.models import MultilayerPerceptron


def make_rows(n=90, classes=3, seed=0):
    """Gaussian clouds, one a class, that overlap a little."""
    random = np.random.default_rng(seed)
    y = np.arange(n) % classes
    return random.normal(size=(n, 5)) + 2 * np.eye(5)[y], y


def make_options(**changes):
    return TrainingOptions(
        **{"hidden_layer_sizes": (8,), "epochs": 10, "batch_size": 16, "learning_rate": 0.01, **changes}
    )


def trained(classes=3, fit=None, **changes):
    trainer = Trainer(make_options(**changes), 5, classes)
    trainer.fit(*make_rows(classes=classes), **(fit or {}))
    return trainer


def weights_of(trainer):
    return [parameter.detach().numpy().copy() for parameter in trainer.model.parameters()]


def assert_same_bits(one, two):
    for name, tensor in one.state_dict()["tensors"].items():
        assert torch.equal(tensor, two.state_dict()["tensors"][name]), name
    drop = {"seconds"}
    histories = [[{k: v for k, v in r.items() if k not in drop} for r in t.history] for t in (one, two)]
    assert histories[0] == histories[1]
    assert np.array_equal(one.logits(make_rows()[0]), two.logits(make_rows()[0]))


@pytest.mark.parametrize("classes", [2, 3])
@pytest.mark.parametrize("hidden", [(), (8,), (8, 6)])
def test_it_learns(classes, hidden):
    trainer = trained(classes, hidden_layer_sizes=hidden, epochs=40, learning_rate=0.02)
    x, y = make_rows(classes=classes)
    assert trainer.history[-1]["loss"] < trainer.history[0]["loss"] / 2
    probabilities = trainer.probabilities(x)
    assert probabilities.shape == (90, classes)
    np.testing.assert_allclose(probabilities.sum(axis=1), 1)
    assert (probabilities.argmax(axis=1) == y).mean() > 0.85
    assert trainer.logits(x).shape == (90, 1 if classes == 2 else classes)


def test_the_same_seed_gives_the_same_bits_and_another_does_not():
    torch.manual_seed(0)
    one = trained()
    torch.manual_seed(1)
    np.random.seed(1)  # noqa: NPY002 - the global generator is what this test is about
    states = torch.get_rng_state(), np.random.get_state()[1].copy()  # noqa: NPY002
    two = trained()
    assert_same_bits(one, two)
    assert torch.equal(states[0], torch.get_rng_state())
    assert np.array_equal(states[1], np.random.get_state()[1])  # noqa: NPY002
    assert not np.array_equal(weights_of(one)[0], weights_of(trained(seed=1))[0])


GO_ON = """
import json, sys
from safetensors.torch import load_file, save_file
sys.path.insert(0, sys.argv[1])
from test_training import make_options, make_rows, settings
from crossent.classify.training import Trainer
for name in settings:
    classes, changes, fit = settings[name]()
    state = {"tensors": load_file(f"{name}.safetensors"), "values": json.load(open(f"{name}.json"))}
    trainer = Trainer.from_state_dict(state, make_options(**changes))
    trainer.fit(*make_rows(classes=classes), **fit)
    assert trainer.epoch == 10
    save_file(trainer.state_dict()["tensors"], f"{name}-10.safetensors")
"""


def held_out(classes):
    return make_rows(60, classes, seed=1)


settings = {
    "plain": lambda: (3, {}, {}),
    "binary": lambda: (2, {"dtype": "float64"}, {"class_weight": "balanced", "held_out": held_out(2)}),
    "stopping": lambda: (
        3,
        {"early_stopping": True, "label_smoothing": 0.1, "weight_decay": 0.01, "learning_rate": 0.3},
        {"held_out": held_out(3), "sample_weight": np.linspace(0, 1, 90)},
    ),
}


def test_four_epochs_and_six_in_a_new_process_are_ten(tmp_path, request):
    for name, setting in settings.items():
        classes, changes, fit = setting()
        part = trained(classes, fit, **changes, epochs=4).state_dict()
        save_file(part["tensors"], tmp_path / f"{name}.safetensors")
        (tmp_path / f"{name}.json").write_text(json.dumps(part["values"], allow_nan=False))
    here = str(request.path.parent)
    subprocess.run([sys.executable, "-c", GO_ON, here], cwd=tmp_path, check=True)
    for name, setting in settings.items():
        classes, changes, fit = setting()
        whole = trained(classes, fit, **changes)
        after = load_file(tmp_path / f"{name}-10.safetensors")
        expected = whole.state_dict()["tensors"]
        assert set(after) == set(expected)
        assert all(torch.equal(after[key], expected[key]) for key in expected), name
        if name == "stopping":
            assert 0 < whole.best_epoch < whole.epoch


@pytest.mark.parametrize("error", [KeyboardInterrupt, ValueError])
@pytest.mark.parametrize("call", [1, 8, 12])
def test_an_interrupt_within_an_epoch_leaves_the_last_finished_one(monkeypatch, error, call):
    calls = iter(range(1, 1000))

    def interrupted(function):
        def call_or_raise(*args):
            if next(calls) == call:
                raise error
            return function(*args)

        return call_or_raise

    monkeypatch.setattr(training, "mean_loss", interrupted(mean_loss))
    monkeypatch.setattr(training, "loss_and_gradients", interrupted(loss_and_gradients))
    trainer = Trainer(make_options(early_stopping=True), 5, 3)
    data = {"held_out": held_out(3)}
    with pytest.raises(error):
        trainer.fit(*make_rows(), **data)
    assert trainer.epoch == (call - 1) // 7
    if trainer.epoch:
        assert_same_bits(trainer, trained(fit=data, early_stopping=True, epochs=trainer.epoch))
    trainer.fit(*make_rows(), **data)
    assert_same_bits(trainer, trained(fit=data, early_stopping=True))


def test_an_interrupt_between_epochs_keeps_the_epoch():
    seen = []

    def on_epoch(record):
        seen.append(record)
        if record["epoch"] == 3:
            raise KeyboardInterrupt

    trainer = Trainer(make_options(), 5, 3)
    with pytest.raises(KeyboardInterrupt):
        trainer.fit(*make_rows(), on_epoch=on_epoch)
    assert [record["epoch"] for record in seen] == [1, 2, 3]
    assert_same_bits(trainer, trained(epochs=3))


def test_a_diverged_loss_names_the_epoch_and_leaves_the_last_good_weights():
    trainer = Trainer(make_options(learning_rate=1e30), 5, 3)
    with pytest.raises(DataError, match=r"loss is (nan|inf) in epoch 1.*learning rate"):
        trainer.fit(*make_rows())
    assert trainer.epoch == 0
    assert all(np.isfinite(weight).all() for weight in weights_of(trainer))


def test_weights_that_the_last_step_spoiled_are_noticed(monkeypatch):
    step = AdamW.step
    monkeypatch.setattr(AdamW, "step", lambda self, g: (step(self, g), self._values[0].fill_(math.inf)))
    with pytest.raises(DataError, match="epoch 1"):
        Trainer(make_options(batch_size=100), 5, 3).fit(*make_rows())


@pytest.mark.parametrize("smoothing", [0.0, 0.2])
@pytest.mark.parametrize("classes", [2, 3])
@pytest.mark.parametrize("weighted", [False, True])
def test_the_loss_is_the_weighted_mean_cross_entropy(classes, smoothing, weighted):
    random = np.random.default_rng(0)
    y = np.arange(12) % classes
    z = random.normal(size=(12, 1 if classes == 2 else classes))
    w = random.uniform(size=12) if weighted else np.ones(12)
    wide = np.hstack([0 * z, z]) if classes == 2 else z
    q = (1 - smoothing) * np.eye(classes)[y] + smoothing / classes
    expected = (w * (np.log(np.exp(wide).sum(axis=1)) - (q * wide).sum(axis=1))).sum() / 12
    targets = torch.tensor(y[:, None], dtype=torch.float64) if classes == 2 else torch.tensor(y)
    got = mean_loss(torch.tensor(z), targets, torch.tensor(w) if weighted else None, smoothing)
    assert float(got) == pytest.approx(expected, rel=1e-12)


def test_a_row_of_weight_zero_is_as_good_as_absent():
    x, y = make_rows()
    x[::3] += 100
    weight = (np.arange(90) % 3 > 0).astype(float)
    one, two = (Trainer(make_options(), 5, 3) for _ in range(2))
    one.fit(x, y, sample_weight=weight)
    two.fit(x[weight > 0], y[weight > 0])
    for a, b in zip(weights_of(one), weights_of(two), strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-6)


def test_a_row_of_weight_two_is_two_rows():
    x, y = make_rows()
    one, two = (Trainer(make_options(batch_size=1000, dtype="float64"), 5, 3) for _ in range(2))
    one.fit(x, y, sample_weight=1 + (y == 1), held_out=(x, y, 1 + (y == 1)))
    two.fit(
        np.vstack([x, x[y == 1]]),
        np.append(y, y[y == 1]),
        held_out=(np.vstack([x, x[y == 1]]), np.append(y, y[y == 1])),
    )
    np.testing.assert_allclose(weights_of(one)[0], weights_of(two)[0], rtol=1e-9)
    assert one.history[-1]["held_out_loss"] == pytest.approx(two.history[-1]["held_out_loss"], rel=1e-9)


def test_class_weights_are_sample_weights_and_balanced_is_scikit_learns():
    x, y = make_rows()
    y = np.minimum(y, 1 + (np.arange(90) > 70))
    balanced = compute_class_weight("balanced", classes=np.arange(3), y=y)
    trainers = [Trainer(make_options(), 5, 3) for _ in range(3)]
    for trainer, weights in zip(
        trainers,
        ({"class_weight": "balanced"}, {"class_weight": balanced}, {"sample_weight": balanced[y]}),
        strict=True,
    ):
        trainer.fit(x, y, **weights)
    assert_same_bits(trainers[0], trainers[1])
    assert_same_bits(trainers[0], trainers[2])


def test_early_stopping_predicts_with_the_best_epoch():
    x, y = make_rows()
    trainer = Trainer(make_options(epochs=500, patience=5, learning_rate=0.1, early_stopping=True), 5, 3)
    history = trainer.fit(x, y, held_out=held_out(3))
    losses = [record["held_out_loss"] for record in history]
    assert trainer.stopped
    assert trainer.epoch < 500
    assert trainer.best_epoch == 1 + int(np.argmin(losses)) < trainer.epoch
    x_held_out, y_held_out = held_out(3)
    probabilities = trainer.probabilities(x_held_out)
    assert -np.log(probabilities[np.arange(60), y_held_out]).mean() == pytest.approx(min(losses), rel=1e-5)
    accuracy = (probabilities.argmax(axis=1) == y_held_out).mean()
    assert accuracy == pytest.approx(history[trainer.best_epoch - 1]["held_out_accuracy"])
    assert trainer.fit(x, y, held_out=held_out(3)) == history


def test_a_converged_training_stops():
    trainer = trained(epochs=3000, stop_when_converged=True, patience=3, tolerance=0.01)
    losses = [record["loss"] for record in trainer.history]
    assert trainer.stopped
    assert min(losses[:-3]) - min(losses[-3:]) < 0.03


def test_sparse_rows_and_tensors_and_images_train_to_the_same_bits_as_an_array():
    x, y = make_rows()
    x[x < 0] = 0
    inputs = [
        x,
        scipy.sparse.csr_array(x),
        scipy.sparse.coo_matrix(x),
        torch.tensor(x),
        np.asfortranarray(x),
        x.tolist(),
    ]
    inputs += [x.reshape(90, 5, 1), x[::-1][::-1]]
    trainers = [Trainer(make_options(), 5, 3) for _ in inputs]
    for trainer, given in zip(trainers, inputs, strict=True):
        trainer.fit(given, y, held_out=(given, y), sample_weight=np.where(y == 2, 0.0, 1.0))
        assert_same_bits(trainer, trainers[0])
        assert np.array_equal(trainer.logits(given), trainers[0].logits(x))


def test_nothing_given_is_written_to():
    x, y = make_rows()
    weight = np.ones(90)
    for array in (x, y, weight):
        array.flags.writeable = False
    trained_on = Trainer(make_options(dtype="float64"), 5, 3)
    trained_on.fit(x, y, sample_weight=weight, held_out=(x, y), class_weight=np.ones(3))
    assert np.array_equal(x, make_rows()[0])


def test_gathering_and_predicting_block_by_block_changes_nothing(monkeypatch):
    whole = trained()
    x = make_rows()[0]
    expected = whole.logits(x)
    monkeypatch.setattr(rows, "BLOCK_ELEMENTS", 200)
    monkeypatch.setattr(training, "PREDICTION_ELEMENTS", 64)
    assert_same_bits_without_logits(trained(), whole)
    np.testing.assert_allclose(whole.logits(x), expected, rtol=1e-5, atol=1e-6)


def assert_same_bits_without_logits(one, two):
    for a, b in zip(weights_of(one), weights_of(two), strict=True):
        assert np.array_equal(a, b)


@pytest.mark.parametrize("copied", [copy.deepcopy, lambda trainer: pickle.loads(pickle.dumps(trainer))])
def test_a_copy_goes_on_alike(copied):
    trainer = trained(epochs=4, fit={"held_out": held_out(3)}, early_stopping=True)
    twin = copied(trainer)
    assert_same_bits(trainer, twin)
    for one in (trainer, twin):
        one.options = make_options(early_stopping=True)
        one.fit(*make_rows(), held_out=held_out(3))
    assert_same_bits(trainer, twin)


def test_a_second_interrupt_does_not_tear_the_state(monkeypatch):
    trainer = trained(epochs=3)
    trainer.options = make_options(epochs=9)
    before = trainer.state_dict()
    whole, interrupts = trainer.load_state_dict, iter([True, True, False])

    def interrupted(state):
        if next(interrupts):
            whole({**state, "values": {**state["values"], "history": []}})  # half of it is done
            raise KeyboardInterrupt
        whole(state)

    monkeypatch.setattr(trainer, "load_state_dict", interrupted)
    monkeypatch.setattr(trainer, "_one_epoch", lambda *rows: signal.raise_signal(signal.SIGINT))
    with pytest.raises(KeyboardInterrupt):
        trainer.fit(*make_rows())
    after = trainer.state_dict()
    assert after["values"] == before["values"]
    assert all(torch.equal(after["tensors"][name], tensor) for name, tensor in before["tensors"].items())
    assert next(interrupts, None) is None


def test_a_pickle_of_a_missing_device_comes_back_on_the_cpu():
    state = trained(epochs=1).state_dict()
    state["values"]["options"]["device"] = "cuda:7"
    assert checkpoint.rebuild(Trainer, state).device.type == "cpu"


def test_a_state_of_another_network_is_refused_and_changes_nothing():
    trainer = trained(epochs=2)
    before = copy.deepcopy(trainer)
    for state in (
        trained(hidden_layer_sizes=(9,), epochs=1).state_dict(),
        trained(hidden_layer_sizes=(), epochs=1).state_dict(),
    ):
        with pytest.raises(OptionError, match=r"does not fit this network.*linear1\.weight|linear2"):
            trainer.load_state_dict(state)
    assert_same_bits(trainer, before)


def test_a_state_is_a_copy():
    trainer = trained(epochs=2)
    state = trainer.state_dict()
    kept = copy.deepcopy(state)
    trainer.options = make_options()
    trainer.fit(*make_rows())
    assert all(torch.equal(tensor, kept["tensors"][name]) for name, tensor in state["tensors"].items())
    assert state["values"] == kept["values"]


def test_adamw_takes_the_steps_of_torchs_own():
    generator = torch.Generator().manual_seed(0)
    ours = torch.nn.Linear(3, 2)
    theirs = copy.deepcopy(ours)
    one = AdamW(ours.named_parameters(), learning_rate=0.1, weight_decay=0.05)
    two = torch.optim.AdamW(theirs.parameters(), lr=0.1, weight_decay=0.05)
    for _ in range(5):
        gradients = [torch.randn(parameter.shape, generator=generator) for parameter in ours.parameters()]
        one.step(gradients)
        for parameter, gradient in zip(theirs.parameters(), gradients, strict=True):
            parameter.grad = gradient
        two.step()
    for a, b in zip(ours.parameters(), theirs.parameters(), strict=True):
        torch.testing.assert_close(a, b)


def test_small_batches_take_one_thread_and_the_number_comes_back(monkeypatch):
    before = torch.get_num_threads()
    seen = []

    def counted(*args):
        seen.append(torch.get_num_threads())
        return loss_and_gradients(*args)

    monkeypatch.setattr(training, "loss_and_gradients", counted)
    torch.set_num_threads(2)
    try:
        trained(epochs=1)
        monkeypatch.setattr(training, "SMALL_STEP", 0)
        trained(epochs=1)
        assert torch.get_num_threads() == 2
    finally:
        torch.set_num_threads(before)
    assert set(seen[:6]) == {1}
    assert set(seen[6:]) == {2}


def test_the_bar_shows_loss_and_accuracy(capsys):
    trained(epochs=2, fit={"held_out": held_out(3), "progress": True})
    shown = capsys.readouterr()
    assert "2/2" in shown.err
    assert "accuracy" in shown.err
    assert not shown.out
    trained(epochs=2)
    assert capsys.readouterr() == ("", "")


X, Y = make_rows()
NAN, HUGE = X.copy(), X.copy()
NAN[4, 2], HUGE[7, 1] = math.nan, 1e60


@pytest.mark.parametrize(
    ("error", "message", "x", "y", "more"),
    [
        (ShapeError, r"\(N, 5\); got shape \(90, 4\)", X[:, :4], Y, {}),
        (ShapeError, r"got shape \(5,\)", X[0], Y, {}),
        (DataError, "no rows", X[:0], Y[:0], {}),
        (DataError, r"NaN.*row 4, column 2", NAN, Y, {}),
        (DataError, r"too large for torch.float32.*row 7, column 1", HUGE, Y, {}),
        (DataError, "NaN", scipy.sparse.csr_array(NAN), Y, {}),
        (DtypeError, "encode", X.astype(str), Y, {}),
        (DtypeError, "whole numbers", X, Y.astype(float), {}),
        (DtypeError, "whole numbers", X, Y.astype(str), {}),
        (DtypeError, "numbers", X, np.array([None] * 90), {}),
        (DtypeError, "rows of one length", [[1.0], [1.0, 2.0]], [0, 1], {}),
        (ShapeError, r"shape \(90,\); got shape \(89,\)", X, Y[:-1], {}),
        (ShapeError, r"got shape \(90, 1\)", X, Y[:, None], {}),
        (ClassIndexError, r"Class 3 in row 2 is outside 0 … 2", X, Y + 1, {}),
        (ClassIndexError, r"Class -1 in row 0", X, Y - 1, {}),
        (ShapeError, r"sample_weight.*\(90,\)", X, Y, {"sample_weight": np.ones(5)}),
        (DataError, "sample_weight.*at least 0", X, Y, {"sample_weight": -np.ones(90)}),
        (DataError, "sample_weight.*finite", X, Y, {"sample_weight": np.full(90, math.nan)}),
        (DataError, "zero everywhere", X, Y, {"sample_weight": np.zeros(90)}),
        (DtypeError, "sample_weight", X, Y, {"sample_weight": ["a"] * 90}),
        (ShapeError, r"class_weight.*\(3,\)", X, Y, {"class_weight": [1.0, 2.0]}),
        (OptionError, "balanced", X, Y, {"class_weight": "even"}),
        (ShapeError, r"got shape \(90, 4\)", X, Y, {"held_out": (X[:, :4], Y)}),
    ],
)
def test_data_that_cannot_be_used_is_named(error, message, x, y, more):
    with pytest.raises(error, match=message):
        Trainer(make_options(), 5, 3).fit(x, y, **more)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("hidden_layer_sizes", (0,)), ("hidden_layer_sizes", 1.5), ("hidden_layer_sizes", "8"),
        ("epochs", 0), ("epochs", True), ("batch_size", 1.0), ("patience", 0), ("seed", -1), ("seed", 2**64),
        ("learning_rate", 0), ("learning_rate", math.nan), ("learning_rate", "1"), ("weight_decay", -1),
        ("label_smoothing", 1.1), ("tolerance", -1e-9), ("early_stopping", "yes"), ("dtype", "float16"),
    ],
)  # fmt: skip
def test_an_option_outside_its_range_is_named(name, value):
    with pytest.raises(OptionError, match=name):
        make_options(**{name: value})


def test_options_that_contradict_each_other_are_refused():
    with pytest.raises(OptionError, match="set one"):
        make_options(early_stopping=True, stop_when_converged=True)
    with pytest.raises(OptionError, match="held_out"):
        Trainer(make_options(early_stopping=True), 5, 3).fit(X, Y)
    with pytest.raises(OptionError, match="2 classes"):
        Trainer(make_options(), 5, 1)


@pytest.mark.parametrize("name", ["tpu9000", "cuda:99", "", "meta9"])
def test_a_device_that_is_not_there_is_named(name):
    with pytest.raises(OptionError, match="is not available; this machine has"):
        Trainer(make_options(device=name), 5, 3)


def test_auto_takes_an_accelerator_where_there_is_one():
    expected = torch.accelerator.current_accelerator().type if torch.accelerator.is_available() else "cpu"
    assert device.find_device("auto").type == expected
    assert device.find_device("cpu").type == "cpu"


def test_options_survive_json():
    options = make_options(hidden_layer_sizes=(3, 4), early_stopping=True)
    assert TrainingOptions(**json.loads(json.dumps(options.as_dict()))) == options


@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("smoothing", [0.0, 0.1])
@pytest.mark.parametrize(("hidden", "outputs"), [((), 3), ((8,), 3), ((8, 6), 1), ((), 1)])
def test_the_written_out_step_has_the_gradients_of_autograd(hidden, outputs, smoothing, weighted):
    network = MultilayerPerceptron(5, hidden, outputs).double()
    features, generator = torch.randn(20, 5, dtype=torch.float64), torch.Generator().manual_seed(0)
    targets = torch.randint(3, (20,), generator=generator) if outputs > 1 else torch.rand(20, 1, dtype=torch.float64)
    weights = torch.rand(20, dtype=torch.float64) if weighted else None
    parameters = list(network.parameters())
    wanted = mean_loss(network(features), targets, weights, smoothing)
    loss, gradients = loss_and_gradients(parameters, features, targets, weights, smoothing)
    torch.testing.assert_close(loss, wanted.detach())
    for got, exact in zip(gradients, torch.autograd.grad(wanted, parameters), strict=True):
        torch.testing.assert_close(got, exact)

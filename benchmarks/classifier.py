"""SoftmaxClassifier against scikit-learn's MLPClassifier: accuracy over seeds, and the ratio of the fits' times.

    python benchmarks/classifier.py [--seeds 10] [--threads 1]

Both have one hidden layer of 128 and batches of 200. A pair of fits runs on the same rows, one right after the other,
in turns as to which goes first; the ratio is the median over the pairs, below 1 where crossent is faster.
"""

from __future__ import annotations

import argparse
import statistics
import time
import warnings

import numpy as np
import torch
from sklearn.datasets import load_breast_cancer, load_digits
from sklearn.model_selection import train_test_split
from sklearn.neural_network import MLPClassifier
from sklearn.preprocessing import StandardScaler
from threadpoolctl import threadpool_limits

from crossent import SoftmaxClassifier

DATA = {"digits": load_digits, "breast_cancer": load_breast_cancer}
SETTINGS = {
    "30 epochs": {"max_iter": 30, "tol": 0.0, "n_iter_no_change": 1000},
    "defaults": {},
    "early stopping": {"early_stopping": True},
}

ROW = "{:14}{:16}{:9}{:18}{:18}{:12}{:14}{}"


def timed_fit(model, x, y):
    """Fit, and return the seconds."""
    started = time.perf_counter()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        model.fit(x, y)
    return time.perf_counter() - started


def compare(name, settings, dtype, seeds):
    """Fit both on every seed's split; return accuracies, seconds and epochs of (crossent, scikit-learn)."""
    accuracies, seconds, epochs = [], [], []
    for seed in range(seeds):
        x, y = DATA[name](return_X_y=True)
        x_train, x_test, y_train, y_test = train_test_split(x, y, test_size=0.25, stratify=y, random_state=seed)
        scaler = StandardScaler().fit(x_train)
        x_train, x_test = (scaler.transform(part).astype(dtype) for part in (x_train, x_test))
        models = [kind((128,), random_state=seed, **settings) for kind in (SoftmaxClassifier, MLPClassifier)]
        order = (0, 1) if seed % 2 else (1, 0)
        spent = {which: timed_fit(models[which], x_train, y_train) for which in order}
        seconds.append((spent[0], spent[1]))
        accuracies.append([model.score(x_test, y_test) for model in models])
        epochs.append([model.n_iter_ for model in models])
    return np.array(accuracies), np.array(seconds), np.array(epochs)


def main():
    """Read the options and print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, default=10, help="splits and random states (default 10)")
    parser.add_argument("--threads", type=int, help="threads for both (default: what each library takes)")
    arguments = parser.parse_args()
    if arguments.threads:
        torch.set_num_threads(arguments.threads)
    with threadpool_limits(arguments.threads):
        print_table(arguments.seeds)


def print_table(seeds):
    """Compare on every data set, with every setting and dtype."""
    timed_fit(SoftmaxClassifier(max_iter=2), np.eye(4), [0, 1, 0, 1])  # the first fit imports and warms up
    print(ROW.format("data", "setting", "dtype", "accuracy: crossent", "sklearn", "epochs", "ms", "time ratio"))
    for name in DATA:
        for setting, parameters in SETTINGS.items():
            for dtype in (np.float32, np.float64):
                print(line(name, setting, np.dtype(dtype).name, *compare(name, parameters, dtype, seeds)))


def line(name, setting, dtype, accuracies, seconds, epochs):
    """Write a line of the table: mean and lowest accuracy, medians of the rest."""
    ours, theirs = (f"{mean:.4f} ({low:.4f})" for mean, low in zip(accuracies.mean(0), accuracies.min(0), strict=True))
    counts = "{:.0f} : {:.0f}".format(*np.median(epochs, axis=0))
    milliseconds = "{:.0f} : {:.0f}".format(*np.median(seconds, axis=0) * 1e3)
    ratios = seconds[:, 0] / seconds[:, 1]
    ratio = f"{statistics.median(ratios):.2f}  ({ratios.min():.2f} … {ratios.max():.2f})"
    return ROW.format(name, setting, dtype, ours, theirs, counts, milliseconds, ratio)


if __name__ == "__main__":
    main()

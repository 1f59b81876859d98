"""Scores in words and as JSON."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from .scoring import Comparison, Interval, Scores

__all__ = ["as_json", "class_rows", "lines", "shown"]

MOST_CLASSES = 20


def lines(scores: Scores, size: int | None) -> list[str]:
    """The scores, a line each, and the classes as a table."""
    found = [f"{name:<18}{value}" for name, value in shown(scores, size)]
    if scores.comparison:
        found += ["", *(f"{name:<18}{value}" for name, value in compared(scores.comparison))]
    rows, left_out = class_rows(scores)
    width = max(5, *(len(row[0]) for row in rows))
    found += ["", f"{'class':<{width}}  {'rows':>9}  {'recall':>7}  {'precision':>9}  {'mean loss':>9}"]
    found += [
        f"{name:<{width}}  {count:>9}  {recall:>7}  {precision:>9}  {loss:>9}"
        for name, count, recall, precision, loss in rows
    ]
    return found + ([f"{left_out:,} more classes, whose rows lose less in all"] if left_out else [])


def shown(scores: Scores, size: int | None) -> list[tuple[str, str]]:
    """The scores' names and values in words."""
    ignored = f", {scores.ignored:,} more ignored" if scores.ignored else ""
    kind = "probabilities" if scores.probabilities else "logits (--from-probs reads probabilities)"
    found = [
        ("scores", f"{scores.source}, read as {kind}"),
        ("rows", f"{scores.rows:,} of {len(scores.support):,} classes{ignored}"),
        ("cross-entropy", _number(scores.loss)),
        ("perplexity", _number(scores.perplexity)),
        ("accuracy", _share(scores.accuracy)),
    ]
    if 1 < scores.top < len(scores.support):
        found.append((f"top-{scores.top} accuracy", _share(scores.top_accuracy)))
    if size:
        found.insert(4, ("bits per byte", f"{scores.bits_per_byte(size):.4f} ({size:,} bytes)"))
    found += [
        ("Brier score", _number(scores.brier)),
        ("calibration error", f"{scores.reliability.error:.2%} (ECE, {len(scores.reliability.counts)} bins)"),
        ("temperature", _temperature(scores)),
    ]
    if scores.impossible:
        found.append(("impossible", f"{scores.impossible:,} rows give their target no probability: an infinite loss"))
    return found


def compared(comparison: Comparison) -> list[tuple[str, str]]:
    """The difference to another model in words."""
    loss, accuracy, other = comparison.loss, comparison.accuracy, comparison.scores
    of_loss = f"{loss.value:+.4f} (95 % interval {loss.low:+.4f} to {loss.high:+.4f})"
    of_accuracy = f"{accuracy.value:+.2%} (95 % interval {accuracy.low:+.2%} to {accuracy.high:+.2%})"
    return [
        ("compared with", f"{other.source}: cross-entropy {other.loss.value:.4f}, accuracy {other.accuracy.value:.2%}"),
        ("loss difference", f"{of_loss}: {_verdict(loss, -1)}"),
        ("accuracy gain", f"{of_accuracy}: {_verdict(accuracy, 1)}"),
    ]


def _verdict(difference: Interval, better: int) -> str:
    """Who is better, where the interval leaves no doubt."""
    if difference.low <= 0 <= difference.high:
        return "no difference that these rows can show"
    return "better" if difference.value * better > 0 else "worse"


def _temperature(scores: Scores) -> str:
    """What the best temperature would do."""
    if scores.temperature is None:
        return "none: every row is right already"
    on = "" if scores.sampled == scores.rows else f", on {scores.sampled:,} of the rows"
    change = f"loss {scores.loss_of_sample:.4f} → {scores.loss_at_temperature:.4f}"
    return f"{scores.temperature:.3f} would be best: {change}, fitted on these same rows{on}"


def class_rows(scores: Scores, most: int = MOST_CLASSES) -> tuple[list[tuple[str, str, str, str, str]], int]:
    """The classes with their figures in words, of many those that lose most; and how many are left out."""
    places = np.arange(len(scores.support))
    if len(places) > most:
        places = np.sort(np.argsort(-np.nan_to_num(scores.class_loss, posinf=1e300), kind="stable")[:most])
    rows = []
    for place in places:
        count, hits, predicted = int(scores.support[place]), int(scores.hits[place]), int(scores.predicted[place])
        rows.append(
            (
                scores.names[place],
                f"{count:,}",
                f"{hits / count:.1%}" if count else "–",
                f"{hits / predicted:.1%}" if predicted else "–",
                f"{scores.class_loss[place] / count:.4f}" if count else "–",
            )
        )
    return rows, len(scores.support) - len(rows)


def _number(interval: Interval) -> str:
    """A mean with its interval."""
    return f"{interval.value:.4f} (95 % interval {interval.low:.4f} to {interval.high:.4f})"


def _share(interval: Interval) -> str:
    """A share with its interval."""
    return f"{interval.value:.2%} (95 % interval {interval.low:.2%} to {interval.high:.2%})"


def as_json(scores: Scores, size: int | None) -> dict[str, Any]:
    """The scores as plain values; what is not finite is null."""
    table = scores.reliability
    found: dict[str, Any] = {
        "source": scores.source,
        "read_as": "probabilities" if scores.probabilities else "logits",
        "rows": scores.rows,
        "ignored": scores.ignored,
        "classes": len(scores.support),
        "cross_entropy": _interval(scores.loss),
        "perplexity": _interval(scores.perplexity),
        "bits_per_byte": scores.bits_per_byte(size) if size else None,
        "accuracy": _interval(scores.accuracy),
        "top_accuracy": {"k": scores.top, **_interval(scores.top_accuracy)},
        "brier": _interval(scores.brier),
        "impossible_rows": scores.impossible,
        "calibration": {
            "expected_calibration_error": table.error,
            "bins": len(table.counts),
            "counts": table.counts.tolist(),
            "confidence": [_finite(value) for value in table.confidence],
            "accuracy": [_finite(value) for value in table.accuracy],
        },
        "temperature": {
            "best": scores.temperature,
            "rows": scores.sampled,
            "loss": _finite(scores.loss_of_sample),
            "loss_at_best": _finite(scores.loss_at_temperature),
        },
        "per_class": [
            {"class": name, "rows": int(count), "predicted": int(predicted), "right": int(hits), "loss": _finite(loss)}
            for name, count, predicted, hits, loss in zip(
                scores.names, scores.support, scores.predicted, scores.hits, scores.class_loss, strict=True
            )
        ],
    }
    if scores.comparison:
        other = scores.comparison
        found["comparison"] = {
            "other": as_json(other.scores, size),
            "cross_entropy_difference": _interval(other.loss),
            "accuracy_difference": _interval(other.accuracy),
        }
    return found


def _interval(interval: Interval) -> dict[str, float | None]:
    """A mean and its interval."""
    return {name: _finite(getattr(interval, name)) for name in ("value", "low", "high")}


def _finite(value: float) -> float | None:
    """A number that JSON has, or None."""
    return float(value) if math.isfinite(value) else None

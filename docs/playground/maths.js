"use strict";
/* The formulas of crossent, once more: what a row of logits leaves behind, the losses, and their gradients.
   A browser computes them in float64 like NumPy; tests/test_playground.py holds them against the package's own numbers. */
(function () {
  const IGNORED = -100;

  /* m = max z, r = Σ exp(z − m) − 1 summed without the maximum's own 1, t = Σ q·(z − m), w = Σ q. */
  function statistics(z, q) {
    const top = z.indexOf(Math.max(...z));
    const m = z[top];
    let r = 0, t = 0, w = 0;
    z.forEach((value, i) => {
      if (i !== top) r += Math.exp(value - m);
      if (q[i] !== 0) t += q[i] * (value - m);
      w += q[i];
    });
    return { m, r, t, w, top };
  }

  /* loss = w·log1p(r) − t */
  function rowLoss(found) {
    return found.w * Math.log1p(found.r) - found.t;
  }

  /* w·softmax(z) − q; at the maximum (Σ of the others' q − q·r) / (1 + r), which cancels nothing where p rounds to 1. */
  function rowGradient(z, q, found) {
    return z.map((value, i) => {
      if (i !== found.top) return (found.w * Math.exp(value - found.m)) / (1 + found.r) - q[i];
      const others = q.reduce((sum, mass, j) => (j === i ? sum : sum + mass), 0);
      return (others - q[i] * found.r) / (1 + found.r);
    });
  }

  function softmax(z, temperature = 1) {
    const scaled = z.map((value) => value / temperature);
    const m = Math.max(...scaled);
    const terms = scaled.map((value) => Math.exp(value - m));
    const sum = terms.reduce((a, b) => a + b, 0);
    return terms.map((term) => term / sum);
  }

  /* The target distribution of a row before class weights: e_y, mixed with the uniform one by ε; nothing if ignored. */
  function distribution(y, classes, smoothing) {
    const q = new Array(classes).fill(y === IGNORED ? 0 : smoothing / classes);
    if (y !== IGNORED) q[y] += 1 - smoothing;
    return q;
  }

  /* What the mean divides by: Σ weight[y] over the rows that count, for one-hot (probability) targets the rows. */
  function divisor(settings) {
    const { targets, weights, kind } = settings;
    if (kind === "onehot") return targets.length;
    return targets.reduce((sum, y) => (y === IGNORED ? sum : sum + weights[y]), 0);
  }

  function scale(settings) {
    return settings.reduction === "mean" ? 1 / divisor(settings) : 1;
  }

  /* One row: its loss and the gradient by its logits, through a second softmax if there is one. */
  function oneRow(z, y, settings) {
    const { weights, temperature, twice } = settings;
    const smoothing = settings.kind === "smoothed" ? settings.smoothing : 0;
    const q = distribution(y, z.length, smoothing).map((mass, i) => mass * weights[i]);
    const p = softmax(z, temperature);
    const scores = twice ? p : z.map((value) => value / temperature);
    const found = statistics(scores, q);
    const slope = rowGradient(scores, q, found);
    const mean = p.reduce((sum, value, i) => sum + value * slope[i], 0);
    const gradient = slope.map((value, i) => (twice ? p[i] * (value - mean) : value) / temperature);
    return { probabilities: p, found, loss: rowLoss(found), gradient };
  }

  /* A batch: settings = {logits, targets, weights, temperature, kind, smoothing, reduction, twice}. */
  function crossEntropy(settings) {
    const rows = settings.logits.map((z, i) => oneRow(z, settings.targets[i], settings));
    const factor = scale(settings);
    const sum = rows.reduce((total, row) => total + row.loss, 0);
    const counts = settings.targets.map((y) => (y === IGNORED ? 0 : 1));
    return {
      losses: rows.map((row) => row.loss),
      loss: settings.reduction === "none" ? null : sum * factor,
      gradients: rows.map((row, i) => row.gradient.map((value) => (counts[i] ? value * factor : 0))),
      probabilities: rows.map((row) => row.probabilities),
      found: rows.map((row) => row.found),
    };
  }

  /* With a second softmax no loss can be lower than this. */
  function floor(classes) {
    return Math.log(Math.E + classes - 1) - 1;
  }

  /* Binary cross-entropy of a logit: the cross-entropy of the pair (0, z) with (1 − y, y). */
  function binaryWithLogits(z, y) {
    const q = [1 - y, y];
    const found = statistics([0, z], q);
    return { loss: rowLoss(found), gradient: rowGradient([0, z], q, found)[1] };
  }

  function sigmoid(z) {
    return z >= 0 ? 1 / (1 + Math.exp(-z)) : Math.exp(z) / (1 + Math.exp(z));
  }

  /* Sigmoid, then BCELoss, rounded to float32 at each step as PyTorch does by default; log is cut at −100. */
  function sigmoidThenBCE(z, y) {
    const f = Math.fround;
    const p = f(1 / f(1 + f(Math.exp(f(-z)))));
    const log = (value) => Math.max(f(Math.log(value)), -100);
    const loss = f(-(y * log(p) + (1 - y) * log(f(1 - p))));
    const slope = f(f(p - y) / Math.max(f(f(1 - p) * p), f(1e-12)));
    return { p, loss, gradient: f(slope * f(f(1 - p) * p)) };
  }

  window.Crossent = {
    IGNORED, statistics, softmax, crossEntropy, divisor, floor, binaryWithLogits, sigmoidThenBCE, sigmoid, rowLoss, rowGradient,
    distribution,
  };
})();

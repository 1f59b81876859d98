"use strict";
/* The learner's two networks on points in the plane: linear, ReLU, linear, and no softmax at the end. */
(function () {
  const C = window.Crossent;

  /* A generator of its own, so that a seed gives the same points and the same start everywhere. */
  function generator(seed) {
    let state = seed >>> 0;
    return function () {
      state = (state + 0x6d2b79f5) >>> 0;
      let mixed = Math.imul(state ^ (state >>> 15), state | 1);
      mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61);
      return ((mixed ^ (mixed >>> 14)) >>> 0) / 4294967296;
    };
  }

  function normal(uniform) {
    return Math.sqrt(-2 * Math.log(1 - uniform())) * Math.cos(2 * Math.PI * uniform());
  }

  const SHAPES = {
    clouds: (angle, along, noise) => [Math.cos(angle) + 0.8 * noise(), Math.sin(angle) + 0.8 * noise()],
    rings: (angle, along, noise, k) => {
      const radius = 0.35 + 0.55 * k + 0.35 * noise();
      return [radius * Math.cos(2 * Math.PI * along), radius * Math.sin(2 * Math.PI * along)];
    },
    spirals: (angle, along, noise) => {
      const turn = angle + 3.2 * along + 0.3 * noise();
      return [1.5 * (0.1 + along) * Math.cos(turn), 1.5 * (0.1 + along) * Math.sin(turn)];
    },
  };

  /* `each` points of every class: a cloud, a ring, or an arm of a spiral. */
  function points(shape, classes, each, seed) {
    const uniform = generator(seed);
    const X = [], y = [];
    for (let k = 0; k < classes; k++) {
      for (let i = 0; i < each; i++) {
        X.push(SHAPES[shape]((2 * Math.PI * k) / classes, uniform(), () => 0.45 * normal(uniform), k));
        y.push(k);
      }
    }
    return { X, y };
  }

  function matrix(rows, columns, draw) {
    return Array.from({ length: rows }, () => Array.from({ length: columns }, draw));
  }

  /* `outputs` logits: one a class, or a single one for two classes. */
  function create(hidden, outputs, seed) {
    const uniform = generator(seed);
    const within = (bound) => () => (2 * uniform() - 1) * bound;
    return {
      W1: matrix(hidden, 2, within(1.5)), b1: Array.from({ length: hidden }, within(1)),
      W2: matrix(outputs, hidden, within(1 / Math.sqrt(hidden))), b2: new Array(outputs).fill(0),
    };
  }

  const dot = (a, b) => a.reduce((sum, value, i) => sum + value * b[i], 0);

  function forward(net, x) {
    const hidden = net.W1.map((row, i) => Math.max(dot(row, x) + net.b1[i], 0));
    return { hidden, logits: net.W2.map((row, i) => dot(row, hidden) + net.b2[i]) };
  }

  /* The loss of one point and its slope at the logits. */
  function criterion(logits, y, twice) {
    if (logits.length === 1) {
      const { loss, gradient } = C.binaryWithLogits(logits[0], y);
      return { loss, slope: [gradient] };
    }
    const weights = new Array(logits.length).fill(1);
    const settings = { logits: [logits], targets: [y], weights, temperature: 1, kind: "index", reduction: "sum", twice };
    const found = C.crossEntropy(settings);
    return { loss: found.loss, slope: found.gradients[0] };
  }

  function zeros(net) {
    const like = (value) => (Array.isArray(value) ? value.map(like) : 0);
    return { W1: like(net.W1), b1: like(net.b1), W2: like(net.W2), b2: like(net.b2) };
  }

  function addOuter(into, column, row) {
    column.forEach((a, i) => row.forEach((b, j) => { into[i][j] += a * b; }));
  }

  /* The mean loss over the points, its gradient, and how many are right: backpropagation by hand. */
  function gradients(net, X, y, twice = false) {
    const g = zeros(net);
    let total = 0, right = 0;
    X.forEach((x, n) => {
      const { hidden, logits } = forward(net, x);
      const { loss, slope } = criterion(logits, y[n], twice);
      const back = hidden.map((h, j) => (h > 0 ? slope.reduce((sum, s, i) => sum + s * net.W2[i][j], 0) : 0));
      addOuter(g.W2, slope, hidden);
      addOuter(g.W1, back, x);
      slope.forEach((s, i) => { g.b2[i] += s; });
      back.forEach((s, i) => { g.b1[i] += s; });
      total += loss;
      right += label(logits) === y[n] ? 1 : 0;
    });
    const mean = (value) => (Array.isArray(value) ? value.map(mean) : value / X.length);
    return { loss: total / X.length, accuracy: right / X.length, W1: mean(g.W1), b1: mean(g.b1), W2: mean(g.W2), b2: mean(g.b2) };
  }

  function label(logits) {
    return logits.length === 1 ? Number(logits[0] > 0) : logits.indexOf(Math.max(...logits));
  }

  /* One step of gradient descent, in place. */
  function step(net, X, y, rate, twice = false) {
    const g = gradients(net, X, y, twice);
    const descend = (value, slope, i, list) => {
      if (Array.isArray(value)) value.forEach((v, j) => descend(v, slope[j], j, value));
      else list[i] = value - rate * slope;
    };
    for (const name of ["W1", "b1", "W2", "b2"]) net[name].forEach((v, i) => descend(v, g[name][i], i, net[name]));
    return g;
  }

  /* The probabilities of the classes at a place, two of them for a single logit. */
  function probabilities(net, x) {
    const { logits } = forward(net, x);
    if (logits.length > 1) return C.softmax(logits);
    const p = C.sigmoid(logits[0]);
    return [1 - p, p];
  }

  C.network = { points, create, forward, gradients, step, probabilities, label, SHAPES };
})();

"use strict";
/* The first part: a batch of rows, their softmax, loss and gradient. */
(function () {
  const C = window.Crossent;
  const { shape, element, number, signed, bar, arrow } = C.drawing;
  const get = (id) => document.getElementById(id);
  const START = [[2.0, 1.0, 0.1], [0.5, 2.0, 0.3], [0.1, 3.0, 0.1], [1.0, 0.0, -1.0], [0.0, 0.0, 0.0]];

  function fresh() {
    return {
      logits: START.slice(0, 1).map((row) => [...row]), targets: [0], weights: [1, 1, 1],
      temperature: 1, kind: "index", smoothing: 0.1, reduction: "mean", twice: false, row: 0,
    };
  }

  let state = fresh();

  function resize(classes) {
    const fit = (list, filler) => Array.from({ length: classes }, (_, i) => (i < list.length ? list[i] : filler));
    state.logits = state.logits.map((row) => fit(row, 0));
    state.weights = fit(state.weights, 1);
    state.targets = state.targets.map((y) => Math.min(y, classes - 1));
  }

  function recount(rows) {
    const classes = state.weights.length;
    while (state.logits.length < rows) {
      const row = START[state.logits.length % START.length];
      state.logits.push(Array.from({ length: classes }, (_, i) => row[i] ?? 0));
      state.targets.push(0);
    }
    state.logits.length = state.targets.length = rows;
    state.row = Math.min(state.row, rows - 1);
  }

  /* The line of a class: its name, a slider for the logit, one for the weight, a bar and an arrow. */
  function line(i, word) {
    const range = (id, limits, value, change) => {
      const input = element("input", { type: "range", id, ...limits });
      input.value = value;
      input.addEventListener("input", () => { change(Number(input.value)); show(); });
      return input;
    };
    const name = `${word.klass} ${i}`;
    const logit = range(`logit-${i}`, { min: -20, max: 20, step: 0.1, "aria-label": `${word.logit}, ${name}` }, state.logits[state.row][i],
      (value) => { state.logits[state.row][i] = value; });
    const weight = range(`weight-${i}`, { min: 0, max: 5, step: 0.1, "aria-label": `${word.weight}, ${name}` }, state.weights[i],
      (value) => { state.weights[i] = value; });
    const slide = (input, label) => element("div", { class: "slide", "data-name": label }, input, element("output", { for: input.id }));
    const plot = (id, label) => {
      const svg = shape("svg", { id, viewBox: "0 0 200 26", role: "img", preserveAspectRatio: "xMinYMid meet" });
      return element("div", { class: "plot", "data-name": label }, svg);
    };
    return element("div", { class: "class", id: `class-${i}` }, element("div", { class: "name" }, name), slide(logit, word.logit),
      slide(weight, word.weight), plot(`p-${i}`, word.probability), plot(`g-${i}`, word.gradient));
  }

  /* Build what depends on the number of classes and rows, and on the language. */
  function build() {
    const word = C.words[C.language];
    const classes = state.weights.length;
    const heads = ["klass", "logit", "weight", "probability", "gradient"].map((key) => element("div", {}, word[key]));
    get("bars").replaceChildren(element("div", { class: "class head", "aria-hidden": "true" }, ...heads),
      ...state.weights.map((_, i) => line(i, word)));
    get("row").replaceChildren(...state.logits.map((_, i) => element("option", { value: i }, String(i + 1))));
    get("truth").replaceChildren(...state.weights.map((_, i) => element("option", { value: i }, `${word.klass} ${i}`)),
      element("option", { value: C.IGNORED }, word.ignored));
    get("classes").value = classes;
    get("rows").value = state.logits.length;
    for (const id of ["row", "kind", "smoothing", "temperature", "reduction"]) get(id).value = state[id];
    get("truth").value = state.targets[state.row];
    get("twice").checked = state.twice;
    show();
  }

  function showLines(found) {
    const gradient = found.gradients[state.row];
    const largest = Math.max(...gradient.map(Math.abs));
    state.weights.forEach((weight, i) => {
      const p = found.probabilities[state.row][i];
      get(`class-${i}`).classList.toggle("true", state.targets[state.row] === i);
      get(`logit-${i}`).nextSibling.textContent = state.logits[state.row][i].toFixed(1);
      get(`weight-${i}`).nextSibling.textContent = weight.toFixed(1);
      bar(get(`p-${i}`), p, number(p), state.targets[state.row] === i ? "--truth" : "--ours");
      arrow(get(`g-${i}`), gradient[i], Math.max(largest, 1e-300), signed(gradient[i]));
    });
  }

  function remark(found, word) {
    const largest = (result) => number(Math.max(...result.gradients[state.row].map(Math.abs)));
    const fill = (text, values) => text.replace(/{(\w+)}/g, (_, key) => values[key]);
    const once = C.crossEntropy({ ...state, twice: false });
    let text = state.twice
      ? fill(word.floor, { floor: number(C.floor(state.weights.length)), twice: largest(found), once: largest(once) })
      : word.plain;
    if (state.reduction === "mean") text += " " + fill(word.divisor, { divisor: number(C.divisor(state)) });
    get("remark").textContent = text;
    get("remark").classList.toggle("wrong", state.twice);
  }

  function show() {
    const word = C.words[C.language];
    const found = C.crossEntropy(state);
    const { m, r, t, w } = found.found[state.row];
    showLines(found);
    get("loss").textContent = found.loss === null ? "–" : number(found.loss);
    get("rowloss").textContent = number(found.losses[state.row]);
    get("losses").textContent = found.losses.map((loss) => number(loss)).join("  ");
    get("left").textContent = `m = ${number(m)}, r = ${number(r)}, t = ${number(t)}, w = ${number(w)}`;
    get("smoothing-setting").hidden = state.kind !== "smoothed";
    for (const id of ["classes", "rows", "smoothing", "temperature"]) {
      document.querySelector(`output[for=${id}]`).textContent = get(id).value;
    }
    remark(found, word);
  }

  /* Which row is looked at goes on when the example changes; the other settings begin anew. */
  function example(logits, target) {
    const twice = state.twice;
    state = { ...fresh(), logits: [logits], targets: [target], twice };
    build();
  }

  function listen() {
    const on = (id, change, rebuild) => get(id).addEventListener("input", () => { change(get(id)); (rebuild ? build : show)(); });
    on("classes", (input) => resize(Number(input.value)), true);
    on("rows", (input) => recount(Number(input.value)), true);
    on("row", (input) => { state.row = Number(input.value); }, true);
    on("truth", (input) => { state.targets[state.row] = Number(input.value); });
    on("kind", (input) => { state.kind = input.value; });
    on("smoothing", (input) => { state.smoothing = Number(input.value); });
    on("temperature", (input) => { state.temperature = Number(input.value); });
    on("reduction", (input) => { state.reduction = input.value; });
    on("twice", (input) => { state.twice = input.checked; });
    get("learner").addEventListener("click", () => example([2.0, 1.0, 0.1], 0));
    get("right").addEventListener("click", () => example([20, 0, 0], 0));
    get("wrong").addEventListener("click", () => example([10, 0, 0], 1));
    get("reset").addEventListener("click", () => { state = fresh(); build(); });
  }

  C.batch = { build, listen, state: () => state };
})();

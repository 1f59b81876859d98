"use strict";
/* The third part: a network that is trained in the page, its loss and its regions. */
(function () {
  const C = window.Crossent, N = C.network;
  const { shape, number, line } = C.drawing;
  const get = (id) => document.getElementById(id);
  const EACH = 60, SPAN = 1.9, CELLS = 64, STEPS_A_FRAME = 4;
  let net, data, history, running = false;

  const twice = () => get("net-twice").checked && get("net").value === "multiclass";

  function restart() {
    const classes = get("net").value === "binary" ? 2 : 3;
    data = N.points(get("shape").value, classes, EACH, 7);
    net = N.create(Number(get("hidden").value), classes === 2 ? 1 : classes, 1);
    history = [N.gradients(net, data.X, data.y, twice())];
    show();
  }

  function advance(steps) {
    const rate = Number(get("rate").value);
    for (let i = 0; i < steps; i++) N.step(net, data.X, data.y, rate, twice());
    for (let i = 0; i < steps - 1; i++) history.push(null);
    history.push(N.gradients(net, data.X, data.y, twice()));
    show();
  }

  function run(on) {
    running = on;
    get("start").textContent = C.words[C.language][on ? "pause" : "start"];
    if (on) requestAnimationFrame(frame);
  }

  function frame() {
    if (!running) return;
    advance(STEPS_A_FRAME);
    requestAnimationFrame(frame);
  }

  function colours() {
    const style = getComputedStyle(document.documentElement);
    const rgb = (name) => [1, 3, 5].map((at) => parseInt(style.getPropertyValue(name).trim().slice(at, at + 2), 16));
    const whole = (name) => {
      const value = style.getPropertyValue(name).trim();
      return value.length === 4 ? [1, 2, 3].map((at) => parseInt(value[at] + value[at], 16)) : rgb(name);
    };
    return { paper: whole("--paper"), ink: whole("--ink"), classes: [0, 1, 2].map((k) => whole(`--class-${k}`)) };
  }

  /* A cell's colour: the classes' colours mixed by their probabilities, on paper. */
  function mixed(p, found, strength) {
    return found.paper.map((paper, i) => {
      const mixture = p.reduce((sum, share, k) => sum + share * found.classes[k][i], 0);
      return Math.round(paper + strength * (mixture - paper));
    });
  }

  function regions() {
    const canvas = get("regions"), ink = canvas.getContext("2d"), found = colours();
    const cell = canvas.width / CELLS;
    const place = (v) => ((v + SPAN) / (2 * SPAN)) * canvas.width;
    for (let i = 0; i < CELLS; i++) {
      for (let j = 0; j < CELLS; j++) {
        const x = [((i + 0.5) / CELLS) * 2 * SPAN - SPAN, SPAN - ((j + 0.5) / CELLS) * 2 * SPAN];
        ink.fillStyle = `rgb(${mixed(N.probabilities(net, x), found, 0.45).join()})`;
        ink.fillRect(i * cell, j * cell, cell + 1, cell + 1);
      }
    }
    data.X.forEach((x, n) => {
      ink.beginPath();
      ink.arc(place(x[0]), canvas.height - place(x[1]), 3.4, 0, 2 * Math.PI);
      ink.fillStyle = `rgb(${found.classes[data.y[n]].join()})`;
      ink.strokeStyle = `rgb(${found.ink.join()})`;
      ink.fill();
      ink.stroke();
    });
  }

  function curve() {
    const values = history.map((found, i) => (found ? [i, found.loss] : null)).filter(Boolean);
    const top = Math.max(...values.map(([, loss]) => loss)) * 1.05;
    const box = { x: 44, y: 12, width: 300, height: 270, left: 0, right: Math.max(history.length - 1, 20), bottom: 0, top };
    const up = (loss) => box.y + box.height - (box.height * loss) / top;
    const nodes = [shape("line", { x1: 44, x2: 344, y1: 282, y2: 282, stroke: "var(--line)" })];
    for (const tick of [0, top / 2, top]) nodes.push(shape("text", { x: 38, y: up(tick) + 4, "text-anchor": "end" }, tick.toFixed(2)));
    nodes.push(shape("text", { x: 344, y: 304, "text-anchor": "end" }, String(box.right)));
    if (twice()) {
      const floor = C.floor(net.b2.length);
      nodes.push(shape("line", { x1: 44, x2: 344, y1: up(floor), y2: up(floor), stroke: "var(--wrong)", "stroke-dasharray": "4 4" }));
      nodes.push(shape("text", { x: 344, y: up(floor) - 5, "text-anchor": "end" }, number(floor)));
    }
    nodes.push(line(values, box, twice() ? "--wrong" : "--ours"));
    get("curve").replaceChildren(...nodes);
  }

  function show() {
    const last = history[history.length - 1];
    get("epoch").textContent = String(history.length - 1);
    get("net-loss").textContent = number(last.loss);
    get("accuracy").textContent = `${(100 * last.accuracy).toFixed(1)} %`;
    for (const id of ["hidden", "rate"]) document.querySelector(`output[for=${id}]`).textContent = get(id).value;
    get("net-twice-setting").hidden = get("net").value === "binary";
    get("start").textContent = C.words[C.language][running ? "pause" : "start"];
    for (const id of ["regions", "curve"]) get(id).setAttribute("aria-label", C.words[C.language][id]);
    regions();
    curve();
  }

  function listen() {
    get("hidden").value = 16;
    get("rate").value = 0.5;
    for (const id of ["net", "shape", "hidden", "net-twice"]) get(id).addEventListener("input", restart);
    get("rate").addEventListener("input", show);
    get("start").addEventListener("click", () => run(!running));
    get("step").addEventListener("click", () => advance(1));
    get("restart").addEventListener("click", () => { run(false); restart(); });
  }

  C.training = { listen, restart, show, advance };
})();

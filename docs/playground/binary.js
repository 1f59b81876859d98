"use strict";
/* The second part: one logit for two classes, given as it is, or through a sigmoid that rounds. */
(function () {
  const C = window.Crossent;
  const { shape, number, line } = C.drawing;
  const get = (id) => document.getElementById(id);

  const PANELS = [
    { key: "loss", bottom: 0, top: 105, ticks: [100, 0] },
    { key: "gradient", bottom: -1.1, top: 1.1, ticks: [1, 0, -1] },
  ];

  /* The loss or the gradient over the logit, both ways; the dots are where the slider stands. */
  function plot({ key, bottom, top, ticks }, z, y) {
    const box = { x: 44, y: 28, width: 256, height: 130, left: -40, right: 40, bottom, top };
    const up = (value) => box.y + box.height - (box.height * (value - bottom)) / (top - bottom);
    const along = (value) => box.x + (box.width * (value + 40)) / 80;
    const across = Array.from({ length: 321 }, (_, i) => -40 + i / 4);
    const label = C.words[C.language][key];
    get(`plot-${key}`).setAttribute("aria-label", label);
    get(`plot-${key}`).replaceChildren(
      shape("text", { x: box.x, y: 16 }, label),
      shape("line", { x1: box.x, x2: box.x + box.width, y1: up(0), y2: up(0), stroke: "var(--line)" }),
      ...ticks.map((tick) => shape("text", { x: 38, y: up(tick) + 4, "text-anchor": "end" }, String(tick))),
      ...[-40, 0, 40].map((tick) => shape("text", { x: along(tick), y: 178, "text-anchor": "middle" }, String(tick))),
      line(across.map((at) => [at, C.binaryWithLogits(at, y)[key]]), box, "--ours"),
      line(across.map((at) => [at, C.sigmoidThenBCE(at, y)[key]]), box, "--wrong", { "stroke-dasharray": "5 3" }),
      shape("circle", { cx: along(z), cy: up(C.binaryWithLogits(z, y)[key]), r: 5, fill: "var(--ours)" }),
      shape("circle", { cx: along(z), cy: up(C.sigmoidThenBCE(z, y)[key]), r: 4, fill: "var(--wrong)" }),
    );
  }

  function show() {
    const word = C.words[C.language];
    const z = Number(get("z").value), y = Number(get("y").value);
    const right = C.binaryWithLogits(z, y), lost = C.sigmoidThenBCE(z, y);
    document.querySelector("output[for=z]").textContent = z.toFixed(1);
    get("logits-loss").textContent = number(right.loss, 10);
    get("logits-gradient").textContent = number(right.gradient, 10);
    get("sigmoid-loss").textContent = number(lost.loss);
    get("sigmoid-gradient").textContent = number(lost.gradient);
    const rounded = lost.p === 0 || lost.p === 1;
    const text = lost.loss === 100 ? word.saturated : rounded ? word.rounded : word.healthy;
    get("binary-remark").textContent = text.replace("{p}", String(lost.p)).replace("{loss}", number(right.loss));
    get("binary-remark").classList.toggle("wrong", rounded);
    for (const panel of PANELS) plot(panel, z, y);
  }

  function listen() {
    get("z").value = 20;
    for (const id of ["z", "y"]) get(id).addEventListener("input", show);
  }

  C.binary = { show, listen };
})();

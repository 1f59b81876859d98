"use strict";
/* Small drawings in SVG, and numbers as the page writes them. */
(function () {
  const SVG = "http://www.w3.org/2000/svg";

  function shape(name, attributes, text) {
    const node = document.createElementNS(SVG, name);
    for (const [key, value] of Object.entries(attributes)) node.setAttribute(key, value);
    if (text !== undefined) node.textContent = text;
    return node;
  }

  function element(name, attributes = {}, ...children) {
    const node = document.createElement(name);
    for (const [key, value] of Object.entries(attributes)) node.setAttribute(key, value);
    node.append(...children);
    return node;
  }

  /* Four decimals, and powers of ten where these would show nothing. */
  function number(value, digits = 4) {
    if (Number.isNaN(value)) return "nan";
    if (!Number.isFinite(value)) return value > 0 ? "inf" : "-inf";
    if (value !== 0 && Math.abs(value) < 10 ** (1 - digits)) return value.toExponential(2);
    return value.toFixed(digits);
  }

  const signed = (value) => (value > 0 ? "+" : "") + number(value);

  /* A bar from the left, with its number beside it. */
  function bar(svg, share, text, colour) {
    const length = 128 * Math.min(Math.max(share, 0), 1);
    svg.replaceChildren(
      shape("rect", { x: 0, y: 5, width: Math.max(length, 0.5), height: 16, rx: 2, fill: `var(${colour})` }),
      shape("text", { x: length + 5, y: 18 }, text),
    );
  }

  /* An arrow from the middle: to the left it lowers the logit's gradient, to the right it raises it. */
  function arrow(svg, value, largest, text) {
    const middle = 100;
    const share = largest > 0 && Number.isFinite(value) ? value / largest : 0;
    const tip = middle + 48 * share;
    const colour = value < 0 ? "var(--down)" : "var(--up)";
    const side = value < 0 ? -1 : 1;
    const anchor = value < 0 ? "start" : "end";
    const parts = [
      shape("line", { x1: middle, x2: middle, y1: 2, y2: 24, stroke: "var(--line)" }),
      shape("text", { x: middle - 6 * side, y: 18, "text-anchor": anchor }, text),
    ];
    if (Math.abs(tip - middle) > 0.6) {
      parts.push(shape("line", { x1: middle, x2: tip, y1: 13, y2: 13, stroke: colour, "stroke-width": 3 }));
      parts.push(shape("path", { d: `M${tip + 4 * side},13 l${-8 * side},-5 v10 z`, fill: colour }));
    }
    svg.replaceChildren(...parts);
  }

  /* A line through points, scaled into a box. */
  function line(values, box, colour, attributes = {}) {
    const { x, y, width, height, left, right, bottom, top } = box;
    const place = ([a, b]) => {
      const across = x + (width * (a - left)) / (right - left || 1);
      const up = y + height - (height * (Math.min(Math.max(b, bottom), top) - bottom)) / (top - bottom || 1);
      return `${across.toFixed(2)},${up.toFixed(2)}`;
    };
    return shape("polyline", { points: values.map(place).join(" "), fill: "none", stroke: `var(${colour})`, "stroke-width": 2.4, ...attributes });
  }

  Object.assign(window.Crossent, { drawing: { shape, element, number, signed, bar, arrow, line } });
})();

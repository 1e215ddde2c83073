"use strict";

// Show all rows of the grid.
document.getElementById("all")?.addEventListener("click", (event) => {
  document.getElementById("grid").classList.add("open");
  event.target.parentElement.remove();
});

// The viewer: enlarge an image, and walk through iterations (left, right) and prompts (up, down).
const viewer = document.getElementById("viewer");
const byId = (id) => document.getElementById(id);
const rows = [...document.querySelectorAll(".row:not(.head)")].map((row) => [...row.querySelectorAll(".cell button")]);
let current = null;

function show(button) {
  current = button;
  const { k, prompt, seed, sha, file, large } = button.dataset;
  const picture = byId("large");
  picture.src = large || button.firstElementChild.src;
  picture.alt = prompt;
  picture.classList.toggle("pixels", button.firstElementChild.naturalWidth <= 128);
  byId("where").textContent = k === "0" ? "D₀, the real image" : `Iteration ${k}`;
  byId("what").textContent = prompt;
  byId("seed").textContent = seed || "–";
  byId("file").textContent = `data/D_${k}/${file}`;
  byId("sha").textContent = sha;
  byId("strip").replaceChildren(...line(rowOf(button), button.dataset.image).map(stripButton));
  if (!viewer.open) viewer.showModal();
}

function stripButton(button) {
  const small = document.createElement("button");
  small.type = "button";
  small.title = `k = ${button.dataset.k}`;
  small.setAttribute("aria-label", small.title);
  small.setAttribute("aria-current", String(button === current));
  small.append(button.firstElementChild.cloneNode());
  small.addEventListener("click", () => show(button));
  return small;
}

const rowOf = (button) => rows.find((row) => row.includes(button));

// One image of a prompt over k: of several images per prompt, those with the same number, after the real one.
const line = (row, image) => row.filter((button) => button.dataset.image === image || button.dataset.k === "0");

function step(across, down) {
  const visible = rows.filter((row) => row.length && row[0].offsetParent !== null);
  const y = visible.indexOf(rowOf(current));
  const { image } = current.dataset;
  const target = line(visible[Math.min(Math.max(y + down, 0), visible.length - 1)], image);
  const x = line(visible[y], image).indexOf(current);
  const next = target[Math.min(Math.max(x + across, 0), target.length - 1)];
  if (next !== current) show(next);
}

rows.flat().forEach((button) => button.addEventListener("click", () => show(button)));
viewer.addEventListener("click", (event) => { if (event.target === viewer) viewer.close(); });
viewer.addEventListener("keydown", (event) => {
  const move = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] }[event.key];
  if (move) { event.preventDefault(); step(...move); }
});

// Charts: the values under the pointer.
const readout = byId("readout");

function nearest(points, x) {
  let best = null;
  for (const point of points) if (best === null || Math.abs(point[0] - x) < Math.abs(best[0] - x)) best = point;
  return best;
}

function markAt(svg, x, top, bottom) {
  let cursor = svg.querySelector(".cursor");
  if (!cursor) {
    cursor = document.createElementNS("http://www.w3.org/2000/svg", "line");
    cursor.setAttribute("class", "cursor");
    svg.append(cursor);
  }
  for (const [name, value] of Object.entries({ x1: x, x2: x, y1: top, y2: bottom })) cursor.setAttribute(name, value);
}

function describe(chart, at) {
  const head = document.createElement("b");
  head.textContent = `${chart.label} ${Number(at.toPrecision(3))}`;
  const values = chart.series.filter((series) => series.points.length).map((series) => {
    const row = document.createElement("div");
    const dot = document.createElement("i");
    dot.style.background = series.colour;
    row.append(dot, `${series.name}  ${Number(nearest(series.points, at)[1].toPrecision(3))}`);
    return row;
  });
  readout.replaceChildren(head, ...values);
}

function track(svg, chart, event) {
  const box = svg.getBoundingClientRect();
  const scale = box.width / svg.viewBox.baseVal.width;
  const [left, right] = chart.px, [low, high] = chart.x;
  const share = Math.min(Math.max(((event.clientX - box.left) / scale - left) / (right - left), 0), 1);
  const all = chart.series.flatMap((series) => (series.dashed ? [] : series.points));
  const at = nearest(all, low + share * (high - low))[0];
  markAt(svg, left + ((at - low) / (high - low)) * (right - left), chart.py[0], chart.py[1]);
  describe(chart, at);
  readout.hidden = false;
  const wide = readout.offsetWidth;
  readout.style.left = `${Math.min(event.clientX + 16, innerWidth - wide - 12)}px`;
  readout.style.top = `${Math.max(event.clientY - readout.offsetHeight - 14, 8)}px`;
}

for (const svg of document.querySelectorAll("svg[data-chart]")) {
  const chart = JSON.parse(svg.dataset.chart);
  svg.addEventListener("pointermove", (event) => track(svg, chart, event));
  svg.addEventListener("pointerleave", () => { readout.hidden = true; svg.querySelector(".cursor")?.remove(); });
}

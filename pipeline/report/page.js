"use strict";

const byId = (id) => document.getElementById(id);
const grid = byId("grid");
const readout = byId("readout");
const SVG = "http://www.w3.org/2000/svg";

function drawn(name, attributes) {
  const element = document.createElementNS(SVG, name);
  for (const [key, value] of Object.entries(attributes)) element.setAttribute(key, value);
  return element;
}

// Show all rows of the grid.
byId("all")?.addEventListener("click", (event) => {
  grid.classList.add("open");
  event.target.parentElement.remove();
});

// Order the rows: as given, or by the last distance of their families. As many as before stay in sight.
const given = [...grid.querySelectorAll(".row:not(.head)")];
const shownRows = given.filter((row) => !row.classList.contains("more")).length;
const imagesOf = (row) => [...row.querySelectorAll(".cell button")];
let rows = given.map(imagesOf);

function order(button) {
  const sorted = button.dataset.order.split(" ").map((place) => given[place]);
  sorted.forEach((row, place) => row.classList.toggle("more", place >= shownRows));
  grid.append(...sorted);
  rows = sorted.map(imagesOf);
  for (const other of button.parentElement.children) other.setAttribute("aria-pressed", String(other === button));
}

for (const button of document.querySelectorAll("[data-order]")) button.addEventListener("click", () => order(button));

// The viewer: enlarge an image, and walk through iterations (left, right) and prompts (up, down).
const viewer = document.getElementById("viewer");
let current = null;

function show(button) {
  current = button;
  const { k, seed, sha, file, large } = button.dataset;
  const family = button.closest(".row"), prompt = family.querySelector(".prompt").title;
  const picture = byId("large");
  picture.src = large || button.firstElementChild.src;
  picture.alt = prompt;
  picture.classList.toggle("pixels", button.firstElementChild.naturalWidth <= 128);
  byId("where").textContent = k === "0" ? "D₀, the real image" : `Iteration ${k}`;
  byId("what").textContent = prompt;
  byId("seed").textContent = seed || "–";
  byId("file").textContent = `data/D_${k}/${file}`;
  byId("sha").textContent = sha;
  showJourney(family.querySelector(".path svg"), Number(k));
  byId("strip").replaceChildren(...line(rowOf(button), button.dataset.image).map(stripButton));
  if (!viewer.open) viewer.showModal();
}

// The family's path, with a dot for each k and the shown one larger.
function showJourney(path, k) {
  byId("journey").replaceChildren();
  byId("moved").textContent = "–";
  if (!path) return;
  const large = path.cloneNode(true), distances = path.dataset.path.split(" ");
  const corners = path.querySelector("polyline").getAttribute("points").split(" ");
  distances.forEach((distance, i) => {
    if (distance === "-") return;
    const [cx, cy] = corners.shift().split(",");
    const dot = drawn("circle", { cx, cy, r: i === k ? 2.6 : 1.5, style: `--c: var(--k${i})` });
    large.append(dot);
  });
  byId("journey").append(large);
  if (distances[k] !== "-") byId("moved").textContent = k ? `${distances[k]} from the real image` : "0";
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
function nearest(points, x) {
  let best = null;
  for (const point of points) if (best === null || Math.abs(point[0] - x) < Math.abs(best[0] - x)) best = point;
  return best;
}

function markAt(svg, x, top, bottom) {
  let cursor = svg.querySelector(".cursor");
  if (!cursor) {
    cursor = drawn("line", { class: "cursor" });
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
  placeReadout(event);
}

function placeReadout(event) {
  readout.hidden = false;
  readout.style.left = `${Math.min(event.clientX + 16, innerWidth - readout.offsetWidth - 12)}px`;
  readout.style.top = `${Math.max(event.clientY - readout.offsetHeight - 14, 8)}px`;
}

for (const svg of document.querySelectorAll("svg[data-chart]")) {
  const chart = JSON.parse(svg.dataset.chart);
  svg.addEventListener("pointermove", (event) => track(svg, chart, event));
  svg.addEventListener("pointerleave", () => { readout.hidden = true; svg.querySelector(".cursor")?.remove(); });
}

// The map: the image under the pointer, its family, and a way to the viewer.
function readMap(svg) {
  const sets = [...svg.querySelectorAll(".dots")].map((path) =>
    path.getAttribute("d").split("M").slice(1).map((dot) => dot.split(/[ h]/).slice(0, 2).map(Number)));
  const prompts = JSON.parse(svg.dataset.map);
  return { sets, prompts, line: svg.appendChild(drawn("polyline", { class: "family", points: "" })) };
}

function nearestDot(map, svg, event) {
  const { x, y } = new DOMPoint(event.clientX, event.clientY).matrixTransform(svg.getScreenCTM().inverse());
  let best = null, least = 14 ** 2;
  map.sets.forEach((dots, k) => dots.forEach((dot, i) => {
    const distance = (dot[0] - x) ** 2 + (dot[1] - y) ** 2;
    if (distance < least) [best, least] = [{ k, i }, distance];
  }));
  return best;
}

const imageOf = (prompt, k) => document.querySelector(`.row[data-prompt="${prompt}"] button[data-k="${k}"]`);

function tellDot(map, found, event) {
  const [prompt, text] = map.prompts[found.i];
  const head = document.createElement("b"), words = document.createElement("p");
  head.textContent = found.k ? `k = ${found.k}` : "real image";
  words.textContent = text;
  const picture = imageOf(prompt, found.k)?.firstElementChild.cloneNode();
  readout.replaceChildren(head, ...(picture ? [picture] : []), words);
  map.line.setAttribute("points", map.sets.map((dots) => dots[found.i].join()).join(" "));
  placeReadout(event);
}

function leave(map) {
  readout.hidden = true;
  map.line.setAttribute("points", "");
}

for (const svg of document.querySelectorAll("svg[data-map]")) {
  const map = readMap(svg);
  svg.addEventListener("pointermove", (event) => {
    const found = nearestDot(map, svg, event);
    if (found) tellDot(map, found, event);
    else leave(map);
  });
  svg.addEventListener("pointerleave", () => leave(map));
  svg.addEventListener("click", (event) => {
    const found = nearestDot(map, svg, event);
    const image = found && imageOf(map.prompts[found.i][0], found.k);
    if (image) { leave(map); show(image); }
  });
}

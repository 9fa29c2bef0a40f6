"use strict";

// Draws the charts of a page: each part with data-chart has its days and its figures as JSON.
const zone = { day: "numeric", month: "short", timeZone: "UTC" };
const dayFormat = new Intl.DateTimeFormat(document.documentElement.lang, zone);

function draw(part) {
  const { days, day, series, unit } = JSON.parse(part.dataset.chart);
  const text = document.createElement("span");
  document.body.append(text);
  const shown = (name) => { text.style.color = `var(--${name})`; return getComputedStyle(text).color; };
  const axis = { stroke: shown("soft"), grid: { stroke: shown("line"), width: 1 }, ticks: { stroke: shown("line") } };
  const options = {
    width: part.clientWidth, height: 220, legend: { live: true },
    scales: { x: { time: true }, y: { range: (_, low, high) => [0, Math.max(high, 1) * 1.05] } },
    axes: [
      { ...axis, values: (_, values) => values.map((value) => dayFormat.format(new Date(1000 * value))) },
      { ...axis, size: 70, values: (_, values) => values.map((value) => `${unit}${value.toLocaleString()}`) },
    ],
    series: [
      { label: day, value: (_, value) => (value === null ? "" : dayFormat.format(new Date(1000 * value))) },
      ...series.map((each) => ({ label: each.label, stroke: shown(each.color), width: 2, points: { size: 5 } })),
    ],
  };
  text.remove();
  part.replaceChildren();
  new uPlot(options, [days, ...series.map((each) => each.values)], part);
}

function drawAll() {
  document.querySelectorAll("[data-chart]").forEach(draw);
}

function drawNew() {
  document.querySelectorAll("[data-chart]:empty").forEach(draw);
}

document.addEventListener("DOMContentLoaded", () => {
  drawAll();
  document.body.addEventListener("htmx:afterSettle", drawNew);
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", drawAll);
});

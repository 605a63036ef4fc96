// The chart and the state of the live link; everything else is patched by htmx from the one stream.
"use strict";
(() => {
  const stream = document.getElementById("stream");
  const link = document.getElementById("link");
  const chartBox = document.getElementById("chart");
  const title = document.getElementById("chart-title");
  const css = (name) => getComputedStyle(document.documentElement).getPropertyValue(name).trim();
  const keep = 900;
  let plot = null;
  let data = [[], [], [], []];

  const shown = () => chartBox.dataset.collector;

  function draw() {
    const series = ["--l1", "--l2", "--l3"].map((name, i) => ({
      label: `L${i + 1}`, stroke: css(name), width: 1.5, points: { show: false }, value: (_, v) => (v == null ? "–" : `${v.toFixed(1)} A`),
    }));
    const time = { values: (_, ticks) => ticks.map((t) => new Date(t * 1000).toISOString().slice(11, 19)), space: 90 };
    const axis = { stroke: css("--soft"), grid: { stroke: css("--line") }, ticks: { stroke: css("--line") } };
    plot?.destroy();
    plot = new uPlot(
      { width: chartBox.clientWidth, height: 220, series: [{ value: (_, t) => (t == null ? "–" : new Date(t * 1000).toISOString().slice(11, 19)) }, ...series], axes: [{ ...axis, ...time }, { ...axis, size: 55 }],
        scales: { y: { range: (_, low, high) => [Math.min(0, low), Math.max(10, high * 1.05)] } } },
      data, chartBox);
  }

  async function load() {
    const answer = await fetch(`/api/history/${encodeURIComponent(shown())}`);
    if (!answer.ok) return;
    data = await answer.json();
    draw();
  }

  function add(points) {
    const point = points[shown()];
    if (!point || !plot || (data[0].length && point[0] <= data[0][data[0].length - 1])) return;
    point.forEach((value, i) => { data[i].push(value); if (data[i].length > keep) data[i].shift(); });
    plot.setData(data);
  }

  let last = 0;
  stream.addEventListener("tick", (event) => { last = Date.now(); add(JSON.parse(event.detail.data)); });
  setInterval(() => {
    const lost = Date.now() - last > 5000;
    link.textContent = last === 0 ? "Connecting…" : lost ? link.dataset.lost : link.dataset.live;
    link.className = last !== 0 && lost ? "lost" : "live";
    document.body.classList.toggle("stale", last !== 0 && lost);
  }, 1000);

  document.querySelector(".tree").addEventListener("click", (event) => {
    const row = event.target.closest("[data-collector]");
    if (!row) return;
    chartBox.dataset.collector = row.dataset.collector;
    title.textContent = `${row.dataset.name}: current per phase, last 15 minutes`;
    load();
  });
  addEventListener("resize", () => plot?.setSize({ width: chartBox.clientWidth, height: 220 }));
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => plot && draw());
  load();
})();

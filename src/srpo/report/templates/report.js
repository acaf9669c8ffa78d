"use strict";
(() => {
  const dark = matchMedia("(prefers-color-scheme: dark)");
  const repaint = JSON.parse(document.getElementById("repaint").textContent);
  const light = new RegExp(Object.keys(repaint).join("|"), "g");
  const figures = [...document.querySelectorAll(".figure")];
  const drawn = new Set();

  function draw(figure) {
    const text = figure.querySelector("script").textContent;
    const spec = JSON.parse(dark.matches ? text.replace(light, (hex) => repaint[hex]) : text);
    Plotly.react(figure.querySelector(".plot"), spec.data, spec.layout, { displayModeBar: false, responsive: true });
    drawn.add(figure);
  }

  // A plot costs some 20 ms: each is drawn when it comes near the screen. A fold's plots have no width before it opens.
  const near = new IntersectionObserver(
    (entries) => entries.filter((entry) => entry.isIntersecting && !drawn.has(entry.target)).forEach((entry) => draw(entry.target)),
    { rootMargin: "600px" },
  );
  for (const figure of figures) {
    const plot = figure.querySelector(".plot");
    plot.style.minHeight = `${plot.dataset.height}px`;
    near.observe(figure);
  }
  dark.addEventListener("change", () => drawn.forEach(draw));
  addEventListener("beforeprint", () => figures.filter((figure) => !drawn.has(figure) && figure.offsetWidth).forEach(draw));

  const filters = document.querySelector(".filters");
  if (!filters) return;
  filters.hidden = false;
  const cards = [...document.querySelectorAll("#cards .card")];
  const wanted = {};

  function show() {
    for (const card of cards) {
      card.hidden = Object.entries(wanted).some(([name, value]) => card.dataset[name] !== value);
    }
    const count = cards.filter((card) => !card.hidden).length;
    filters.querySelector(".shown").textContent = `${count} of ${cards.length} shown`;
  }

  filters.addEventListener("click", (event) => {
    const button = event.target.closest("button");
    if (!button) return;
    const filter = button.closest(".filter");
    if ("all" in button.dataset) delete wanted[filter.dataset.filter];
    else wanted[filter.dataset.filter] = button.dataset.value;
    for (const other of filter.querySelectorAll("button")) other.setAttribute("aria-pressed", String(other === button));
    show();
  });
  show();
})();

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

  // What scrolls has to be reached by keys; most texts are short, and need no stop of the tabulator.
  function reach(within) {
    for (const text of within.querySelectorAll(".think")) if (text.scrollHeight > text.clientHeight) text.tabIndex = 0;
  }
  reach(document);

  const filters = document.querySelector(".filters");
  if (!filters) return;
  filters.hidden = false;
  // A card that waits is a template: parsed, but without style, layout and pictures until it is near the screen.
  const waiting = [...document.querySelectorAll(".cards > .card, .cards > template")];
  const more = document.querySelector(".more");
  const AT_ONCE = 48;
  const wanted = {};
  let allowed = AT_ONCE;

  function show() {
    let count = 0;
    waiting.forEach((card, at) => {
      const fits = Object.entries(wanted).every(([name, value]) => card.dataset[name] === value);
      if (fits) count += 1;
      const visible = fits && count <= allowed;
      if (visible && card.tagName === "TEMPLATE") {
        const made = card.content.firstElementChild;
        card.replaceWith(made);
        waiting[at] = made;
        reach(made);
      }
      waiting[at].hidden = !visible;
    });
    filters.querySelector(".shown").textContent = `${count.toLocaleString("en")} of ${waiting.length.toLocaleString("en")} match`;
    more.hidden = count <= allowed;
  }

  new IntersectionObserver(
    ([entry]) => {
      if (!entry.isIntersecting) return;
      allowed += AT_ONCE;
      show();
    },
    { rootMargin: "1200px" },
  ).observe(more);

  filters.addEventListener("click", (event) => {
    const button = event.target.closest("button");
    if (!button) return;
    const filter = button.closest(".filter");
    if ("all" in button.dataset) delete wanted[filter.dataset.filter];
    else wanted[filter.dataset.filter] = button.dataset.value;
    for (const other of filter.querySelectorAll("button")) other.setAttribute("aria-pressed", String(other === button));
    allowed = AT_ONCE;
    show();
  });
  show();
})();

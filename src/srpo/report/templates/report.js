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
  // A card that waits is a template: parsed, but without style, layout and pictures until it is near the screen.
  const cards = [...document.querySelectorAll("#cards > .cards > .card, #cards > .cards > template")];
  const more = document.querySelector(".more");
  const AT_ONCE = 48;
  const wanted = {};
  let allowed = AT_ONCE;
  let pictures;

  function made(template) {
    const card = template.content.firstElementChild;
    pictures ??= JSON.parse(document.getElementById("waiting")?.textContent ?? "[]");
    for (const image of card.querySelectorAll("img[data-picture]")) image.src = pictures[image.dataset.picture];
    template.replaceWith(card);
    return card;
  }

  function show() {
    let count = 0;
    cards.forEach((card, at) => {
      const fits = Object.entries(wanted).every(([name, value]) => card.dataset[name] === value);
      count += fits;
      const isShown = fits && count <= allowed;
      if (isShown && card.tagName === "TEMPLATE") cards[at] = made(card);
      else card.hidden = !isShown;
    });
    const [some, all] = [count, cards.length].map((number) => number.toLocaleString("en"));
    filters.querySelector(".shown").textContent = `${some} of ${all} match`;
    more.hidden = count <= allowed;
  }

  function showMore() {
    allowed += AT_ONCE;
    show();
  }

  new IntersectionObserver(([entry]) => entry.isIntersecting && showMore(), { rootMargin: "1200px" }).observe(more);
  more.addEventListener("click", showMore);

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

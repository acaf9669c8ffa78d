"use strict";
(() => {
  const cards = [...document.querySelectorAll(".view .cards > .card")];
  let current = -1;

  function go(by) {
    const link = document.querySelector(`nav.pages a[rel="${by > 0 ? "next" : "prev"}"]`);
    const at = current + by;
    if (cards.length > 1 && at >= 0 && at < cards.length) {
      if (current >= 0) cards[current].classList.remove("current");
      current = at;
      cards[current].classList.add("current");
      cards[current].scrollIntoView({ block: "nearest" });
    } else if (link) link.click();
  }

  function follow(name) {
    const here = current >= 0 ? cards[current] : document;
    here.querySelector(`a.${name}`)?.click();
  }

  addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey || event.target.closest("input, select, textarea, dialog")) return;
    if (event.key === "j") go(1);
    else if (event.key === "k") go(-1);
    else if (event.key === "g") follow("group");
    else if (event.key === "Enter" && current >= 0 && !event.target.closest("a, button, summary")) follow("open");
    else if (event.key === "u") document.querySelector('a[rel="up"], nav.pages a[href^="/?"]')?.click();
    else if (event.key === "/") {
      event.preventDefault();
      document.querySelector('input[type="search"]')?.focus();
    }
  });

  // What scrolls has to be reached by keys; most texts are short, and need no stop of the tabulator.
  for (const text of document.querySelectorAll(".think, .diff")) if (text.scrollHeight > text.clientHeight) text.tabIndex = 0;

  const zoom = document.querySelector("dialog.zoom");
  for (const image of document.querySelectorAll(".problem img")) {
    const large = () => {
      const shown = zoom.querySelector("img");
      shown.src = image.src;
      shown.alt = image.alt;
      shown.classList.toggle("pixels", Math.max(image.naturalWidth, image.naturalHeight) <= 160);
      zoom.showModal();
    };
    image.tabIndex = 0;
    image.setAttribute("role", "button");
    image.addEventListener("click", large);
    image.addEventListener("keydown", (event) => event.key === "Enter" && large());
    const sharpen = () => image.classList.toggle("pixels", Math.max(image.naturalWidth, image.naturalHeight) <= 160);
    if (image.complete) sharpen();
    else image.addEventListener("load", sharpen);
    image.addEventListener("error", () => {
      const words = document.createElement("p");
      words.className = "missing";
      words.textContent = "The picture cannot be loaded.";
      image.replaceWith(words);
    });
  }
  zoom.querySelector("img").addEventListener("click", () => zoom.close());

  // Empty fields would make long addresses of nothing.
  document.querySelector("form.asked")?.addEventListener("submit", (event) => {
    for (const field of event.target.elements) if (field.name && field.value === "") field.disabled = true;
  });

  const news = document.getElementById("news");
  const following = document.getElementById("follow");
  if (!news) return;
  following.checked = sessionStorage.getItem("follow") === "1";
  following.addEventListener("change", () => sessionStorage.setItem("follow", following.checked ? "1" : "0"));

  async function ask() {
    if (document.hidden) return;
    let status;
    try {
      status = await (await fetch(`/status?${news.dataset.query}`)).json();
    } catch {
      news.textContent = "· the server has ended";
      return;
    }
    const working = status.runs.filter((run) => run.finished === false).map((run) => `${run.label} step ${run.step}${run.total_steps ? ` of ${run.total_steps}` : ""}`);
    const more = status.found - Number(news.dataset.found);
    if (more && following.checked) location.reload();
    news.textContent = [more > 0 ? `· ${more.toLocaleString("en")} new` : "", working.length ? `· under way: ${working.join(", ")}` : ""].join(" ");
  }
  ask();
  setInterval(ask, 2000);
})();

"use strict";
// Without this script a citation leads to its quote among the sources; with it, the quote opens
// beside the sentence.
(() => {
  const reader = document.getElementById("reader");
  const cites = [...document.querySelectorAll("a.cite")];
  let current = null;

  function open(cite) {
    const passage = document.getElementById(cite.hash.slice(1));
    const quote = passage.closest("details");
    const source = passage.closest(".source");
    const body = reader.querySelector(".reader-body");
    const about = source.querySelector(".about").cloneNode(true);
    const shown = passage.cloneNode(true);
    shown.removeAttribute("id");
    body.replaceChildren(about, shown, all(source));
    reader.querySelector(".reader-at b").textContent = quote.dataset.at;
    reader.querySelector(".reader-at span").textContent =
      `Quote ${cite.textContent} · ${cites.indexOf(cite) + 1} of ${cites.length}`;
    for (const button of reader.querySelectorAll("[data-go]")) {
      button.disabled = !cites[cites.indexOf(cite) + Number(button.dataset.go)];
    }
    mark(cite);
    reader.hidden = false;
    document.body.classList.add("reading");
    const found = shown.querySelector("mark");
    if (found) reader.scrollTop = Math.max(0, found.offsetTop - reader.clientHeight / 3);
    reveal(cite);
    reader.focus({ preventScroll: true });
  }

  function all(source) {
    const link = document.createElement("a");
    link.href = `#${source.id}`;
    link.textContent = `All quotes of ${source.dataset.short}`;
    const line = document.createElement("p");
    line.className = "open";
    line.append(link);
    return line;
  }

  function mark(cite) {
    for (const old of document.querySelectorAll(".current")) old.classList.remove("current");
    if (current) current.removeAttribute("aria-current");
    current = cite;
    if (!cite) return;
    cite.setAttribute("aria-current", "true");
    const around = cite.closest(".sentence, td, .premise, .near, .grew");
    if (around) around.classList.add("current");
  }

  // The sentence must not hide behind the sheet that the reader is on a narrow screen.
  function reveal(cite) {
    const at = cite.getBoundingClientRect();
    const sheet = getComputedStyle(reader).position === "fixed";
    const bottom = sheet ? reader.getBoundingClientRect().top : innerHeight;
    if (at.top < 8 || at.bottom > bottom - 8) {
      scrollBy({ top: at.top - bottom / 3, behavior: "instant" });
    }
  }

  function close(back = true) {
    if (reader.hidden) return;
    const from = current;
    reader.hidden = true;
    document.body.classList.remove("reading");
    mark(null);
    if (back && from) from.focus({ preventScroll: true });
  }

  function go(by) {
    const next = cites[cites.indexOf(current) + by];
    if (next) open(next);
  }

  document.addEventListener("click", (event) => {
    const link = event.target.closest("a, button");
    if (!link) return;
    if (link.matches("a.cite") && !event.metaKey && !event.ctrlKey && !event.shiftKey) {
      event.preventDefault();
      if (link === current) close();
      else open(link);
    } else if (link.dataset.go) {
      go(Number(link.dataset.go));
    } else if ("close" in link.dataset) {
      close();
    } else if (reader.contains(link) && link.hash) {
      close(false);
    }
  });

  document.addEventListener("keydown", (event) => {
    if (event.altKey || event.ctrlKey || event.metaKey) return;
    if (event.key === "Escape") close();
    if (!reader.contains(document.activeElement)) return;
    if (event.key === "ArrowLeft") go(-1);
    if (event.key === "ArrowRight") go(1);
  });

  // On the map whatever lies nearest to the finger is told by its title.
  const map = document.querySelector("#map svg");
  if (map) {
    const told = document.querySelector("#map .pointed");
    const dots = [...map.querySelectorAll(".dot")];
    const tell = (dot) => {
      for (const old of map.querySelectorAll(".near")) old.classList.remove("near");
      if (dot) dot.classList.add("near");
      const text = document.createElement("span");
      text.textContent = dot ? dot.querySelector("title").textContent : "";
      told.replaceChildren(text);
    };
    const nearest = (event) => {
      let best = null;
      let least = 24;
      for (const dot of dots) {
        const box = dot.getBoundingClientRect();
        const x = box.left + box.width / 2 - event.clientX;
        const y = box.top + box.height / 2 - event.clientY;
        const far = Math.hypot(x, y) - box.width / 2;
        if (far < least) [best, least] = [dot, far];
      }
      return best;
    };
    map.addEventListener("pointermove", (event) => tell(nearest(event)));
    map.addEventListener("pointerdown", (event) => tell(nearest(event)));
    map.addEventListener("focusin", (event) => tell(event.target.closest(".dot")));
  }
})();

// What the pages gain where scripts run: copying, remembered client tabs, the search key, menus that close. All of it can be missing.
(() => {
  "use strict";
  const root = document.documentElement;
  root.classList.add("has-scripts");
  const words = document.currentScript.dataset;

  async function copied(text) {
    try {
      await navigator.clipboard.writeText(text);
      return true;
    } catch {
      // Over plain http there is no clipboard: the old way, by a selection.
      const area = document.createElement("textarea");
      area.value = text;
      area.className = "off-screen";
      document.body.append(area);
      area.select();
      const done = document.execCommand("copy");
      area.remove();
      return done;
    }
  }

  document.addEventListener("click", async (event) => {
    const button = event.target.closest("[data-copy]");
    if (button) {
      const done = await copied(button.dataset.copy);
      const label = button.querySelector("span");
      const before = label.textContent;
      label.textContent = done ? words.copied : words.select;
      button.classList.toggle("is-copied", done);
      setTimeout(() => { label.textContent = before; button.classList.remove("is-copied"); }, 1800);
    }
    for (const menu of document.querySelectorAll("details.menu[open]")) {
      if (!menu.contains(event.target)) menu.open = false;
    }
    if (!event.target.closest(".search")) document.getElementById("suggestions")?.replaceChildren();
  });

  // A form that can't be undone asks first.
  document.addEventListener("submit", (event) => {
    const verb = event.target.querySelector("select[name=verb]");
    const question = event.target.dataset.ask || (verb && verb.value === "purge" ? words.purge : "");
    if (question && !confirm(question)) event.preventDefault();
  });

  // One client for all blocks of lines, remembered.
  const key = (paste) => `condahub-${paste.dataset.paste}`;
  function choose(paste, client) {
    const input = [...paste.querySelectorAll("input[type=radio]")].find((one) => one.value === client);
    if (input) input.checked = true;
  }
  function chooseRemembered(scope) {
    for (const paste of scope.querySelectorAll("[data-paste]")) {
      const client = localStorage.getItem(key(paste));
      if (client) choose(paste, client);
    }
  }
  chooseRemembered(document);
  document.addEventListener("change", (event) => {
    const paste = event.target.closest("[data-paste]");
    if (paste && event.target.type === "radio") {
      localStorage.setItem(key(paste), event.target.value);
      for (const other of document.querySelectorAll(`[data-paste="${paste.dataset.paste}"]`)) choose(other, event.target.value);
    }
    const all = event.target.closest("[data-tick-all]");
    if (all) for (const box of all.closest("form").querySelectorAll("input[name=file]")) box.checked = all.checked;
    if (event.target.closest("[data-send-on-change]")) event.target.form.requestSubmit();
  });

  // A log that grows is followed to its end, unless somebody has scrolled up in it.
  let leftAt = null;
  const follow = () => {
    const log = document.querySelector("[data-follow]");
    if (log) log.scrollTop = leftAt === null ? log.scrollHeight : leftAt;
  };
  follow();
  document.addEventListener("htmx:beforeSwap", () => {
    const log = document.querySelector("[data-follow]");
    leftAt = log && log.scrollHeight - log.scrollTop - log.clientHeight > 24 ? log.scrollTop : null;
  });
  document.addEventListener("htmx:afterSwap", follow);

  document.addEventListener("keydown", (event) => {
    const typing = event.target.closest("input, textarea, select, [contenteditable]");
    if (event.key === "/" && !typing && !event.ctrlKey && !event.metaKey && !event.altKey) {
      event.preventDefault();
      document.getElementById("search")?.focus();
    }
    if (event.key === "Escape") {
      document.getElementById("suggestions")?.replaceChildren();
      for (const menu of document.querySelectorAll("details.menu[open]")) {
        menu.open = false;
        menu.querySelector("summary").focus();
      }
    }
    const list = event.target.closest(".search");
    if (list && (event.key === "ArrowDown" || event.key === "ArrowUp")) {
      const stops = [document.getElementById("search"), ...list.querySelectorAll("#suggestions a")];
      const step = event.key === "ArrowDown" ? 1 : -1;
      const next = stops[(stops.indexOf(document.activeElement) + step + stops.length) % stops.length];
      if (stops.length > 1) { event.preventDefault(); next.focus(); }
    }
  });
})();

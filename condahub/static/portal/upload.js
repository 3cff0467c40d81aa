// Upload by drag and drop: each file goes to the API with a token of minutes that may do nothing but this, and says how it went.
(() => {
  "use strict";
  const form = document.querySelector("[data-upload]");
  if (!form) return;
  const input = form.querySelector("input[type=file]");
  const zone = form.querySelector("[data-drop]");
  const list = form.querySelector("[data-files]");
  const after = form.querySelector("[data-after]");
  const said = form.querySelector("[data-said]");
  const template = form.querySelector("template");
  const csrf = form.querySelector("input[name=csrfmiddlewaretoken]").value;
  // The page's own language; what the hub answers stays as it is.
  const words = JSON.parse(form.dataset.words);
  const language = document.documentElement.lang || "en";
  const filled = (word, values) => words[word].replace(/%\((\w+)\)s/g, (_, name) => values[name]);
  const queue = [];
  let working = false;
  let token = null;

  form.classList.add("is-live");

  const size = (bytes) => {
    const units = ["", "KB", "MB", "GB", "TB"];
    let step = 0;
    while (bytes >= 1000 && step < units.length - 1) { bytes /= 1000; step += 1; }
    if (!step) return filled(bytes === 1 ? "byte" : "bytes", { number: bytes });
    const digits = bytes < 100 ? 1 : 0;
    return `${bytes.toLocaleString(language, { minimumFractionDigits: digits, maximumFractionDigits: digits })} ${units[step]}`;
  };

  async function post(path) {
    const answer = await fetch(path, { method: "POST", headers: { "X-CSRFToken": csrf }, credentials: "same-origin", keepalive: true });
    const body = await answer.json().catch(() => ({}));
    if (!answer.ok) throw new Error([body.detail || words.unexpected, body.hint || words.load_again].join(" "));
    return body;
  }

  async function liveToken() {
    // Two thirds of its life: what begins with it has time to be let in.
    if (!token || Date.now() > token.until) {
      const made = await post(form.dataset.token);
      token = { secret: made.token, revoke: made.revoke, until: Date.now() + made.lives_seconds * 667 };
    }
    return token.secret;
  }

  function endToken() {
    if (token) post(token.revoke).catch(() => {});
    token = null;
  }

  function send(file, row) {
    return new Promise((resolve, reject) => {
      const request = new XMLHttpRequest();
      request.open("POST", form.dataset.door + encodeURIComponent(file.name));
      request.setRequestHeader("Authorization", `Bearer ${token.secret}`);
      request.setRequestHeader("Content-Type", "application/octet-stream");
      const started = Date.now();
      request.upload.onprogress = (event) => {
        const seconds = (Date.now() - started) / 1000;
        const rate = event.loaded / Math.max(seconds, 0.1);
        row.bar.value = event.total ? event.loaded / event.total : 0;
        const left = (event.total - event.loaded) / Math.max(rate, 1);
        row.state(event.loaded < event.total
          ? filled(left > 2 ? "sending_left" : "sending", { sent: size(event.loaded), whole: size(event.total), rate: size(rate), left: Math.ceil(left) })
          : words.checking, "running");
      };
      request.onload = () => {
        let body = {};
        try { body = JSON.parse(request.responseText); } catch { /* a proxy's page */ }
        if (request.status === 200 || request.status === 201) resolve(body);
        else reject(new Error([body.detail || filled("answered", { status: request.status }), body.hint || ""].join(" ").trim()));
      };
      request.onerror = () => reject(new Error(words.broke));
      row.cancel = () => request.abort();
      request.onabort = () => reject(new Error(words.stopped));
      request.send(file);
    });
  }

  function rowFor(file) {
    const item = template.content.firstElementChild.cloneNode(true);
    item.querySelector("[data-name]").textContent = file.name;
    item.querySelector("[data-size]").textContent = size(file.size);
    const row = {
      item,
      bar: item.querySelector("progress"),
      cancel: null,
      state(text, name) {
        item.dataset.state = name;
        item.querySelector("[data-text]").textContent = text;
      },
    };
    item.querySelector("[data-stop]").addEventListener("click", () => {
      if (row.cancel) row.cancel();
      else { queue.splice(queue.findIndex((one) => one.row === row), 1); item.remove(); }
    });
    item.querySelector("[data-again]").addEventListener("click", () => { add(file, row); });
    list.append(item);
    return row;
  }

  function add(file, known) {
    const row = known || rowFor(file);
    if (!/\.(conda|tar\.bz2)$/.test(file.name)) {
      row.bar.value = 0;
      row.item.dataset.final = "";
      row.state(words.no_package, "failed");
      return;
    }
    row.state(words.waiting, "waiting");
    queue.push({ file, row });
    work();
  }

  async function work() {
    if (working) return;
    working = true;
    let done = 0;
    while (queue.length) {
      const { file, row } = queue.shift();
      try {
        await liveToken();
        const answer = await send(file, row);
        row.bar.value = 1;
        row.state(answer.created ? filled("published", { revision: answer.revision }) : words.there_already, "done");
        const link = row.item.querySelector("[data-link]");
        link.href = form.dataset.package + encodeURIComponent(answer.name);
        link.hidden = false;
        done += 1;
      } catch (error) {
        row.state(error.message, "failed");
      }
      row.cancel = null;
    }
    working = false;
    endToken();
    if (done) after.hidden = false;
    const failures = list.querySelectorAll('[data-state="failed"]').length;
    const number = list.querySelectorAll('[data-state="done"]').length;
    said.textContent = filled(failures ? "some_published" : "all_published", { number, failures });
  }

  input.addEventListener("change", () => {
    for (const file of input.files) add(file);
    input.value = "";
  });
  for (const name of ["dragenter", "dragover"]) {
    zone.addEventListener(name, (event) => { event.preventDefault(); zone.classList.add("is-over"); });
  }
  for (const name of ["dragleave", "drop"]) zone.addEventListener(name, () => zone.classList.remove("is-over"));
  zone.addEventListener("drop", (event) => {
    event.preventDefault();
    for (const file of event.dataTransfer.files) add(file);
  });
  form.addEventListener("submit", (event) => event.preventDefault());
  addEventListener("pagehide", endToken);
})();

"use strict";

// Times in the viewer's zone. The title keeps UTC.
// Swedish writes 2026-11-29 13:37:26, which nobody misreads.
const format = new Intl.DateTimeFormat("sv-SE", {
  year: "numeric", month: "2-digit", day: "2-digit", hour: "2-digit", minute: "2-digit", second: "2-digit", hourCycle: "h23",
});
function showLocalTimes(root) {
  for (const time of root.querySelectorAll("time[datetime]")) {
    time.textContent = format.format(new Date(time.dateTime));
  }
}

// Times in forms are UTC. People see and enter those of their zone; what is sent stays UTC, in a hidden field. An hour that a
// zone has twice is sent as it was while nobody changes it.
function takeLocalTimes() {
  const zone = Intl.DateTimeFormat().resolvedOptions().timeZone;
  for (const input of document.querySelectorAll("input[type=datetime-local][name]")) {
    const sent = document.createElement("input");
    [sent.type, sent.name, sent.value] = ["hidden", input.name, input.defaultValue];
    const follow = () => { input.title = sent.value === "" ? "" : `${sent.value.replace("T", " ")} UTC`; };
    input.removeAttribute("name");
    input.dataset.name = sent.name;
    input.value = sent.value === "" ? "" : format.format(new Date(`${sent.value}Z`)).replace(" ", "T");
    input.addEventListener("input", () => {
      sent.value = input.value === "" ? "" : new Date(input.value).toISOString().slice(0, 19);
      follow();
    });
    input.after(sent);
    follow();
    input.closest("label").querySelector("[data-zone]").textContent = `(${zone})`;
  }
}

// What is left until a deadline, every second, as console/rendering.py writes it.
function countDown() {
  for (const part of document.querySelectorAll("[data-until]")) {
    const left = Math.floor((new Date(part.dataset.until) - Date.now()) / 1000);
    const days = Math.floor(left / 86400);
    const clock = [Math.floor(left / 3600) % 24, Math.floor(left / 60) % 60, left % 60].map((each) => String(each).padStart(2, "0"));
    part.textContent = left <= 0 ? part.dataset.over : (days ? `${days} ${part.dataset.day} ` : "") + clock.join(":");
  }
}

// The live part of a page is fetched again, unless somebody is at work in it. Returns whether it was.
async function refresh() {
  const part = document.getElementById("live");
  const isBusy = document.hidden || document.getElementById("dialog").open || part.contains(document.activeElement);
  if (isBusy || part.querySelector("details[open]")) return false;
  await htmx.ajax("GET", location.href, { target: "#live", select: "#live", swap: "outerHTML" });
  return true;
}

// A part with data-live is fetched every so many seconds.
let liveTimer;
function keepLive() {
  clearTimeout(liveTimer);
  const part = document.querySelector("#live[data-live]");
  if (part !== null) liveTimer = setTimeout(() => refresh().then(keepLive, keepLive), 1000 * Number(part.dataset.live));
}

// The server says that a part with data-changes has changed. Only a page that is seen listens, because a browser has few
// connections. The rows of a list stay where they are until the person wants the new ones; another part is fetched, and once
// more when what follows has come: callbacks are attempted after the change.
let changes = null;
function listen() {
  const part = document.querySelector("[data-changes]");
  if (part === null || document.hidden) {
    stopListening();
  } else if (changes === null) {
    changes = new EventSource(part.dataset.changes);
    changes.onmessage = part.id === "list" ? () => { document.getElementById("changed").hidden = false; } : followChange;
  }
}
function stopListening() {
  changes?.close();
  changes = null;
}
async function followChange() {
  for (const wait of [0, 2000]) {
    await new Promise((resolve) => setTimeout(resolve, wait));
    while (changes !== null && !(await refresh())) await new Promise((resolve) => setTimeout(resolve, 1000));
  }
}

// The page of an act, shown as a dialog.
function showDialog() {
  const dialog = document.getElementById("dialog");
  if (dialog.textContent.trim() === "") return;
  if (!dialog.open) dialog.showModal();
  (dialog.querySelector("input:not([type=hidden]), textarea, select") ?? dialog.querySelector("button"))?.focus();
}

// A file goes as the body of a request: it may be large, and its progress is shown.
function upload(form) {
  const file = form.querySelector("input[type=file]").files[0];
  const [button, progress] = [form.querySelector("button"), form.querySelector("progress")];
  const request = new XMLHttpRequest();
  request.open("POST", form.dataset.upload);
  request.setRequestHeader("Content-Type", /\.jsonl$/i.test(file.name) ? "application/jsonl" : "text/csv");
  request.setRequestHeader("X-Form-Token", form.dataset.token);
  request.setRequestHeader("HX-Request", "true");
  request.upload.onprogress = (event) => { progress.value = event.loaded / event.total; };
  request.onloadend = () => location.reload(); // the page says what came of it
  button.disabled = true;
  progress.hidden = false;
  request.send(file);
}

document.addEventListener("DOMContentLoaded", () => {
  showLocalTimes(document);
  takeLocalTimes();
  setInterval(countDown, 1000);
  keepLive();
  listen();
  document.addEventListener("visibilitychange", () => {
    listen();
    if (document.querySelector("#live[data-changes]") !== null) followChange();
  });
  document.body.addEventListener("htmx:afterSwap", (event) => {
    showLocalTimes(document);
    takeLocalTimes();
    if (event.detail.target.id === "dialog") showDialog();
    if (event.detail.target.id === "list") {
      stopListening();
      listen();
    }
  });
  document.addEventListener("keydown", (event) => {
    const isTyping = event.target.closest("input, select, textarea, dialog");
    if (event.key !== "/" || isTyping || event.ctrlKey || event.metaKey || event.altKey) return;
    event.preventDefault();
    document.querySelector("[role=search] input")?.focus();
  });
  document.body.addEventListener("click", (event) => {
    const dialog = document.getElementById("dialog");
    if (event.target.closest("[data-close]") && dialog.open) {
      event.preventDefault();
      dialog.close();
    }
  });
  document.body.addEventListener("submit", (event) => {
    if (event.target.dataset.upload) {
      event.preventDefault();
      upload(event.target);
    }
  });
  document.getElementById("dialog").addEventListener("close", (event) => { event.target.replaceChildren(); });
});

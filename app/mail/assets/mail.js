// Keys as in other mail programs, frames as high as what they show, and a choice that stays when the
// list changes by itself.

const list = document.getElementById("list");
const conversation = document.getElementById("conversation");
const chosen = new Set();
let at = null; // the content at the cursor

const rows = () => [...document.querySelectorAll(".mailrow")];
const letters = () => [...document.querySelectorAll("article.letter, a.folded")];
const current = () => rows().find((row) => row.dataset.content === at);

function put(row) {
  for (const other of document.querySelectorAll(".mailrow.at")) other.classList.remove("at");
  if (!row) return;
  at = row.dataset.content;
  row.classList.add("at");
  row.querySelector("a.line").focus({ preventScroll: true });
  row.scrollIntoView({ block: "nearest" });
}

function step(by) {
  if (list) {
    const all = rows();
    const index = all.indexOf(current());
    put(all[index < 0 ? 0 : Math.min(Math.max(index + by, 0), all.length - 1)]);
    return;
  }
  const all = letters();
  const index = all.findIndex((letter) => letter.classList.contains("at-letter"));
  const next = all[index < 0 ? (by > 0 ? 0 : all.length - 1) : Math.min(Math.max(index + by, 0), all.length - 1)];
  for (const letter of all) letter.classList.toggle("at-letter", letter === next);
  next?.scrollIntoView({ block: "start" });
  (next?.matches("a") ? next : next?.querySelector("a"))?.focus({ preventScroll: true });
}

// press presses a button of a form, with the conversation at the cursor where nothing is chosen.
function press(name, value) {
  const form = list ?? conversation;
  if (!form) return;
  if (list && !form.querySelector('[name="c"]:checked')) {
    const box = current()?.querySelector('[name="c"]');
    if (!box) return;
    box.checked = true;
  }
  const button = [...form.querySelectorAll(`button[name="${name}"]`)].find((b) => b.value === value);
  if (button) form.requestSubmit(button);
}

function follow(selector) {
  const letter = document.querySelector(".letter.at-letter") ?? document.querySelector(".letter[data-last]") ?? document;
  (letter.querySelector(selector) ?? document.querySelector(selector))?.click();
}

const keys = {
  j: () => step(1),
  k: () => step(-1),
  Enter: () => current()?.querySelector("a.line").click(),
  o: () => current()?.querySelector("a.line").click(),
  u: () => document.querySelector(".back a")?.click(),
  x: () => current()?.querySelector('[name="c"]').click(),
  s: () => (list ? current()?.querySelector(".star").click() : conversation?.querySelector(".star").click()),
  e: () => press("do", "archive"),
  "#": () => press("do", "delete"),
  r: () => follow("a.reply"),
  a: () => follow("a.replyall") ?? follow("a.reply"),
  f: () => follow("a.forward"),
  c: () => location.assign("/mail/write"),
  "/": () => document.getElementById("f-q")?.select(),
  "?": () => document.getElementById("keys")?.showModal(),
};
keys.a = () => (document.querySelector("a.replyall") ? follow("a.replyall") : follow("a.reply"));

addEventListener("keydown", (event) => {
  const target = event.target;
  if (event.ctrlKey || event.metaKey || event.altKey || event.defaultPrevented) return;
  if (target.matches?.("textarea, select, [contenteditable]") || (target.matches?.("input") && target.type !== "checkbox")) return;
  if (document.querySelector("dialog[open]")) return;
  if (event.key === "Enter" && target.matches?.("a, button, summary")) return;
  const act = Object.hasOwn(keys, event.key) && keys[event.key];
  if (!act) return;
  event.preventDefault();
  act();
});

// A choice stays: fragments take the place of the rows.
list?.addEventListener("change", (event) => {
  if (event.target.name === "c") {
    if (event.target.checked) chosen.add(event.target.value);
    else chosen.delete(event.target.value);
  } else if (event.target.id === "all") {
    for (const box of list.querySelectorAll('[name="c"]')) {
      box.checked = event.target.checked;
      if (box.checked) chosen.add(box.value);
      else chosen.delete(box.value);
    }
  }
});
document.addEventListener("kith:fragment", () => {
  for (const box of list?.querySelectorAll('[name="c"]') ?? []) box.checked = chosen.has(box.value);
  current()?.classList.add("at");
  const unread = document.querySelector("#live-shelf .count")?.textContent;
  document.title = (unread ? `(${unread}) ` : "") + document.title.replace(/^\(\d[\d,]*\) /, "");
});

// A frame is as high as what it shows. No script runs in it.
function fit(frame) {
  const page = frame.contentDocument;
  if (!page?.body || page.URL === "about:blank") return;
  frame.style.height = "0";
  frame.style.height = `${Math.min(page.documentElement.scrollHeight + 2, 20000)}px`;
}
for (const frame of document.querySelectorAll("iframe.paper")) {
  frame.addEventListener("load", () => fit(frame));
  if (frame.contentDocument?.readyState === "complete") fit(frame);
  let width = 0;
  new ResizeObserver(() => {
    if (frame.clientWidth === width) return;
    width = frame.clientWidth;
    fit(frame);
  }).observe(frame);
}

document.documentElement.dataset.mail = "ready";

// What is written is kept as a draft by itself; files go there one after the other.

const form = document.getElementById("write");
const kept = document.getElementById("kept");
const uploads = document.getElementById("uploads");
const files = document.getElementById("files");
const input = document.getElementById("f-files");
const people = [...document.querySelectorAll("#people option")].map((option) => ({ value: option.value, note: option.textContent }));
const pause = 2500; // milliseconds after the last key

document.documentElement.classList.add("scripted");

const state = () => JSON.stringify([...new FormData(form)].filter(([name, value]) => typeof value === "string" && !["csrf", "draft", "id", "keep"].includes(name)));
let saved = state();
let timer = 0;
let queue = Promise.resolve();
let leaving = false;

function size(bytes) {
  let unit = 0;
  for (; bytes >= 1023.95 && unit < 5; unit++) bytes /= 1024;
  return unit ? `${bytes.toFixed(1)} ${"KMGTP"[unit - 1]}iB` : `${bytes} bytes`;
}

// ask sends the form, with a file or without, and takes over what is kept.
function ask(file, progress) {
  const data = new FormData(form);
  data.delete("files");
  data.set("do", "save");
  if (file) data.append("files", file);
  return new Promise((resolve, reject) => {
    const request = new XMLHttpRequest();
    request.open("POST", form.action);
    request.setRequestHeader("Accept", "application/json");
    request.setRequestHeader("X-Kith-CSRF", form.elements.csrf.value);
    request.responseType = "json";
    request.upload.addEventListener("progress", (event) => progress?.(event.loaded / event.total));
    request.addEventListener("error", () => reject(new Error("There is no connection to kith.")));
    request.addEventListener("load", () => {
      const answer = request.response;
      if (request.status === 200 || request.status === 409) { // a conflict makes it a message of its own
        form.elements.draft.value = answer.draft;
        form.elements.id.value = answer.id;
        show(answer.files ?? []);
      }
      if (request.status !== 200) return reject(new Error(answer?.problem || "It could not be kept."));
      resolve();
    });
    request.send(data);
  });
}

function show(list) {
  const unticked = new Set([...files.querySelectorAll("input:not(:checked)")].map((box) => box.closest("li").querySelector("bdi").textContent));
  files.replaceChildren(...list.filter((file) => !unticked.has(file.name)).map((file) => {
    const item = document.createElement("li");
    const label = document.createElement("label");
    const box = Object.assign(document.createElement("input"), { type: "checkbox", name: "keep", value: file.ref, checked: true });
    const text = document.createElement("span");
    const name = document.createElement("bdi");
    const much = document.createElement("small");
    name.textContent = file.name;
    much.textContent = size(file.size);
    text.append(name, much);
    label.append(box, text);
    item.append(label);
    return item;
  }));
}

// later does one thing after the other: each needs the draft that the one before has made.
function later(what) {
  queue = queue.then(what, what);
  return queue;
}

function keep() {
  clearTimeout(timer);
  timer = 0;
  return later(async () => {
    const now = state();
    if (leaving || now === saved) return;
    try {
      await ask();
      saved = now;
      kept.textContent = "Kept in Drafts.";
    } catch (error) {
      kept.textContent = error.message;
    }
  });
}

form.addEventListener("input", (event) => {
  if (event.target === input) return;
  kept.textContent = "";
  clearTimeout(timer);
  timer = setTimeout(keep, pause);
});
addEventListener("visibilitychange", () => document.hidden && timer && keep());
addEventListener("beforeunload", (event) => {
  if (!leaving && state() !== saved) event.preventDefault();
});
// What is under way is waited for, so that no draft is left behind.
form.addEventListener("submit", (event) => {
  clearTimeout(timer);
  if (leaving) return;
  event.preventDefault();
  event.stopPropagation();
  const submitter = event.submitter;
  later(() => {
    leaving = true;
    setTimeout(() => form.requestSubmit(submitter)); // a form whose submit event is still under way ignores it
  });
});
addEventListener("pageshow", () => (leaving = false));

function add(file) {
  const item = document.createElement("li");
  const name = document.createElement("span");
  const bar = Object.assign(document.createElement("progress"), { max: 1, value: 0 });
  name.textContent = file.name;
  bar.setAttribute("aria-label", file.name);
  item.append(name, bar);
  uploads.append(item);
  const most = Number(form.dataset.limit) * 0.72;
  later(async () => {
    try {
      if (file.size > most) throw new Error(`${size(file.size)} are too much for a message. Share it instead.`);
      const now = state();
      await ask(file, (part) => (bar.value = part));
      saved = now;
      item.remove();
    } catch (error) {
      const problem = document.createElement("small");
      problem.className = "wrong";
      problem.textContent = error.message;
      bar.replaceWith(problem);
    }
  });
}

input.addEventListener("change", () => {
  for (const file of input.files) add(file);
  input.value = "";
});
addEventListener("dragover", (event) => {
  if (!event.dataTransfer?.types.includes("Files")) return;
  event.preventDefault();
  document.documentElement.classList.add("over");
});
addEventListener("dragleave", (event) => event.relatedTarget || document.documentElement.classList.remove("over"));
addEventListener("drop", (event) => {
  if (!event.dataTransfer?.files.length) return;
  event.preventDefault();
  document.documentElement.classList.remove("over");
  for (const file of event.dataTransfer.files) add(file);
});

// What is completed is the address after the last comma.
const options = document.getElementById("people");
for (const field of form.querySelectorAll(".to")) {
  const offer = () => {
    const before = field.value.slice(0, field.value.lastIndexOf(",") + 1);
    const head = before ? `${before} ` : "";
    options.replaceChildren(...people.filter((p) => !before.includes(p.value)).map((p) => {
      const option = document.createElement("option");
      option.value = head + p.value;
      option.textContent = p.note;
      return option;
    }));
  };
  field.addEventListener("focus", offer);
  field.addEventListener("input", offer);
}

addEventListener("keydown", (event) => {
  if (event.key !== "Enter" || !(event.ctrlKey || event.metaKey)) return;
  event.preventDefault();
  later(() => form.requestSubmit(document.getElementById("send")));
});
const text = form.elements.text;
if (text.autofocus) text.setSelectionRange(0, 0);

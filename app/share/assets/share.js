// Files that are dropped, or chosen, go to the node slice by slice, one file after
// the other, and are shared when they are there.

const area = document.getElementById("drop");
const input = document.getElementById("f-files");
const list = document.getElementById("uploads");
const token = document.querySelector("input[name=csrf]").value;
const sliceSize = 8 << 20;
const attempts = 5;

const waiting = [];
let busy = false;
const done = [];

function size(bytes) {
  let unit = 0;
  for (; bytes >= 1023.95 && unit < 5; unit++) bytes /= 1024;
  return unit ? `${bytes.toFixed(1)} ${"KMGTP"[unit - 1]}iB` : `${bytes} bytes`;
}

function clock(seconds) {
  if (!isFinite(seconds)) return "";
  const s = Math.round(seconds);
  return s < 60 ? `${s} seconds left` : `${Math.round(s / 60)} minutes left`;
}

// ask makes a request and returns its answer; an error of the node's is a sentence.
async function ask(method, path, body, kind = "application/json") {
  const answer = await fetch(area.dataset.uploads + path, {
    method, body, headers: { "X-Kith-CSRF": token, ...(body ? { "Content-Type": kind } : {}) },
  });
  const value = await answer.json().catch(() => ({}));
  if (answer.ok) return value;
  const text = (value.error || `The node answered ${answer.status}.`).replace(/: [a-z ]+$/, "");
  throw Object.assign(new Error(text[0].toUpperCase() + text.slice(1)), { final: true });
}

// again repeats what failed for want of a connection.
async function again(what) {
  for (let n = 1; ; n++) {
    try {
      return await what();
    } catch (error) {
      if (error.final || n === attempts) throw error;
      await new Promise((resume) => setTimeout(resume, 500 * 2 ** n));
    }
  }
}

// A row of the list, with what is said of a file.
class Row {
  constructor(file) {
    this.item = document.createElement("li");
    const name = document.createElement("span");
    this.title = document.createElement("b");
    this.title.textContent = file.name;
    this.note = document.createElement("small");
    this.note.textContent = `${size(file.size)}, waiting`;
    name.append(this.title, document.createElement("br"), this.note);
    this.cancel = document.createElement("button");
    this.cancel.type = "button";
    this.cancel.className = "small";
    this.cancel.textContent = "Cancel";
    this.cancel.addEventListener("click", () => this.stop());
    this.bar = document.createElement("progress");
    this.bar.className = "wide-row";
    this.bar.max = file.size || 1;
    this.bar.value = 0;
    this.item.append(name, this.cancel, this.bar);
    list.append(this.item);
  }

  stop() {
    this.stopped = true;
    this.item.remove();
  }

  say(text, wrong) {
    this.note.textContent = text;
    this.note.classList.toggle("wrong", Boolean(wrong));
  }

  end(text, link) {
    this.bar.remove();
    this.cancel.remove();
    this.say(text, !link);
    if (!link) return;
    const anchor = document.createElement("a");
    anchor.href = link;
    anchor.append(this.title);
    this.item.firstChild.prepend(anchor);
  }
}

async function send(file, row) {
  if (row.stopped) return;
  const { id } = await again(() => ask("POST", "", JSON.stringify({ name: file.name, size: file.size })));
  const begun = performance.now();
  for (let at = 0; at < file.size; ) {
    const part = file.slice(at, at + sliceSize);
    const answer = await again(() => ask("PUT", `/${id}?offset=${at}`, part, "application/octet-stream"));
    if (row.stopped) return ask("DELETE", `/${id}`);
    at = answer.have;
    row.bar.value = at;
    const rate = at / ((performance.now() - begun) / 1000);
    row.say(`${size(at)} of ${size(file.size)}, ${clock((file.size - at) / rate)}`);
  }
  row.cancel.remove();
  row.say("Reading it once more, to name each part");
  const watch = setInterval(async () => {
    const p = await ask("GET", `/${id}`).catch(() => ({}));
    if (p.total) row.bar.value = (p.done / p.total) * row.bar.max;
  }, 500);
  try {
    const { link } = await ask("POST", `/${id}`);
    row.end(`${size(file.size)}, shared`, link);
    done.push(link);
  } finally {
    clearInterval(watch);
  }
}

async function work() {
  if (busy) return;
  busy = true;
  for (let next; (next = waiting.shift()); ) {
    try {
      await send(next.file, next.row);
    } catch (error) {
      next.row.end(error.message || "The node does not answer.");
    }
  }
  busy = false;
  if (done.length === 1 && list.children.length === 1) location.assign(done[0]);
}

function add(files) {
  for (const file of files) waiting.push({ file, row: new Row(file) });
  work();
}

// A folder cannot be sent: browsers tell its files apart only as they please.
function dropped(transfer) {
  const files = [];
  for (const item of transfer.items) {
    if (item.kind !== "file") continue;
    const file = item.getAsFile();
    if (item.webkitGetAsEntry?.()?.isDirectory) {
      new Row(file).end("This is a folder: say where it is instead, and it is shared from there.");
    } else if (file) {
      files.push(file);
    }
  }
  add(files);
}

for (const event of ["dragenter", "dragover"]) {
  document.addEventListener(event, (e) => {
    e.preventDefault();
    area.classList.add("over");
  });
}
document.addEventListener("dragleave", (e) => {
  if (!e.relatedTarget) area.classList.remove("over");
});
document.addEventListener("drop", (e) => {
  e.preventDefault();
  area.classList.remove("over");
  dropped(e.dataTransfer);
});
input.addEventListener("change", () => {
  add(input.files);
  input.value = "";
});
addEventListener("beforeunload", (e) => {
  if (busy) e.preventDefault();
});

// Keeps a page up to date: fragments arrive as server-sent events and take the
// place of what they replace. The stream rests while nobody looks: browsers
// allow few connections to one host.

let stream = null;

function place({ id, html }) {
  const old = document.getElementById(id);
  if (!old) return;
  if (old.contains(document.activeElement) && document.activeElement !== old) return replaceAround(old, html);
  old.innerHTML = html;
}

// Somebody is in there with the keyboard: give the focus back to the element
// with the same address or name.
function replaceAround(old, html) {
  const active = document.activeElement;
  if (active.matches("input, textarea, select")) return;
  const key = ["id", "href", "name"].find((k) => active.getAttribute(k));
  const value = key && active.getAttribute(key);
  old.innerHTML = html;
  if (key) old.querySelector(`[${key}="${CSS.escape(value)}"]`)?.focus();
}

function open() {
  if (stream || document.hidden) return;
  stream = new EventSource(document.body.dataset.live);
  stream.addEventListener("fragment", (event) => {
    place(JSON.parse(event.data));
    document.dispatchEvent(new Event("kith:fragment"));
  });
  stream.addEventListener("open", () => delete document.body.dataset.lost);
  stream.addEventListener("error", () => {
    document.body.dataset.lost = "yes";
    if (stream?.readyState === EventSource.CLOSED) {
      close();
      setTimeout(open, 5000);
    }
  });
}

function close() {
  stream?.close();
  stream = null;
}

document.addEventListener("visibilitychange", () => (document.hidden ? close() : open()));
addEventListener("pagehide", close);
addEventListener("pageshow", open);
open();

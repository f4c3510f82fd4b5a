// What every page can do beyond HTML: copy, switch between light and dark,
// keep times right, open dialogs. One listener each, on the document, so that
// parts that arrive later need nothing.

const spoken = document.getElementById("spoken");

function say(text) {
  if (spoken) spoken.textContent = text;
}

// The clipboard needs a secure context, which localhost is; elsewhere the
// text is selected instead.
async function copy(button) {
  const text = button.dataset.copy;
  try {
    await navigator.clipboard.writeText(text);
  } catch {
    const code = button.parentElement.querySelector("code");
    if (code) getSelection().selectAllChildren(code);
    say("Selected. Press Ctrl and C to copy.");
    return;
  }
  button.classList.add("done");
  say("Copied.");
  setTimeout(() => button.classList.remove("done"), 1600);
}

function switchTheme() {
  const root = document.documentElement;
  const now = root.dataset.theme || (matchMedia("(prefers-color-scheme: dark)").matches ? "dark" : "light");
  root.dataset.theme = now === "dark" ? "light" : "dark";
  document.cookie = `kith_theme=${root.dataset.theme}; path=/; max-age=31536000; samesite=strict`;
}

document.addEventListener("click", (event) => {
  const target = event.target.closest("[data-copy], [data-theme-switch], [data-dialog], [data-close]");
  if (!target) return;
  if (target.dataset.copy !== undefined) copy(target);
  else if (target.dataset.themeSwitch !== undefined) switchTheme();
  else if (target.dataset.close !== undefined) {
    const dialog = target.closest("dialog");
    if (dialog) {
      event.preventDefault();
      dialog.close();
    }
  } else {
    const dialog = document.getElementById(target.dataset.dialog);
    if (dialog instanceof HTMLDialogElement && !event.ctrlKey && !event.metaKey && !event.shiftKey) {
      event.preventDefault();
      dialog.showModal();
    }
  }
});

// A menu closes when one clicks beside it or presses Escape.
document.addEventListener("pointerdown", (event) => {
  for (const menu of document.querySelectorAll("details.menu[open]")) {
    if (!menu.contains(event.target)) menu.open = false;
  }
});
document.addEventListener("keydown", (event) => {
  if (event.key !== "Escape") return;
  for (const menu of document.querySelectorAll("details.menu[open]")) {
    menu.open = false;
    menu.querySelector("summary").focus();
  }
});

// A form is sent once.
document.addEventListener("submit", (event) => {
  const form = event.target;
  if (form.dataset.sent) event.preventDefault();
  form.dataset.sent = "yes";
});
addEventListener("pageshow", () => {
  for (const form of document.forms) delete form.dataset.sent;
});

const units = [
  [365 * 86400, "year"],
  [30 * 86400, "month"],
  [86400, "day"],
  [3600, "hour"],
  [60, "minute"],
  [1, "second"],
];

// The same words as ui.Relative.
function relative(seconds) {
  const distance = Math.abs(seconds);
  if (distance < 10) return "just now";
  for (const [length, name] of units) {
    if (distance < length - length / 60) continue;
    const n = Math.round(distance / length);
    const text = `${n.toLocaleString("en")} ${name}${n === 1 ? "" : "s"}`;
    return seconds < 0 ? `${text} ago` : `in ${text}`;
  }
}

function refreshTimes() {
  for (const time of document.querySelectorAll("time[datetime]")) {
    const when = new Date(time.dateTime);
    if (isNaN(when)) continue;
    const text = relative((when - Date.now()) / 1000);
    if (time.textContent !== text) time.textContent = text;
    time.title = when.toLocaleString(undefined, { dateStyle: "full", timeStyle: "medium" });
  }
}

refreshTimes();
setInterval(refreshTimes, 15000);
document.addEventListener("kith:fragment", refreshTimes);

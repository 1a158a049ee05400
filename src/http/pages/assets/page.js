// What a page does better with script. Everything works without it.

// A pressed button is not pressed twice. Going back finds the form as it was.
for (const form of document.forms) {
  form.addEventListener("submit", () => {
    form.setAttribute("aria-busy", "true");
    // After the browser has read which button was pressed.
    setTimeout(() => form.querySelectorAll("button").forEach((button) => (button.disabled = true)));
  });
}
addEventListener("pageshow", () => {
  for (const form of document.forms) {
    form.removeAttribute("aria-busy");
    form.querySelectorAll("button").forEach((button) => (button.disabled = false));
  }
});

// A page that is pushed under the pointer between two clicks must not be allowed anything by the second one.
const allow = document.getElementById("consent-allow");
if (allow) {
  let since = performance.now();
  const again = () => (since = performance.now());
  addEventListener("focus", again);
  document.addEventListener("visibilitychange", again);
  allow.addEventListener("click", (event) => {
    if (performance.now() - since < 500) event.preventDefault();
  });
}

// A password can be looked at before it is sent.
for (const button of document.querySelectorAll("button[data-shows]")) {
  const field = document.getElementById(button.dataset.shows);
  button.hidden = false;
  button.addEventListener("click", () => {
    const isShown = field.type === "text";
    field.type = isShown ? "password" : "text";
    button.setAttribute("aria-pressed", String(!isShown));
  });
}

// Times in the viewer's zone.
for (const time of document.querySelectorAll("time[datetime]")) {
  const moment = new Date(time.dateTime);
  if (!isNaN(moment)) {
    time.title = time.textContent;
    time.textContent = moment.toLocaleString(document.documentElement.lang, { dateStyle: "medium", timeStyle: "short" });
  }
}

// Copy buttons; without script the text is there to be selected.
for (const button of document.querySelectorAll("button[data-copies]")) {
  const source = document.getElementById(button.dataset.copies);
  if (!source || !navigator.clipboard) continue;
  button.hidden = false;
  button.addEventListener("click", async () => {
    await navigator.clipboard.writeText(source.textContent);
    const status = document.getElementById("status");
    if (status) status.textContent = button.dataset.done;
  });
}

// Tells the window that opened this one how the sign-in in it ended, and nobody else: the browser compares the origin.
const main = document.getElementById("main");
const { key, value, origin } = main.dataset;
if (origin && window.opener) {
  window.opener.postMessage({ [key]: value }, origin);
  main.dataset.state = "sent";
  document.getElementById("popup-waits").hidden = true;
  document.getElementById("popup-sent").hidden = false;
  window.close();
}

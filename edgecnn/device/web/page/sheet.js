// The sheet of classes: the next three answers first, then all of them.

import { device, post } from "./net.js";
import { $, cameIntoView, make, toast } from "./dom.js";
import { classKeys, pressedClass, showKey } from "./keys.js";

export const NONE = "none of these";
export const FEW = 24; // so many classes need no search, and no further tap to be seen
let done = null;
let keys = new Map(); // of the classes that the sheet shows

export const isOpen = () => $("sheet").open;

// What a person picks: a class's name, NONE, or undefined where the sheet was closed.
export function choose(title, nextLabels = []) {
  $("sheet-title").textContent = title;
  if (nextLabels.length) showNext(nextLabels);
  else showAll();
  const sheet = $("sheet");
  if (!sheet.open) sheet.showModal();
  cameIntoView(sheet);
  const first = sheet.querySelector("#sheet-next button, #sheet-all button");
  (first || $("sheet-cancel")).focus();
  return new Promise((then) => { done = then; });
}

function choice(name) {
  const button = make("button", name, { type: "button" });
  showKey(button, name, keys);
  button.addEventListener("click", () => finish(name));
  return button;
}

function showNext(nextLabels) {
  const { labels } = device.about;
  const others = labels.length > FEW ? [] : labels.filter((name) => !nextLabels.includes(name));
  fill(others, nextLabels);
  $("sheet-next").replaceChildren(...nextLabels.map((name) => choice(name)));
  $("sheet-next").hidden = false;
  $("sheet-all").hidden = !others.length;
  $("sheet-search").hidden = $("sheet-new").hidden = true;
  $("sheet-more").hidden = labels.length <= FEW;
}

function showAll() {
  const labels = device.about.labels;
  $("sheet-next").hidden = $("sheet-more").hidden = true;
  $("sheet-all").hidden = false;
  $("sheet-search").hidden = labels.length <= FEW;
  $("sheet-search").value = "";
  $("sheet-new").hidden = device.about.fixed;
  fill(labels);
}

// Show these classes; those of `before` are shown above them.
function fill(labels, before = []) {
  keys = classKeys(device.about.labels, [...before, ...labels]);
  const all = $("sheet-all");
  all.replaceChildren(...labels.map((name) => choice(name)));
  fitGrid(all, labels);
}

// Columns in which no word breaks; two of them where a name is long.
export function fitGrid(grid, names) {
  const longest = Math.max(0, ...names.flatMap((name) => name.split(/\s+/)).map((word) => word.length));
  grid.toggleAttribute("data-long", names.some((name) => name.length > 8));
  grid.style.setProperty("--word", `calc(${longest} * 0.72em + 16px)`);
}

function finish(value) {
  const then = done;
  done = null;
  if ($("sheet").open) $("sheet").close();
  if (then) cameIntoView($("stage"), $("tabs")); // what it covered
  if (then) then(value);
}

export function setUpSheet() {
  $("sheet-more").addEventListener("click", () => {
    showAll();
    cameIntoView($("sheet-all"));
    const first = $("sheet-all").querySelector("button");
    if (first) first.focus();
  });
  $("sheet-none").addEventListener("click", () => finish(NONE));
  $("sheet-cancel").addEventListener("click", () => finish(undefined));
  $("sheet").addEventListener("close", () => finish(undefined));
  $("sheet-search").addEventListener("input", (event) => {
    const wanted = event.target.value.trim().toLowerCase();
    fill(device.about.labels.filter((name) => name.toLowerCase().includes(wanted)));
  });
  $("sheet").addEventListener("keydown", (event) => {
    const name = pressedClass(event, keys);
    if (name !== undefined) finish(name);
  });
  $("sheet-new").addEventListener("submit", async (event) => {
    event.preventDefault();
    const name = $("sheet-name").value.trim();
    const reply = await post("/api/classes", { name });
    if (!reply || !reply.ok) return toast(reply ? reply.data : "The device does not answer");
    device.about = reply.data;
    $("sheet-name").value = "";
    document.dispatchEvent(new Event("classes"));
    return finish(name);
  });
}

// Small helpers for the document.

export const $ = (id) => document.getElementById(id);

export function make(tag, text = "", props = {}) {
  const node = Object.assign(document.createElement(tag), props);
  node.textContent = text;
  return node;
}

let timer = 0;
export function toast(text) {
  const box = $("toast");
  box.textContent = text;
  box.dataset.on = "1";
  clearTimeout(timer);
  timer = setTimeout(() => delete box.dataset.on, 2500);
}

// What just came into view is marked as new: a tap or key that comes so early was meant for what
// was there before, such as the frame that a double tap on "Right" was about.
const SEEN_MS = 300; // nobody chooses at sight more quickly
const marks = new Map();
let wasEarly = false;

export function cameIntoView(...boxes) {
  for (const box of boxes) {
    box.dataset.new = "1";
    clearTimeout(marks.get(box));
    marks.set(box, setTimeout(() => { marks.delete(box); delete box.dataset.new; }, SEEN_MS));
  }
}

export const isNew = (node) => node.closest("[data-new]") !== null;
export const sayTooEarly = () => toast("Too quick: that had just come into view");

export function refuseEarlyTaps() {
  addEventListener("pointerdown", (event) => { wasEarly = isNew(event.target); }, true);
  addEventListener("click", (event) => {
    const node = event.target;
    const early = node.closest("button") && ((wasEarly && event.detail) || isNew(node));
    wasEarly = false;
    if (!event.isTrusted || !early) return; // the page presses its own buttons at any time
    event.stopPropagation();
    event.preventDefault();
    sayTooEarly();
  }, true);
}

export const sleep = (ms) => new Promise((then) => setTimeout(then, ms));

// Show a picture in an <img>; the URL of the one before is given back to the browser.
export function showPicture(img, url) {
  const before = img.src;
  img.src = url;
  img.hidden = false;
  if (before.startsWith("blob:") && before !== url && img.dataset.keep !== before) {
    URL.revokeObjectURL(before);
  }
}

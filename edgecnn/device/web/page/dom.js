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

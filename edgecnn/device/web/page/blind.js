// Blind mode: the device sends no answers, and a label counts as blind only where none came.

const KEY = "edgecnn.blind";
const MOST = 20000;
let on = localStorage.getItem(KEY) === "1";
const seen = new Set(); // frames whose answer this page was sent

export const isBlind = () => on;

export function setBlind(value) {
  on = value;
  localStorage.setItem(KEY, on ? "1" : "0");
}

// The address with the wish to get no answers.
export const veiled = (path) => (on ? `${path}${path.includes("?") ? "&" : "?"}blind=1` : path);

export function noteSeen(card) {
  if (card.answer === undefined) return card;
  seen.add(`${card.run || ""} ${card.frame}`);
  if (seen.size > MOST) seen.delete(seen.values().next().value);
  return card;
}

export const isUnseen = (card) => !seen.has(`${card.run || ""} ${card.frame}`);

// The film strip: the last frames, several chosen at once.

import { device, getJson, getLook } from "./net.js";
import { $, make, sleep } from "./dom.js";

const EVERY_MS = 900;
const cards = new Map(); // frame -> { button, card }
const picked = new Set();
let onPick = () => {};

export const chosen = () =>
  [...cards.values()].filter((one) => picked.has(one.card.frame)).map((one) => one.card);

export function clearChosen() {
  picked.clear();
  for (const { button } of cards.values()) button.setAttribute("aria-pressed", "false");
  draw();
}

function draw() {
  $("chosen").hidden = !picked.size;
  $("chosen-count").textContent = picked.size || "";
  onPick();
}

async function add(card) {
  const look = await getLook(`/api/frames/${card.frame}.jpg`);
  if (!look || cards.has(card.frame)) return;
  const said = device.about.labels[card.answer];
  const img = make("img", "", { src: look.url, alt: `Frame ${card.frame}, the model says ${said}` });
  const button = make("button", "", { type: "button" });
  button.setAttribute("aria-pressed", "false");
  button.append(img);
  button.addEventListener("click", () => {
    if (!picked.delete(card.frame)) picked.add(card.frame);
    button.setAttribute("aria-pressed", String(picked.has(card.frame)));
    draw();
  });
  cards.set(card.frame, { button, card, url: look.url });
  const strip = $("strip");
  const atEnd = strip.scrollLeft + strip.clientWidth > strip.scrollWidth - 100;
  strip.append(button);
  if (atEnd) strip.scrollLeft = strip.scrollWidth;
}

async function step() {
  const idle = document.hidden || $("panel-label").hidden || $("strip").offsetParent === null;
  if (idle || picked.size) return; // what a finger chooses stays where it is
  const found = await getJson("/api/strip");
  if (!found) return;
  const now = new Set(found.strip.map((card) => card.frame));
  for (const [frame, one] of cards) {
    if (now.has(frame)) continue;
    one.button.remove();
    URL.revokeObjectURL(one.url);
    cards.delete(frame);
  }
  for (const card of found.strip.slice(-8)) if (!cards.has(card.frame)) await add(card);
}

export async function setUpStrip(then) {
  onPick = then;
  if (device.about.mode !== "live") return;
  for (;;) {
    await step().catch(() => null);
    await sleep(EVERY_MS);
  }
}

// The film strip: the last frames, several chosen at once.

import { device, getJson, getLook } from "./net.js";
import { isBlind, noteSeen, veiled } from "./blind.js";
import { $, cameIntoView, make, sleep } from "./dom.js";

const EVERY_MS = 900;
const cards = new Map(); // frame -> { button, card }
const picked = new Set();
let held = false; // a finger is on the strip
let onPick = () => {};

export const chosen = () =>
  [...cards.values()].filter((one) => picked.has(one.card.frame)).map((one) => one.card);

// Shown pictures go, so that those of blind mode come without answers, and others with.
export function forgetStrip() {
  for (const frame of [...cards.keys()]) drop(frame);
  clearChosen();
}

function drop(frame) {
  const { button, url } = cards.get(frame);
  button.remove();
  URL.revokeObjectURL(url);
  cards.delete(frame);
}

// What a finger chooses stays where it is.
const isStill = () => held || picked.size > 0;

export function clearChosen() {
  picked.clear();
  for (const { button } of cards.values()) button.setAttribute("aria-pressed", "false");
  draw();
}

function draw() {
  if ($("chosen").hidden !== !picked.size) cameIntoView($("tools"), $("chosen")); // one takes the other's place
  $("chosen").hidden = !picked.size;
  $("chosen-right").hidden = chosen().some((card) => card.answer === undefined);
  $("chosen-count").textContent = picked.size || "";
  onPick();
}

async function add(card, blind) {
  if (document.hidden || isStill()) return;
  const look = await getLook(`/api/frames/${card.frame}.jpg`);
  if (!look || isStill() || cards.has(card.frame) || blind !== isBlind()) return;
  const said = card.answer === undefined ? "" : `, the model says ${device.about.labels[card.answer]}`;
  const img = make("img", "", { src: look.url, alt: `Frame ${card.frame}${said}` });
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
  cameIntoView(button);
  if (atEnd) strip.scrollLeft = strip.scrollWidth;
}

async function step() {
  const idle = document.hidden || $("panel-label").hidden || $("strip").offsetParent === null;
  if (idle || isStill()) return;
  const blind = isBlind();
  const found = await getJson(veiled("/api/strip"));
  if (!found || isStill() || blind !== isBlind()) return;
  const now = new Set(found.strip.map((card) => card.frame));
  for (const frame of [...cards.keys()]) if (!now.has(frame)) drop(frame);
  for (const card of found.strip.slice(-8)) if (!cards.has(card.frame)) await add(noteSeen({ ...card, run: device.about.run }), blind);
}

export async function setUpStrip(then) {
  onPick = then;
  if (device.about.mode !== "live") return;
  $("strip").addEventListener("pointerdown", () => { held = true; });
  for (const name of ["pointerup", "pointercancel"]) {
    addEventListener(name, () => setTimeout(() => { held = false; }, 0));
  }
  for (;;) {
    await step().catch(() => null);
    await sleep(EVERY_MS);
  }
}

// "From now on: X": every frame from one that was shown to another that was shown.

import { isUnseen } from "./blind.js";
import { give, person } from "./outbox.js";
import { $, toast } from "./dom.js";

const SEND_MS = 1000;
let now = null; // { label, run, first, last, sentAt, unseen, ids, items, begin, count }
let remember = () => {};

export const isStretching = () => now !== null;

export function startStretch(label, card) {
  now = { label, run: null, first: null, last: null, sentAt: 0, unseen: true, ids: [], items: [], begin: 0, count: 0 };
  $("stretch-label").textContent = label;
  $("stretch").hidden = false;
  document.body.dataset.stretch = "1";
  if (card) stretchShown(card);
  draw();
}

// A live frame is on the screen: the stretch reaches to it.
export function stretchShown(card) {
  if (now.run !== null && now.run !== card.run) return endStretch("The run ended");
  if (now.last !== null && card.frame <= now.last) return undefined; // no new frame: a camera is silent, a video over
  if (now.first === null) Object.assign(now, { first: card.frame, run: card.run, begin: card.nth });
  now.last = card.frame;
  now.count = card.nth - now.begin + 1; // a camera's numbers have gaps: frames that were dropped
  now.unseen = now.unseen && isUnseen(card);
  if (Date.now() - now.sentAt >= SEND_MS) send();
  return draw();
}

function send() {
  if (!now || now.first === null || now.last < now.first) return;
  const item = { frame: now.first, last: now.last, via: "stretch", run: now.run };
  const said = { ...item, unseen: now.unseen, by: person() };
  now.ids.push(give({ ...said, label: now.label }));
  now.items.push(said);
  now.first = now.last + 1;
  now.unseen = true;
  now.sentAt = Date.now();
}

const frames = (count) => (count === 1 ? "1 frame" : `${count} frames`);

function draw() {
  if (!now) return;
  $("stretch-count").textContent = `(${frames(now.count)})`;
}

export function endStretch(why = "") {
  if (!now) return;
  send();
  const ended = now;
  now = null;
  $("stretch").hidden = true;
  delete document.body.dataset.stretch;
  if (ended.ids.length) remember({ ids: ended.ids, items: ended.items });
  toast(why || `${frames(ended.count)} labelled ${ended.label}`);
}

export function setUpStretch(onEnd) {
  remember = onEnd;
  $("stretch-end").addEventListener("click", () => endStretch());
  // Nobody watches a hidden page, so nobody can say what its frames show.
  document.addEventListener("visibilitychange", () => {
    if (document.hidden) endStretch("It ended when the page was hidden");
  });
  addEventListener("pagehide", () => endStretch());
}

// "From now on: X": every frame from one that was shown to another that was shown.

import { isUnseen } from "./blind.js";
import { give, person } from "./outbox.js";
import { $, toast } from "./dom.js";

const SEND_MS = 1000;
let now = null; // { label, run, first, last, sentAt, unseen, ids, items, count }
let remember = () => {};

export const isStretching = () => now !== null;

export function startStretch(label, card) {
  now = { label, run: null, first: null, last: null, sentAt: 0, unseen: true, ids: [], items: [], count: 0 };
  $("stretch-label").textContent = label;
  $("stretch").hidden = false;
  document.body.dataset.stretch = "1";
  if (card) stretchShown(card);
  draw();
}

// A live frame is on the screen: the stretch reaches to it.
export function stretchShown(card) {
  if (now.run !== null && now.run !== card.run) return endStretch("The run ended");
  if (now.first === null || card.frame < now.first) Object.assign(now, { first: card.frame, run: card.run });
  now.last = card.frame;
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
  now.count += now.last - now.first + 1;
  now.first = now.last + 1;
  now.unseen = true;
  now.sentAt = Date.now();
}

function draw() {
  if (!now) return;
  const open = now.first === null ? 0 : now.last - now.first + 1;
  $("stretch-count").textContent = `(${now.count + open} frames)`;
}

export function endStretch(why = "") {
  if (!now) return;
  send();
  const ended = now;
  now = null;
  $("stretch").hidden = true;
  delete document.body.dataset.stretch;
  if (ended.ids.length) remember({ ids: ended.ids, items: ended.items });
  toast(why || `${ended.count} frames are labelled ${ended.label}`);
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

// The first tab: one frame, one answer, one thumb.

import { device, getJson, getLook } from "./net.js";
import { isBlind, isUnseen, noteSeen, setBlind, veiled } from "./blind.js";
import outbox, { give, isOnItsWay, person, takeBack } from "./outbox.js";
import { $, cameIntoView, isNew, make, refuseEarlyTaps, sayTooEarly, showPicture, sleep, toast } from "./dom.js";
import { classKeys, pressedClass, showKey } from "./keys.js";
import { choose, FEW, fitGrid, isOpen, NONE } from "./sheet.js";
import { chosen, clearChosen, forgetStrip, setUpStrip } from "./strip.js";
import { isStretching, setUpStretch, startStretch, stretchShown } from "./stretch.js";

const LIVE_MS = 220;
const QUESTION_MS = 700;
const MOST_UNDO = 50;
// The frame on the screen: { frame, answer, next, confidence, age, run, url, origin }.
let card = null;
let touched = false;
let wantsLive = false;
let finished = false; // no frame is left to ask about
const given = []; // what undo takes back, the newest last

const labels = () => device.about.labels;
const hasAnswer = () => card && card.answer !== undefined;
const picksClass = () => isBlind() || device.about.mode === "folder" || (card && !hasAnswer());
const isBusy = () => touched || isOpen();

function show(next) {
  const goesOn = card && next && card.origin === "live" && next.origin === "live" && card.answer === next.answer;
  card = next;
  finished = false;
  $("empty").hidden = Boolean(card);
  if (!card) $("picture").hidden = true;
  else showPicture($("picture"), card.url);
  $("picture").alt = card ? card.note || `Frame ${card.name || card.frame}` : $("empty").textContent;
  render();
  if (!card || goesOn) return; // a film that goes on with the same answer is seen already
  const arrived = () => cameIntoView($("verdict"), $("grid-box"));
  arrived();
  $("picture").decode().then(arrived, () => null); // or another frame took its place
}

function render() {
  const says = $("says");
  says.replaceChildren();
  says.toggleAttribute("data-long", labels().some((name) => name.length > 12));
  if (card && picksClass()) says.append("What is it?");
  else if (card) {
    const sure = make("span", ` ${Math.round(100 * card.confidence)} %`, { className: "sure" });
    says.append("Model says ", make("b", labels()[card.answer]), sure);
  }
  $("origin").textContent = card ? origin() : "";
  $("verdict").hidden = finished || Boolean(picksClass());
  $("grid-box").hidden = finished || !picksClass(); // it stays from frame to frame: nothing jumps
  $("grid-box").inert = !card;
  $("right").disabled = $("wrong").disabled = $("cant").disabled = !card;
  $("undo").disabled = !given.length;
  $("blind").hidden = device.about.mode === "folder";
  $("blind").setAttribute("aria-pressed", String(isBlind()));
  $("from-now").hidden = $("toggle-live").hidden = $("strip").hidden = device.about.mode !== "live";
  $("from-now").disabled = isStretching();
  $("toggle-live").setAttribute("aria-pressed", String(wantsLive));
}

function origin() {
  // What a person picks is no sample; a stretch is one.
  if (card.origin === "live") return `Live, frame ${card.frame}${isStretching() ? "" : ", not in the live accuracy"}`;
  const what = card.note || (card.name ? card.name : `Random frame ${card.frame}`);
  return card.age === undefined ? what : `${what}, ${ago(card.age)} ago`;
}

const ago = (s) => (s < 90 ? `${Math.round(s)} s` : s < 5400 ? `${Math.round(s / 60)} min` : `${Math.round(s / 3600)} h`);

function fillGrid() {
  const keys = classKeys(labels());
  const button = (name) => {
    const one = make("button", name, { type: "button" });
    showKey(one, name, keys);
    one.addEventListener("click", () => label(name));
    return one;
  };
  const all = device.about.labels.map(button);
  const isMany = all.length > FEW; // nobody scrolls through hundreds
  if (isMany || !device.about.fixed) {
    const add = make("button", isMany ? "Find a class" : "+ class", { type: "button", id: "grid-add" });
    add.addEventListener("click", async () => {
      const name = await choose("Which class?");
      if (name !== undefined) label(name);
    });
    all.splice(isMany ? 0 : all.length, 0, add);
  }
  $("grid").replaceChildren(...all);
  fitGrid($("grid"), labels());
}

// Give the frame on the screen its label; null says "can't tell".
function label(name) {
  if (!card) return;
  const now = card;
  card = null;
  const item = { frame: now.frame, via: now.via, unseen: isUnseen(now), run: now.run, by: person() };
  remember({ ids: [give({ ...item, label: name })], items: [item], card: now });
  if (navigator.vibrate) navigator.vibrate(10);
  $("picture").dataset.keep = now.url;
  render();
  wake();
}

// After a blind label the device says what the model's answer was.
function reveal(item, answer) {
  noteSeen({ frame: item.frame, run: item.run, answer });
  const said = labels()[answer];
  toast(`${item.label === said ? "✓" : "✗"} The model said ${said}`);
}

function remember(entry) {
  given.push(entry);
  if (given.length > MOST_UNDO) {
    const old = given.shift();
    if (old.card) URL.revokeObjectURL(old.card.url);
  }
}

// A label that the device has already is withdrawn; the frame is asked about again.
function undo() {
  const entry = given.pop();
  if (!entry) return;
  for (const [k, id] of entry.ids.entries()) {
    if (takeBack(id)) continue;
    give({ ...entry.items[k], label: null, withdrawn: true }); // it has no label until somebody gives one
  }
  if (entry.card) show(entry.card);
  else render();
  toast("Taken back");
}

async function wrong() {
  if (!card) return;
  const name = await choose("What is it really?", card.next.map((k) => labels()[k]));
  if (name !== undefined) label(name);
}

async function fromNow() {
  const first = card && card.origin === "live" ? card : null;
  const name = await choose("From now on, every frame shows");
  if (name === undefined) return;
  wantsLive = false;
  startStretch(name, first);
  card = null;
  render();
  wake();
}

async function labelChosen(right) {
  const picked = chosen();
  if (!picked.length) return;
  const name = right ? null : await choose(`What do these ${picked.length} frames show?`);
  if (name === undefined) return;
  const where = picked.map((one) => ({ frame: one.frame, run: device.about.run }));
  const items = where.map((one) => ({ ...one, via: "strip", unseen: isUnseen(one), by: person() }));
  const ids = items.map((item, k) => give({ ...item, label: right ? labels()[picked[k].answer] : name }));
  remember({ ids, items });
  clearChosen();
  toast(`${picked.length} labelled`);
  render();
}

let waker = null;
function wake() {
  if (waker) waker();
}
const pause = (ms) => new Promise((then) => {
  waker = then;
  setTimeout(then, ms);
});

// One round: what to show next, and how long to wait until then.
async function step() {
  if (document.hidden || $("panel-label").hidden || !device.about) return 300;
  if (isBusy()) return 100;
  const live = device.about.mode === "live";
  if (live && (isStretching() || wantsLive)) return showLive();
  if (card && card.origin !== "live") return QUESTION_MS;
  const found = await getJson(veiled(`/api/question?by=${encodeURIComponent(person())}`));
  if (!found) return 1000;
  if (found.question && isOnItsWay(found.question.frame)) return 200; // a slow network: asked too early
  if (found.question && !isBusy()) return showQuestion(found.question);
  if (!found.question && (!live || device.over)) {
    $("empty").textContent = live ? "The recording is over, and no random frame is left." : "Every frame has its label.";
    if (finished) return 1500;
    show(null);
    finished = true;
    render();
    return 1500;
  }
  return live ? showLive() : 300;
}

async function showQuestion(question) {
  const look = await getLook(`/api/frames/${question.frame}.jpg`);
  if (!look) return device.alive ? 100 : 1000; // an image that can't be read: another is asked next
  if (isBusy() || isStretching()) return 100;
  const via = device.about.mode === "live" ? "page" : "label";
  show(noteSeen({ ...question, url: look.url, run: device.about.run, via }));
  return QUESTION_MS;
}

async function showLive() {
  const look = await getLook(veiled("/api/live.jpg"));
  if (!look) return 1000;
  if (isBusy() || document.hidden) return 100;
  show(noteSeen({ ...look.about, url: look.url, origin: "live", run: device.about.run, via: "page" }));
  if (isStretching()) stretchShown(card);
  return LIVE_MS;
}

const KEYS = {
  r: () => !$("verdict").hidden && card && label(labels()[card.answer]),
  w: () => !$("verdict").hidden && wrong(),
  c: () => label(null),
  n: () => label(NONE),
  u: undo,
  b: () => $("blind").click(),
  l: () => $("toggle-live").click(),
};

// A key that is held down labels one frame, not those after it too, which nobody looked at.
function onKey(event) {
  if (event.repeat && event.key === "Enter") event.preventDefault(); // it presses the button in focus
  const typing = event.target.closest("input, select, textarea, dialog");
  if (typing || event.repeat || event.ctrlKey || event.metaKey || event.altKey || $("panel-label").hidden) return;
  const name = $("grid-box").hidden ? undefined : pressedClass(event, classKeys(labels()));
  const key = event.key.toLowerCase();
  if (name === undefined && !KEYS[key]) return;
  if (card && (name !== undefined || "rwcn".includes(key)) && [$("verdict"), $("grid-box")].some(isNew)) sayTooEarly();
  else if (name !== undefined) label(name);
  else KEYS[key]();
}

export async function setUpLabel() {
  fillGrid();
  refuseEarlyTaps();
  setUpStrip(() => { $("tools").hidden = chosen().length > 0; });
  setUpStretch(remember);
  outbox.onSaid = reveal;
  $("right").addEventListener("click", () => card && label(labels()[card.answer]));
  $("wrong").addEventListener("click", wrong);
  for (const id of ["cant", "grid-cant"]) $(id).addEventListener("click", () => label(null));
  $("grid-none").addEventListener("click", () => label(NONE));
  $("undo").addEventListener("click", undo);
  $("from-now").addEventListener("click", fromNow);
  $("chosen-right").addEventListener("click", () => labelChosen(true));
  $("chosen-label").addEventListener("click", () => labelChosen(false));
  $("chosen-clear").addEventListener("click", clearChosen);
  $("blind").addEventListener("click", () => {
    setBlind(!isBlind());
    if (!isBlind() && card && !hasAnswer()) card = null; // ask for it again, with its answer
    else if (isBlind() && hasAnswer()) toast("You saw this answer: blind from the next frame");
    forgetStrip();
    render();
    wake();
  });
  $("toggle-live").addEventListener("click", () => {
    wantsLive = !wantsLive;
    if (card && (card.origin === "live") !== wantsLive) card = null;
    render();
    wake();
  });
  // Frozen while touched: the frame under the finger is the one that gets the label.
  for (const id of ["stage"]) $(id).addEventListener("pointerdown", () => { touched = true; });
  for (const name of ["pointerup", "pointercancel"]) {
    addEventListener(name, () => setTimeout(() => { touched = false; }, 0));
  }
  addEventListener("keydown", onKey);
  document.addEventListener("classes", fillGrid);
  document.addEventListener("visibilitychange", wake);
  render();
  for (;;) await pause(await step().catch(() => 1000));
}

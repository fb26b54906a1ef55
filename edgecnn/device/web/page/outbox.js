// Labels wait in the browser's storage until the device has them: none is lost, and each has an
// id, so that one that is sent again counts once.

import { device, now, post } from "./net.js";

const PREFIX = "edgecnn.label.";
const BATCH = 50;
const letters = (count) =>
  [...crypto.getRandomValues(new Uint8Array(count))].map((b) => (b % 36).toString(36)).join("");

export function person() {
  let name = localStorage.getItem("edgecnn.by");
  if (!name) localStorage.setItem("edgecnn.by", (name = `phone-${letters(4)}`));
  return name;
}
// The device refuses what can't be printed, such as what joins the parts of an emoji.
export const setPerson = (name) => {
  const plain = name.replace(/\p{Z}/gu, " ").replace(/\p{C}/gu, "").trim();
  localStorage.setItem("edgecnn.by", plain || `phone-${letters(4)}`);
};

const outbox = { busy: false, onChange: () => {}, onRefused: () => {}, onSaid: () => {}, onState: () => {}, held: new Map() };
export default outbox;

function keys() {
  const found = new Set(outbox.held.keys());
  for (let k = 0; k < localStorage.length; k++) {
    const key = localStorage.key(k);
    if (key.startsWith(PREFIX)) found.add(key);
  }
  return [...found].sort();
}
export const waiting = () => keys().length;

function read(key) {
  if (outbox.held.has(key)) return outbox.held.get(key);
  try {
    const text = localStorage.getItem(key); // null where another page of this browser sent it
    return text === null ? null : { ...JSON.parse(text), id: key.slice(PREFIX.length) };
  } catch {
    return null;
  }
}
// Whether a label of this frame is on its way.
export const isOnItsWay = (frame) =>
  keys().some((key) => {
    const item = read(key);
    return item && item.frame === frame && item.run === device.about.run && !item.withdrawn;
  });

function remove(key) {
  outbox.held.delete(key);
  localStorage.removeItem(key);
}

// Queue a label: { frame, last?, label, via, unseen, withdrawn?, by? }; returns its id.
export function give(item) {
  const at = now();
  const id = `${at.toString(36)}-${letters(12)}`;
  const full = { ...item, id, at, by: item.by || person(), run: item.run || device.about.run };
  try {
    localStorage.setItem(PREFIX + id, JSON.stringify(full));
  } catch {
    outbox.held.set(PREFIX + id, full); // the storage is full or forbidden: keep it in memory
  }
  outbox.onChange();
  flush();
  return id;
}

// Take a label back before it is sent; false when it is gone already.
export function takeBack(id) {
  if (outbox.busy || !keys().includes(PREFIX + id)) return false;
  remove(PREFIX + id);
  outbox.onChange();
  return true;
}

export async function flush() {
  if (outbox.busy || !device.about) return;
  outbox.busy = true;
  const tried = new Set(); // what the device can't keep now waits, and nothing waits behind it
  try {
    for (let batch = next(tried); batch.length; batch = next(tried)) {
      const reply = await post("/api/labels", { labels: batch.map((one) => one.item) });
      if (!reply || [403, 429].includes(reply.status) || reply.status >= 500) break;
      if (!reply.ok) {
        batch.forEach((one) => remove(one.key)); // it can never be taken
        outbox.onRefused(reply.data);
        continue;
      }
      for (const { item } of batch) {
        if (item.id in reply.data.said) outbox.onSaid(item, reply.data.said[item.id]);
      }
      reply.data.done.forEach((id) => remove(PREFIX + id));
      reply.data.refused.forEach((one) => {
        remove(PREFIX + one.id);
        outbox.onRefused(one.why);
      });
      if (reply.data.later) outbox.onRefused(reply.data.later);
      outbox.onState(reply.data.state);
    }
  } finally {
    outbox.busy = false;
    outbox.onChange();
  }
}

function next(tried) {
  const batch = [];
  for (const key of keys().filter((one) => !tried.has(one)).slice(0, BATCH)) {
    tried.add(key);
    const item = read(key);
    if (item) batch.push({ key, item });
    else remove(key);
  }
  return batch;
}

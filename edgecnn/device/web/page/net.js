// Requests to the device: the token becomes a cookie, writes carry its mark.

export const device = { about: null, clock: 0, mark: "", alive: false, locked: false, over: false };
const listeners = { alive: [], locked: [] };
export const on = (name, then) => listeners[name].push(then);
const tell = (name, value) => listeners[name].forEach((then) => then(value));

function setAlive(alive) {
  if (device.alive !== alive) tell("alive", (device.alive = alive));
}

async function ask(path, options = {}) {
  const stop = new AbortController();
  const timer = setTimeout(() => stop.abort(), 10000);
  try {
    const reply = await fetch(path, { ...options, signal: stop.signal, cache: "no-store" });
    if (reply.status === 401) {
      device.locked = true;
      tell("locked", await reply.text());
      return null;
    }
    setAlive(true);
    return reply;
  } catch {
    setAlive(false);
    return null;
  } finally {
    clearTimeout(timer);
  }
}

export async function getJson(path) {
  const reply = await ask(path);
  if (!reply || !reply.ok) return null;
  return reply.json().catch(() => null);
}

// The picture as a URL, and what the device says of it; null where there is none.
export async function getLook(path) {
  const reply = await ask(path);
  if (!reply || reply.status !== 200) return null; // 204: there is no such picture now
  const blob = await reply.blob().catch(() => null);
  if (!blob) return null;
  const about = reply.headers.get("x-edgecnn-look");
  return { url: URL.createObjectURL(blob), about: about ? JSON.parse(about) : {} };
}

// { ok, status, data } or null where the device can't be reached.
export async function post(path, data) {
  const headers = { "content-type": "application/json", "x-edgecnn-mark": device.mark };
  const reply = await ask(path, { method: "POST", headers, body: JSON.stringify(data) });
  if (!reply) return null;
  const text = await reply.text().catch(() => "");
  let found = text.trim();
  if (reply.ok) found = JSON.parse(text);
  return { ok: reply.ok, status: reply.status, data: found };
}

// The token of the link, if there is one, for a cookie; then what the device is.
export async function enter() {
  const token = location.hash.slice(1);
  if (token) {
    history.replaceState(null, "", location.pathname);
    const reply = await post("/api/enter", { token });
    if (reply && !reply.ok) tell("locked", reply.data);
    if (device.locked || (reply && !reply.ok)) return null; // the reason on the page stays
    if (!reply) location.hash = token; // the device is away: try again later
  }
  const about = await getJson("/api/about");
  if (about) {
    device.about = about;
    device.mark = about.mark;
  }
  return about;
}

export const setClock = (ms) => { device.clock = ms - Date.now(); };
export const now = () => Math.round(Date.now() + device.clock);

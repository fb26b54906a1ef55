// Starts the page: entry, tabs, colours, and the figures once a second.

import { device, enter, getJson, on, setClock } from "./net.js";
import outbox, { flush, person, setPerson, waiting } from "./outbox.js";
import { $, make, sleep, toast } from "./dom.js";
import { drawBars } from "./bars.js";
import { setUpSheet } from "./sheet.js";
import { setUpLabel } from "./label.js";
import { setUpCamera } from "./camera.js";

const STATE_MS = 1000;

function drawNet() {
  const queued = waiting();
  const net = $("net");
  net.toggleAttribute("data-bad", !device.alive);
  const labels = queued === 1 ? "1 label" : `${queued} labels`;
  if (!device.alive) $("health").textContent = "The device does not answer."; // what it said is old
  if (!device.alive) net.textContent = queued ? `✗ Away, ${labels} kept` : "✗ Reconnecting";
  else net.textContent = queued ? `Sending ${labels}` : "✓ Connected";
}

function drawState(state) {
  if (!state) return;
  if (state.time) setClock(state.time);
  device.over = Boolean(state.over); // no frame comes any more
  drawBars(device.about, state);
  $("health").textContent = state.health || "";
  $("alarm").hidden = !state.alarm;
  $("alarm").textContent = state.alarm || "";
  $("warning").hidden = !state.warning;
  $("warning").textContent = state.warning || "";
  const live = state.live;
  const parts = [];
  if (live && live.total) parts.push(`Live accuracy: ${live.text}.`);
  else if (device.about.mode !== "folder") parts.push("No label counts yet."); // a folder has no accuracy
  if (state.alike) parts.push(state.alike.text);
  if (state.left !== undefined) parts.push(state.left === 1 ? "1 frame is left." : `${state.left} frames are left.`);
  $("labels-line").textContent = parts.join(" ");
}

function setTheme(name) {
  localStorage.setItem("edgecnn.theme", name);
  const dark = name === "dark" || (name === "auto" && matchMedia("(prefers-color-scheme: dark)").matches);
  document.documentElement.dataset.theme = dark ? "dark" : "light";
  for (const one of $("themes").children) {
    one.setAttribute("aria-pressed", String(one.dataset.themeName === name));
  }
}

let drawn = "";
async function drawSessions() {
  const found = await getJson("/api/sessions");
  if (!found) return;
  $("no-sessions").hidden = found.sessions.length > 0;
  if (JSON.stringify(found) === drawn) return; // a finger may be on a link
  drawn = JSON.stringify(found);
  const rows = found.sessions.map((one) => {
    const link = make("a", "", { href: `/api/sessions/${encodeURIComponent(one.name)}.zip`, download: "" });
    const megabytes = `${(one.bytes / 1e6).toFixed(1)} MB`;
    link.append(make("span", one.name), make("small", `${one.open ? "recording, " : ""}${megabytes}, download`));
    const row = make("li");
    row.append(link);
    return row;
  });
  $("sessions").replaceChildren(...rows);
}

function openTab(name) {
  for (const tab of document.querySelectorAll("[role=tab]")) {
    const mine = tab.id === `go-${name}`;
    tab.setAttribute("aria-selected", String(mine));
    tab.tabIndex = mine ? 0 : -1;
    $(tab.getAttribute("aria-controls")).hidden = !mine;
  }
  document.dispatchEvent(new Event("tab"));
  if (name === "status" && !$("recorded").hidden) drawSessions();
}

function setUpTabs() {
  $("recorded").hidden = !device.about.tabs.includes("camera"); // what is recorded already is labelled
  const tabs = [...document.querySelectorAll("[role=tab]")].filter((tab) => {
    tab.hidden = !device.about.tabs.includes(tab.id.slice(3));
    return !tab.hidden;
  });
  tabs.forEach((tab, k) => {
    tab.addEventListener("click", () => openTab(tab.id.slice(3)));
    tab.addEventListener("keydown", (event) => {
      const step = { ArrowRight: 1, ArrowLeft: -1 }[event.key];
      if (!step) return;
      const next = tabs[(k + step + tabs.length) % tabs.length];
      next.focus();
      next.click();
    });
  });
  $("tabs").hidden = tabs.length < 2;
}

function lock(why) {
  for (const panel of document.querySelectorAll("[role=tabpanel]")) panel.hidden = true;
  $("panel-enter").hidden = false;
  $("tabs").hidden = true;
  $("net").textContent = "✗ Locked";
  if (why) $("enter-why").textContent = why;
}

async function watch() {
  for (;;) {
    if (!document.hidden) {
      const state = await getJson("/api/state");
      if (state && state.run !== device.about.run) await meetAgain();
      if (state && state.bundle !== device.about.bundle) {
        Object.assign(device.about, await getJson("/api/about")); // another bundle took over
        showName();
      }
      drawState(state);
      drawNet();
      if (state && waiting()) await flush();
      if (!$("panel-status").hidden) await drawSessions();
    }
    await sleep(STATE_MS);
  }
}

// In the title too: whoever looks after several devices has a tab for each.
function showName() {
  $("name").textContent = device.about.name;
  document.title = `edgecnn ${device.about.name}`;
}

// Another run answers, whose frames have other numbers: queued labels keep the name of theirs.
async function meetAgain() {
  await flush();
  location.reload();
}

async function start() {
  setTheme(localStorage.getItem("edgecnn.theme") || "auto");
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => {
    setTheme(localStorage.getItem("edgecnn.theme") || "auto");
  });
  $("themes").addEventListener("click", (event) => {
    if (event.target.dataset.themeName) setTheme(event.target.dataset.themeName);
  });
  let locked = false;
  on("locked", (why) => { locked = true; lock(why); });
  on("alive", drawNet);
  while (!(await enter())) {
    if (locked) return;
    drawNet();
    await sleep(STATE_MS);
  }
  showName();
  $("by").value = person();
  $("by").addEventListener("change", () => setPerson($("by").value));
  outbox.onChange = drawNet;
  outbox.onState = drawState;
  outbox.onRefused = (why) => toast(`Not counted: ${why}`);
  setUpTabs();
  setUpSheet();
  setUpLabel();
  if (device.about.tabs.includes("camera")) setUpCamera();
  drawBars(device.about, null);
  watch();
}

start();

// The second tab: sharpness, exposure, framing beside the lab's, and the region drawn by finger.

import { device, getLook, post } from "./net.js";
import { $, make, showPicture, sleep, toast } from "./dom.js";

const EVERY_MS = 220;
const MOST_ASPECT = 3;
let ofBundle = null; // whose lab pictures are offered
let size = null; // of the captured frame: [width, height]
let region = null; // [x, y, width, height] in its pixels; null is the whole frame
let rotate = 0;
let flip = null; // of the run; the page can't change it
let touchedView = false;
let draft = false; // the typed numbers are no region yet, and stay as they are
let peak = 0;
let start = null;

function light(about) {
  if (about.bright > 0.1) return "too bright";
  if (about.dark > 0.5 || about.mean < 0.15) return "too dark";
  return about.mean > 0.85 ? "bright" : "good";
}

function drawMeters(about) {
  peak = Math.max(peak, about.sharpness);
  const share = peak ? about.sharpness / peak : 0;
  const [band, point] = $("meter-sharp").querySelectorAll("i");
  band.style.width = `${100 * share}%`;
  point.style.left = "100%";
  $("sharp").textContent = `${Math.round(100 * share)} % of best`;
  $("meter-light").querySelector("i").style.left = `${100 * about.mean}%`;
  $("light").textContent = `${Math.round(100 * about.mean)} %, ${light(about)}`;
}

function drawRegion() {
  const box = $("region");
  box.hidden = !region || !size;
  for (const [k, name] of ["x", "y", "w", "h"].entries()) {
    const field = $(`roi-${name}`);
    if (!draft && document.activeElement !== field) field.value = region ? region[k] : "";
  }
  $("degrees").textContent = rotate;
  if (box.hidden) return;
  const img = $("camera");
  const [across, down] = [img.clientWidth / size[0], img.clientHeight / size[1]];
  const [x, y, w, h] = region.map((value, k) => value * (k % 2 ? down : across));
  Object.assign(box.style, {
    left: `${img.offsetLeft + x}px`, top: `${img.offsetTop + y}px`, width: `${w}px`, height: `${h}px`,
  });
}

// What the model would see: the region, turned, at the model's own shape.
function drawCrop() {
  const img = $("camera");
  if (!size || !img.naturalWidth) return;
  const canvas = $("crop");
  const shape = device.about.size;
  const scale = 320 / Math.max(...shape);
  canvas.width = Math.round(shape[0] * scale);
  canvas.height = Math.round(shape[1] * scale);
  const k = img.naturalWidth / size[0];
  const [x, y, w, h] = (region || [0, 0, ...size]).map((value) => value * k);
  const turned = rotate % 180 !== 0;
  const pen = canvas.getContext("2d");
  pen.translate(canvas.width / 2, canvas.height / 2);
  pen.scale(flip === "horizontal" ? -1 : 1, flip === "vertical" ? -1 : 1); // after the turn
  pen.rotate((rotate * Math.PI) / 180);
  let [width, height] = turned ? [canvas.height, canvas.width] : [canvas.width, canvas.height];
  if (device.about.resize !== "stretch") {
    const pick = device.about.resize === "letterbox" ? Math.min : Math.max;
    const zoom = pick(width / w, height / h);
    [width, height] = [w * zoom, h * zoom];
  }
  pen.drawImage(img, x, y, w, h, -width / 2, -height / 2, width, height);
}

// Another region or turn than the run's: it is neither saved nor overwritten by the next picture.
function change(to) {
  ({ region = region, rotate = rotate } = to);
  touchedView = true;
  if ("region" in to) draft = false;
  $("saved").textContent = "";
  drawRegion();
  drawCrop();
}

// Where a finger is, in pixels of the captured frame.
function place(event) {
  const box = $("camera").getBoundingClientRect();
  const at = (value, low, span, limit) =>
    Math.round(Math.min(1, Math.max(0, (value - low) / span)) * limit);
  return [at(event.clientX, box.left, box.width, size[0]), at(event.clientY, box.top, box.height, size[1])];
}

function setUpFinger() {
  const finder = $("finder");
  finder.addEventListener("pointerdown", (event) => {
    if (!size) return;
    start = place(event);
    finder.setPointerCapture(event.pointerId);
  });
  finder.addEventListener("pointermove", (event) => {
    if (!start) return;
    const end = place(event);
    const low = [0, 1].map((k) => Math.min(start[k], end[k]));
    const wide = [0, 1].map((k) => Math.abs(start[k] - end[k]));
    if (Math.min(...wide) < 8) return;
    change({ region: [...low, ...wide] });
  });
  for (const name of ["pointerup", "pointercancel"]) finder.addEventListener(name, () => { start = null; });
}

function typed() {
  const texts = ["x", "y", "w", "h"].map((name) => $(`roi-${name}`).value.trim());
  if (texts.every((text) => !text)) return change({ region: null });
  const [x, y, w, h] = texts.map(Number);
  const whole = texts.every((text) => /^\d+$/.test(text));
  const inside = whole && w > 0 && h > 0 && size && x + w <= size[0] && y + h <= size[1];
  if (inside) return change({ region: [x, y, w, h] });
  draft = true;
  $("saved").textContent = "";
  return undefined;
}

async function save() {
  if (!size) return toast("No frame yet: nothing is saved");
  if (draft) return toast(`Not saved: expected a region inside of ${size[0]} × ${size[1]} pixels`);
  const reply = await post("/api/view", { region, rotate });
  if (!reply || !reply.ok) return toast(reply ? reply.data : "The device does not answer");
  const { file, typed: wins } = reply.data;
  const then = wins ? `Start the run again without ${wins}: the command line wins over the file.` : "The run uses it when it starts again.";
  $("saved").textContent = `Saved in ${file}. ${then}`;
  return toast("Saved");
}

// Those classes of which the bundle that runs now has a lab picture.
function fillClasses() {
  const { bundle, labels, pictured } = device.about;
  ofBundle = bundle;
  $("lab-class").replaceChildren(...pictured.map((k) => make("option", labels[k], { value: k })));
  $("lab-class").hidden = !pictured.length;
  return showLab();
}

async function showLab() {
  const isThere = device.about.pictured.length > 0;
  const look = isThere ? await getLook(`/api/lab/${$("lab-class").value}.jpg`) : null;
  $("lab").hidden = !look;
  $("no-lab").hidden = Boolean(look);
  if (!look) return;
  showPicture($("lab"), look.url);
  $("lab").alt = `${device.about.labels[$("lab-class").value]} in the lab`;
}

function drawFraming(corners) {
  $("crop").hidden = corners; // of an object seen at an angle: only the run straightens it
  $("framing").hidden = !corners && !device.about.framing;
  if (corners) $("framing").textContent = "The region is given by four corners, which this page can't draw. The Label tab shows what the model sees.";
  else $("framing").textContent = `The network cuts margins off every picture itself (${device.about.framing}). Adapt it again after you move the region or the camera.`;
}

async function step() {
  if (document.hidden || $("panel-camera").hidden) return;
  if (ofBundle !== device.about.bundle) await fillClasses();
  const look = await getLook("/api/camera.jpg");
  if (!look) return;
  size = [look.about.width, look.about.height];
  if (!touchedView) ({ region, rotate } = look.about.view);
  flip = look.about.view.flip;
  // Drawn shorter than a very long picture is, so that a finger fits across it.
  $("finder").style.setProperty("--aspect", Math.min(MOST_ASPECT, Math.max(1 / MOST_ASPECT, size[0] / size[1])));
  drawMeters(look.about);
  drawFraming(Boolean(look.about.view.corners));
  showPicture($("camera"), look.url);
  await $("camera").decode().catch(() => null);
  drawRegion();
  drawCrop();
}

export async function setUpCamera() {
  setUpFinger();
  $("lab-class").addEventListener("change", showLab);
  $("rotate").addEventListener("click", () => change({ rotate: (rotate + 90) % 360 }));
  $("whole").addEventListener("click", () => change({ region: null }));
  $("save").addEventListener("click", save);
  $("peak").addEventListener("click", () => { peak = 0; });
  for (const name of ["x", "y", "w", "h"]) $(`roi-${name}`).addEventListener("input", typed);
  document.addEventListener("tab", () => !$("panel-camera").hidden && $("lab").hidden && fillClasses());
  for (;;) {
    await step().catch(() => null);
    await sleep(EVERY_MS);
  }
}

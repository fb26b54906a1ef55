// Lab and live accuracy as bars whose bands are the 95 % intervals.

import { $ } from "./dom.js";

function draw(row, tally) {
  const [band, point] = row.querySelectorAll("i");
  const value = row.querySelector(".value");
  const known = tally && tally.total > 0;
  const [low, high] = known ? [tally.low, tally.high] : [0, 1];
  band.style.left = `${100 * low}%`;
  band.style.width = `${100 * (high - low)}%`;
  point.hidden = !known;
  if (known) point.style.left = `${100 * tally.accuracy}%`;
  value.textContent = known ? tally.short : "no labels"; // rounded where the panel's are
}

export function drawBars(about, state) {
  $("scores").hidden = !about.lab;
  if (!about.lab) return;
  draw($("score-lab"), about.lab);
  // Shown where the file that runs has another lab accuracy than the network.
  $("score-file").hidden = !about.lab_file;
  if (about.lab_file) draw($("score-file"), about.lab_file);
  draw($("score-live"), state && state.live);
  const line = $("outlook");
  const view = state && state.outlook;
  delete line.dataset.enough;
  if (!view) {
    line.textContent = "";
  } else if (view.enough) {
    line.dataset.enough = "1";
    line.textContent = `✓ Enough: ${state.live.total} labels, within ±${view.now.toFixed(1)} points`;
  } else if (state.alike) {
    const things = state.alike.things === 1 ? "1 thing" : `${state.alike.things} things`;
    line.textContent = `${state.live.total} labels show ${things}: ±${view.now.toFixed(1)} points, see Status`;
  } else if (!view.more) {
    line.textContent = `No random frame is left: ±${view.now.toFixed(1)} points`;
  } else if (!state.live.total) {
    line.textContent = `${view.more} random frames give ±${view.then.toFixed(0)} points`;
  } else {
    const [now, then] = [view.now, view.then].map((x) => x.toFixed(digits(view)));
    line.textContent = `${view.more} more random frames: ±${now} becomes ±${then}`;
  }
}

// Whole points, unless these would look the same.
const digits = (view) => (Math.round(view.now) === Math.round(view.then) ? 1 : 0);

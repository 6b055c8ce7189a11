"use strict";

const AHEAD = 6; // detections that are fetched before they are needed
const PAGE = 24; // cutouts of the grid
const STRETCHES = ["asinh", "linear", "sky"];
const ZOOMS = [0.35, 0.5, 0.7, 1, 1.5, 2];
const WIDER = 4; // how many times wider the wider view is
const AGAIN = 5000; // ms after which a page that has nothing to show asks again
const CLASS_KEYS = "1234567890qweyiopzxcv";
const PARTS = {
  threshold: "near the threshold",
  repeats: "the repeats disagree",
  class: "each class in turn",
  random: "drawn at random",
};

const at = (id) => document.getElementById(id);
const classes = new Map(); // by key: name, and whether it is real
let queue = []; // detections that wait
let current = null; // the detection that is shown alone
let cells = []; // those of the grid
let focus = 0;
let inGrid = false;
let stretch = 0;
let zoom = ZOOMS.indexOf(1);
let busy = false;
let doing = Promise.resolve(); // what `busy` is about
let filling = Promise.resolve();
let seen = null; // the detection whose picture is there
let rest = { open: 0, leased: 0, unreadable: 0 }; // as the server said last
let asking = null; // timer
const failed = new Set(); // items whose cutouts can't be drawn
let stack = []; // items that were answered, the last one last

// A page that is loaded again goes on with what it had; another window gets other detections.
const isReload = performance.getEntriesByType("navigation")[0]?.type === "reload";
const name = (isReload && sessionStorage.getItem("window")) || Math.random().toString(36).slice(2);
sessionStorage.setItem("window", name);

async function ask(path, body) {
  const how = body ? { method: "POST", body: JSON.stringify(body) } : {};
  let answer;
  try {
    answer = await fetch(path, how);
  } catch {
    throw new Error("rbinfer label has ended, or can't be reached. Your answers are on disk: start it again.");
  }
  const found = await answer.json();
  if (!answer.ok) throw Object.assign(new Error(found.error), { status: answer.status });
  return found;
}

function fail(error) {
  at("error").textContent = error.message;
  at("error").hidden = false;
}

function made(tag, text, kind) {
  const element = document.createElement(tag);
  element.textContent = text;
  if (kind) element.className = kind;
  return element;
}

const percent = (share) => `${(100 * share).toFixed(share < 0.1 ? 1 : 0)}\u00a0%`;
const words = (text) => text.replaceAll("_", " ");
const cutout = (item, wider) => `cutout/${item.item}?wider=${wider}&stretch=${STRETCHES[stretch]}`;

function known() {
  const shown = inGrid ? cells.filter((cell) => !cell.answer) : current ? [current] : [];
  return new Set([...queue, ...shown].map((item) => item.item));
}

// Fills the queue up, one after the other: two at a time would bring the same detections.
function fill(length) {
  filling = filling.catch(() => {}).then(async () => {
    const before = known();
    const count = Math.min(before.size + failed.size + length - queue.length, 100);
    if (length <= queue.length || count <= before.size) return;
    const { items, ...others } = await ask(`items?window=${name}&count=${count}`);
    rest = others;
    const now = known();
    const isNew = ({ item }) => !before.has(item) && !now.has(item) && !failed.has(item);
    const found = items.filter(isNew).slice(0, length);
    queue.push(...found);
    for (const item of found) new Image().src = cutout(item, ZOOMS[zoom]);
  });
  return filling;
}

function showProgress(progress) {
  const { labelled, goal, skipped, items, missed, let_in: letIn, random } = progress;
  at("bar").max = goal;
  at("bar").value = Math.min(labelled, goal);
  const others = skipped ? `, ${skipped} skipped` : "";
  at("progress").textContent = `${labelled} of ${goal} labelled (${progress.real} real, ${progress.bogus} bogus${others}); ${items} to choose from`;
  const told = [];
  for (const [rate, what] of [[missed, "missed"], [letIn, "let in"]]) {
    if (rate) told.push(`${what} ${percent(rate.rate)} (${percent(rate.low)} to ${percent(rate.high)}, ${rate.wrong} of ${rate.n})`);
  }
  if (missed && labelled < goal) told.push(`at ${goal} the missed rate is known to ±\u00a0${percent(missed.at_goal)}`);
  at("rates").textContent = random
    ? `Of the ${random} drawn at random: ${told.join("; ")}.`
    : "No rates yet: none of those drawn at random has an answer.";
}

function showFacts(item) {
  const said = made("span", item.verdict, `verdict ${item.verdict}`);
  const kind = item.class ? `; likeliest: ${words(item.class)}` : "";
  at("verdict").replaceChildren("Model: ", said, `, score ${item.score.toPrecision(2)}${kind}`);
  const facts = [
    ["S/N", item.snr === null ? "…" : item.snr.toPrecision(3)],
    ["threshold", item.threshold.toPrecision(3), "more"],
    ["all frames", item.night === null ? null : item.night.toPrecision(3)],
    ["FWHM", item.fwhm === null ? null : `${item.fwhm.toFixed(2)} px`],
    ["x, y", `${item.x}, ${item.y}`],
    ["image", item.image, "more"],
    ["row", item.row, "more"],
    ["why", PARTS[item.part]],
  ];
  if (item.snr === null) measure(item).catch(fail);
  const known = facts.filter(([, value]) => value !== null);
  at("facts").replaceChildren(...known.flatMap(([key, value, more]) => [made("dt", key, more), made("dd", value, more)]));
}

async function measure(item) {
  const { snr } = await ask(`snr/${item.item}`);
  if (item === current && snr !== null) at("facts").children[1].textContent = snr.toPrecision(3);
}

function showPictures() {
  const wider = ZOOMS[zoom];
  const pictures = { near: cutout(current, wider), wide: cutout(current, WIDER), star: `star/${current.item}` };
  seen = null;
  for (const [id, source] of Object.entries(pictures)) {
    at(id).classList.add("waiting"); // a browser shows the old picture until the new one is there
    at(id).removeAttribute("src");
    at(id).src = source;
  }
  at("frame").style.width = at("frame").style.height = `${(100 * wider) / WIDER}%`;
}

function isSeen() {
  return seen === current && at("near").complete && at("near").naturalWidth > 0;
}

// Says why nothing is shown, and asks again where that may change.
function showRest() {
  const unreadable = Math.max(rest.unreadable, failed.size);
  const why = [];
  if (rest.leased) why.push(`${rest.leased} are open in other windows`);
  if (unreadable) why.push(`${unreadable} can't be drawn, as their images can't be read`);
  at("done").textContent = rest.open
    ? `${rest.open} have no answer yet${why.length ? `: ${why.join("; ")}` : ""}. This page asks again every ${AGAIN / 1000} seconds.`
    : "All of them have an answer.";
  clearTimeout(asking);
  if (rest.open) asking = setTimeout(() => at("done").hidden || once(next), AGAIN);
}

function show() {
  at("single").hidden = inGrid || !current;
  at("grid").hidden = !inGrid || !cells.length;
  at("done").hidden = inGrid ? cells.length > 0 : current !== null;
  if (!at("done").hidden) showRest();
  if (inGrid) showCells();
  else if (current) {
    showPictures();
    showFacts(current);
  }
}

function showCells() {
  const buttons = cells.map((cell, k) => {
    const button = made("button", "");
    button.type = "button";
    button.tabIndex = k === focus ? 0 : -1;
    if (cell.answer) button.dataset.answer = cell.answer;
    const picture = made("img", "");
    picture.src = cutout(cell, ZOOMS[zoom]);
    picture.alt = `cutout of row ${cell.row} of ${cell.image}`;
    picture.onerror = () => pass(cell);
    const kind = cell.class ? ` ${words(cell.class)}` : "";
    button.append(picture, made("span", cell.answer ?? `${cell.score.toPrecision(2)}${kind}`, cell.answer ? "" : `verdict ${cell.verdict}`));
    button.onclick = () => focusOn(k);
    return button;
  });
  at("grid").replaceChildren(...buttons);
  buttons[focus]?.focus({ preventScroll: false });
}

function focusOn(k) {
  const buttons = [...at("grid").children];
  focus = Math.max(0, Math.min(k, buttons.length - 1));
  buttons.forEach((button, n) => (button.tabIndex = n === focus ? 0 : -1));
  buttons[focus]?.focus();
}

async function next() {
  if (inGrid) {
    if (cells.every((cell) => cell.answer)) {
      cells = [];
      await fill(PAGE);
      cells = queue.splice(0, PAGE);
      focus = 0;
    } else {
      const later = cells.findIndex((cell, k) => k > focus && !cell.answer);
      focus = later >= 0 ? later : cells.findIndex((cell) => !cell.answer);
    }
  } else {
    current = null;
    if (!queue.length) await fill(AHEAD);
    current = queue.shift() ?? null;
  }
  show();
  if (at("done").hidden) fill(AHEAD).catch(fail);
}

// Nothing is taken in while an answer is on its way: it would be about a picture that nobody saw yet.
function once(work) {
  if (busy) return doing;
  busy = true;
  doing = (async () => {
    try {
      at("error").hidden = true;
      await work();
    } catch (error) {
      fail(error);
    } finally {
      busy = false;
    }
  })();
  return doing;
}

function isCellSeen() {
  const picture = at("grid").children[focus]?.querySelector("img");
  return Boolean(picture?.complete && picture.naturalWidth);
}

function answer(label, kind = "") {
  return once(async () => {
    const item = inGrid ? cells[focus] : current;
    if (!item || !(inGrid ? isCellSeen() : isSeen())) return;
    try {
      showProgress(await ask("answer", { item: item.item, label, class: kind, window: name }));
    } catch (error) {
      if (![409, 410].includes(error.status)) throw error;
      if (error.status === 410) drop(item);
      else if (inGrid) cells[focus] = await ask(`item/${item.item}`);
      await next();
      throw error;
    }
    item.answer = label;
    keep([...stack, item.item]);
    await next();
  });
}

// The items that can be taken back, the last one first; they outlive a reload.
function keep(items) {
  stack = items;
  sessionStorage.setItem("stack", JSON.stringify(stack));
}

function undo() {
  return once(async () => {
    if (!stack.length) throw new Error("There is no answer to take back.");
    const number = stack.at(-1);
    let taken;
    try {
      taken = await ask("undo", { item: number, window: name });
    } catch (error) {
      // It cannot be taken back here, now or later; otherwise the answer stands, and so does its place.
      if ([409, 422].includes(error.status)) keep(stack.slice(0, -1));
      throw error;
    }
    keep(stack.slice(0, -1));
    const { progress, item } = taken;
    showProgress(progress);
    if (inGrid) {
      const k = cells.findIndex((cell) => cell.item === number);
      if (k >= 0) cells[k] = item;
      else cells = [item, ...cells.filter((cell) => !cell.answer)];
      focus = Math.max(k, 0);
    } else {
      if (current) queue.unshift(current);
      current = item;
    }
    show();
  });
}

// Takes all of an image away that can't be shown.
function drop(item) {
  const isGone = (other) => ["image", "hdu", "plane"].every((what) => other[what] === item[what]);
  for (const other of [item, ...queue, ...cells]) if (isGone(other)) failed.add(other.item);
  queue = queue.filter((other) => !isGone(other));
  cells = cells.filter((other) => other.answer || !isGone(other));
  focus = Math.max(0, Math.min(focus, cells.length - 1));
}

// What can't be drawn is not shown again.
async function pass(item) {
  if (failed.has(item.item)) return;
  drop(item);
  while (busy) await doing;
  await once(async () => {
    if (inGrid ? cells.every((cell) => cell.answer) : !current || failed.has(current.item)) await next();
    else show();
    fail(new Error(`${item.image} can't be read; its cutouts are passed over. Load this page again to try anew.`));
  });
}

function toggleGrid() {
  return once(async () => {
    inGrid = !inGrid;
    at("mode").setAttribute("aria-pressed", String(inGrid));
    if (inGrid) {
      if (current) queue.unshift(current);
      current = null;
      cells = [];
    } else {
      queue = [...cells.filter((cell) => !cell.answer), ...queue];
    }
    await next();
  });
}

function restretch() {
  stretch = (stretch + 1) % STRETCHES.length;
  at("stretch").firstChild.textContent = `${STRETCHES[stretch] === "sky" ? "faint sky" : STRETCHES[stretch]} `;
  show();
}

function rezoom(step) {
  zoom = Math.max(0, Math.min(zoom + step, ZOOMS.length - 1));
  at("in").disabled = zoom === 0;
  at("out").disabled = zoom === ZOOMS.length - 1;
  show();
}

function help() {
  at("help").hidden = !at("help").hidden;
  at("ask").setAttribute("aria-expanded", String(!at("help").hidden));
  if (!at("help").hidden) at("help").scrollIntoView();
}

function move(key) {
  const tops = [...at("grid").children].map((button) => button.offsetTop);
  const columns = Math.max(tops.filter((top) => top === tops[0]).length, 1);
  const step = { ArrowLeft: -1, ArrowRight: 1, ArrowUp: -columns, ArrowDown: columns }[key];
  if (cells[focus + step]) focusOn(focus + step);
}

const KEYS = {
  r: () => answer("real"),
  b: () => answer("bogus"),
  s: () => answer("skip"),
  u: undo,
  backspace: undo,
  g: toggleGrid,
  t: restretch,
  "+": () => rezoom(-1),
  "=": () => rezoom(-1),
  "-": () => rezoom(1),
  "?": help,
  h: help,
  escape: () => at("help").hidden || help(),
};

document.addEventListener("keydown", (event) => {
  if (event.ctrlKey || event.metaKey || event.altKey) return;
  const key = event.key.toLowerCase();
  const kind = classes.get(key);
  if (inGrid && key.startsWith("arrow")) move(event.key);
  else if (event.repeat) return; // a key that is held down is one answer
  else if (kind) answer(kind.real ? "real" : "bogus", kind.name);
  else if (KEYS[key]) KEYS[key]();
  else return;
  event.preventDefault();
});

function showClasses(found) {
  const buttons = found.map((kind, k) => {
    const button = made("button", `${words(kind.name)} `, kind.real ? "real" : "bogus");
    button.type = "button";
    button.onclick = () => answer(kind.real ? "real" : "bogus", kind.name);
    if (k < CLASS_KEYS.length) {
      classes.set(CLASS_KEYS[k], kind);
      button.append(made("kbd", CLASS_KEYS[k].toUpperCase()));
    }
    return button;
  });
  at("classes").replaceChildren(...buttons);
}

async function start() {
  const state = await ask(`state?window=${name}`);
  keep((isReload && JSON.parse(sessionStorage.getItem("stack"))) || state.recent);
  showProgress(state.progress);
  showClasses(state.classes);
  at("file").textContent = state.file;
  at("notes").replaceChildren(...state.notes.map((note) => made("li", note)));
  at("notes").hidden = !state.notes.length;
  await next();
}

for (const id of ["real", "bogus", "skip"]) at(id).onclick = () => answer(id);
at("undo").onclick = undo;
at("mode").onclick = toggleGrid;
at("stretch").onclick = restretch;
at("in").onclick = () => rezoom(-1);
at("out").onclick = () => rezoom(1);
at("ask").onclick = help;
for (const id of ["near", "wide", "star"]) at(id).addEventListener("load", () => at(id).classList.remove("waiting"));
at("near").onload = () => (seen = current);
at("near").onerror = () => current && pass(current);
at("star").onload = () => { at("star").hidden = false; at("starless").hidden = true; };
at("star").onerror = () => { at("star").hidden = true; at("starless").hidden = false; };
// What has the focus is not behind the bar of buttons.
new ResizeObserver(([bar]) => {
  document.documentElement.style.scrollPaddingBottom = `${bar.target.offsetHeight + 8}px`;
}).observe(document.querySelector("nav"));
once(start);

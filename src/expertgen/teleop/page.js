"use strict";

const element = (id) => document.getElementById(id);
const token = new URLSearchParams(location.search).get("token");
const address = (path) => `${path}?token=${encodeURIComponent(token)}`;
const VERBS = ["stop", "keep", "redo", "drop"];
const KEYS = {
  ArrowUp: ["away", 1], KeyW: ["away", 1], ArrowDown: ["away", -1], KeyS: ["away", -1],
  ArrowRight: ["right", 1], KeyD: ["right", 1], ArrowLeft: ["right", -1], KeyA: ["right", -1],
  KeyE: ["up", 1], PageUp: ["up", 1], KeyQ: ["up", -1], PageDown: ["up", -1],
};
const BUTTON_KEYS = { Enter: "stop", KeyK: "keep", KeyR: "redo", KeyX: "drop" };
const PAD_BUTTONS = ["gripper", "drop", "keep", "redo"]; // A, B, X, Y of a gamepad
const TOUCH = matchMedia("(pointer: coarse)").matches;
const FINE = 0.3; // share of full speed with Shift
const EASE = 0.07; // seconds in which a key comes to two thirds of its effect

let socket, hello, state;
let ticking; // inputs are sent at the control rate
let failures = 0; // to connect, one after the other
let armed = false; // inputs are sent: from the first movement on, until the person turns away

/* Talking to the server */

function connect() {
  socket = new WebSocket(`ws://${location.host}${address("/socket")}`);
  socket.binaryType = "arraybuffer";
  let busy = false;
  socket.onmessage = ({ data }) => {
    failures = 0;
    if (data instanceof ArrayBuffer) return showPicture(data);
    const message = JSON.parse(data);
    if (message.kind === "busy") busy = true;
    else if (message.kind === "hello") welcome(message);
    else update(message);
  };
  socket.onclose = () => {
    failures += 1;
    disarm();
    state = undefined;
    document.body.className = "offline";
    if (busy) say("Somebody else is at the controls", "Another browser has this page open. This one takes over when that one is closed.");
    else if (failures < 6) say("Connection lost", "Nothing is lost: the episode waits. Trying again …");
    else say("The server does not answer", "Is it still running? If it was started again, open the new address that it printed.");
    setTimeout(connect, busy ? 2000 : 800);
  };
}

function send(message) {
  if (socket.readyState === WebSocket.OPEN) socket.send(JSON.stringify(message));
}

function order(verb) {
  if (element(verb).disabled) return;
  disarm();
  send({ do: verb });
}

function disarm() {
  armed = false;
  pending.length = 0;
}

/* What the server tells */

function welcome(message) {
  hello = message;
  document.title = `${hello.task} · teleoperation · expertgen`;
  for (const [id, text] of Object.entries({ task: hello.task, description: hello.description, rule: hello.success, wanted: hello.wanted, file: hello.file })) {
    element(id).textContent = text;
  }
  const words = { 0.125: "⅛", 0.25: "¼", 0.5: "½", 1: "real time" };
  clearInterval(ticking);
  ticking = setInterval(tick, 1000 / hello.rate);
  document.body.classList.remove("blank");
  choices("paces", hello.paces.map((pace) => [words[pace], { pace }]));
  choices("views", hello.views.map(({ name }) => [name, { view: name }]));
}

function choices(id, entries) {
  element(id).replaceChildren(...entries.map(([text, message]) => {
    const button = document.createElement("button");
    button.textContent = text;
    button.onclick = () => send(message);
    return button;
  }));
}

function update(message) {
  const before = state;
  state = message;
  const { phase, held, steps, success, pace } = state;
  if (phase === "ended") disarm();
  if (before && before.phase !== "ready" && phase === "ready") setGripper(false);
  const body = [phase, held && "held", phase === "ended" && (success ? "success" : "failed")];
  document.body.className = body.filter(Boolean).join(" ");
  const left = (hello.horizon - steps) / (hello.rate * pace);
  const count = `${state.kept} of ${hello.wanted} kept`;
  element("chip").textContent = phase !== "running" ? count : held ? `Paused · ${left.toFixed(1)} s left` : `Recording · ${left.toFixed(1)} s left`;
  if (!state.shown) say("One moment", "The next start is being drawn.");
  else if (phase === "ready") say("Ready", `The clock starts with your first movement: ${TOUCH ? "" : "hold an arrow key, or "}drag a pad.`);
  else if (held) say("Paused", "The simulation waits. It goes on with your next movement.");
  else if (success) say("Success", `After ${steps} steps. Keep it, or do it once more.`);
  else say(steps < hello.horizon ? "Stopped" : "Out of time", "Drop it or redo it. Kept, it counts as a failure.");
  element("clock").firstElementChild.style.width = `${(100 * steps) / hello.horizon}%`;
  element("stop").disabled = phase !== "running";
  element("keep").disabled = phase !== "ended";
  element("redo").disabled = phase === "ready";
  element("kept").textContent = state.kept;
  element("successes").textContent = state.kept ? `${state.successes} with success` : "";
  document.querySelector(".bar i").style.width = `${Math.min(100, (100 * state.kept) / hello.wanted)}%`;
  const done = state.kept >= hello.wanted && phase === "ready" && " All that were wanted are there; you can stop, or go on.";
  element("note").textContent = state.note + (done || "");
  element("note").classList.toggle("wrong", state.note.startsWith("Not saved"));
  press("paces", hello.paces.indexOf(pace));
  press("views", state.views[0]);
  element("inset-name").textContent = hello.views[state.views[1]].name;
  if (element("observation").open) showFields(state.fields);
  if (state.film && (!before || state.film !== before.film)) loadFilm();
}

function say(headline, advice) {
  if (element("headline").textContent !== headline) element("headline").textContent = headline;
  if (element("advice").textContent !== advice) element("advice").textContent = advice;
}

function press(id, chosen) {
  [...element(id).children].forEach((button, i) => button.setAttribute("aria-pressed", i === chosen));
}

function showFields(fields) {
  element("fields").replaceChildren(...Object.entries(fields).map(([name, values]) => {
    const row = document.createElement("tr");
    row.dataset.field = name;
    for (const text of [name.replaceAll("_", " "), values.map((value) => value.toFixed(3)).join("  ")]) {
      row.appendChild(document.createElement("td")).textContent = text;
    }
    return row;
  }));
}

/* Pictures, and how fast they come */

const pending = []; // inputs that no picture has shown yet: [number, time]
const delays = []; // of the last inputs, in ms
const frames = []; // times of the last large pictures

async function showPicture(data) {
  const header = new DataView(data);
  const [view, number] = [header.getUint8(0), header.getUint32(4, true)];
  const bitmap = await createImageBitmap(new Blob([new Uint8Array(data, 16)], { type: "image/jpeg" }));
  const large = !state || view === state.views[0];
  element(large ? "picture" : "inset").getContext("2d").drawImage(bitmap, 0, 0);
  bitmap.close();
  if (!large) return;
  const now = performance.now();
  frames.push(now);
  while (pending.length && pending[0][0] <= number) delays.push(now - pending.shift()[1]);
  if (delays.length > 1000) delays.splice(0, delays.length - 1000);
}

function showStats() {
  const now = performance.now();
  while (frames.length && frames[0] < now - 2000) frames.shift();
  if (!state || state.phase !== "running" || state.held || frames.length < 2) return;
  const rate = (frames.length - 1) / ((frames.at(-1) - frames[0]) / 1000);
  const sorted = [...delays].sort((a, b) => a - b);
  const delay = sorted.length ? sorted[Math.floor(0.95 * (sorted.length - 1))] : 0;
  element("stats").textContent = `${rate.toFixed(0)} frames/s · input to frame ${delay.toFixed(0)} ms (95% of inputs)`;
  Object.assign(element("stats").dataset, { rate: rate.toFixed(2), delay: delay.toFixed(1), inputs: sorted.length });
}

let film = [];

async function loadFilm() {
  const data = await (await fetch(address("film"), { cache: "no-store" })).arrayBuffer();
  const header = new DataView(data);
  const found = [];
  for (let start = 0; start < data.byteLength; ) {
    const length = header.getUint32(start, true);
    found.push(new Blob([new Uint8Array(data, start + 4, length)], { type: "image/jpeg" }));
    start += 4 + length;
  }
  film = found;
  element("film").hidden = !film.length;
  element("no-film").hidden = film.length > 0;
}

async function playFilm() {
  for (let i = 0; ; i = i + 1 < film.length + 20 ? i + 1 : 0) { // rests on its end
    if (i < film.length) {
      const bitmap = await createImageBitmap(film[i]);
      element("film").getContext("2d").drawImage(bitmap, 0, 0);
      bitmap.close();
    }
    await new Promise((resolve) => setTimeout(resolve, 33));
  }
}

/* What the person does */

const held = new Set(); // keys
const dragged = { right: 0, away: 0, up: 0 }; // by mouse or finger, on the pads
const eased = { right: 0, away: 0, up: 0 };
let closed = false;
let gripped = false; // the gripper was moved since the last tick
let number = 0;
let then = performance.now();

function setGripper(value) {
  closed = value;
  element("gripper").setAttribute("aria-pressed", closed);
  element("gripper").querySelector("b").textContent = closed ? "Closed" : "Open";
}

function toggleGripper() {
  setGripper(!closed);
  gripped = true;
}

function wishes() {
  const wish = { ...dragged };
  const speed = held.has("ShiftLeft") || held.has("ShiftRight") ? FINE : 1;
  for (const key of held) if (KEYS[key]) wish[KEYS[key][0]] += speed * KEYS[key][1];
  const pad = [...(navigator.getGamepads?.() ?? [])].find((one) => one?.connected);
  if (pad) {
    const axis = (i) => (Math.abs(pad.axes[i] ?? 0) > 0.12 ? pad.axes[i] : 0);
    wish.right += axis(0);
    wish.away -= axis(1);
    wish.up -= axis(3);
    pad.buttons.forEach((button, i) => {
      if (button.pressed && !padPressed[i]) i === 9 ? order("stop") : i === 0 ? toggleGripper() : PAD_BUTTONS[i] && order(PAD_BUTTONS[i]);
      padPressed[i] = button.pressed;
    });
  }
  return wish;
}

const padPressed = [];

function tick() {
  const now = performance.now();
  const share = 1 - Math.exp(-(now - then) / 1000 / EASE);
  then = now;
  const wish = wishes();
  for (const name in eased) {
    eased[name] += share * (Math.max(-1, Math.min(1, wish[name])) - eased[name]);
    if (Math.abs(eased[name]) < 0.004) eased[name] = 0;
  }
  showKnobs();
  if (!state || document.hidden) return;
  const moves = gripped || Object.values(wish).some((value) => value !== 0);
  gripped = false;
  if (!armed && moves && state.phase !== "ended" && state.shown) armed = true;
  if (!armed) return;
  number += 1;
  pending.push([number, now]);
  send({ number, action: hello.actions.map(command) });
}

function command(name) {
  const { right, away } = hello.views[state.views[0]];
  const along = (i) => Math.max(-1, Math.min(1, eased.right * right[i] + eased.away * away[i] + (i === 2 ? eased.up : 0)));
  return { hand_x: along(0), hand_y: along(1), hand_z: along(2), gripper: closed ? 1 : -1 }[name] ?? 0;
}

function showKnobs() {
  const place = (id, x, y) => {
    const pad = element(id);
    pad.style.setProperty("--x", x * (pad.clientWidth / 2 - 20));
    pad.style.setProperty("--y", -y * (pad.clientHeight / 2 - 20));
  };
  place("plane", eased.right, eased.away);
  place("height", 0, eased.up);
}

function drag(id, names) {
  const pad = element(id);
  const follow = (event) => {
    const box = pad.getBoundingClientRect();
    const reach = (value, size) => Math.max(-1, Math.min(1, value / (size / 2 - 20)));
    const x = reach(event.clientX - box.left - box.width / 2, box.width);
    const y = reach(box.top + box.height / 2 - event.clientY, box.height);
    if (names.length === 2) dragged[names[0]] = x;
    dragged[names.at(-1)] = y;
  };
  const release = () => names.forEach((name) => (dragged[name] = 0));
  pad.onpointerdown = (event) => {
    pad.setPointerCapture(event.pointerId);
    follow(event);
  };
  pad.onpointermove = (event) => pad.hasPointerCapture(event.pointerId) && follow(event);
  pad.onpointerup = pad.onpointercancel = pad.onlostpointercapture = release;
}

function turnAway() {
  held.clear();
  for (const name in dragged) dragged[name] = 0;
  disarm();
}

addEventListener("keydown", (event) => {
  if (event.ctrlKey || event.metaKey || event.altKey) return;
  const { code } = event;
  if (!(code in KEYS || code in BUTTON_KEYS || ["Space", "KeyV", "ShiftLeft", "ShiftRight"].includes(code))) return;
  if (code === "Enter" && document.activeElement !== document.body) return; // presses what has the focus
  event.preventDefault();
  if (event.repeat) return;
  held.add(code);
  if (code === "Space") toggleGripper();
  else if (code === "KeyV" && state) send({ view: hello.views[(state.views[0] + 1) % hello.views.length].name });
  else if (code in BUTTON_KEYS) order(BUTTON_KEYS[code]);
});
addEventListener("keyup", ({ code }) => held.delete(code));
addEventListener("blur", turnAway);
document.addEventListener("visibilitychange", () => document.hidden && turnAway());
document.addEventListener("click", () => document.activeElement?.blur?.()); // or Space would press the button again
document.addEventListener("contextmenu", (event) => event.target.closest(".pad, .gripper") && event.preventDefault());
for (const verb of VERBS) element(verb).onclick = () => order(verb);
element("gripper").onclick = toggleGripper;
element("swap").onclick = () => state && send({ view: hello.views[state.views[1]].name });
element("observation").ontoggle = () => state && showFields(state.fields);
drag("plane", ["right", "away"]);
drag("height", ["up"]);
setInterval(showStats, 500);
playFilm();
connect();

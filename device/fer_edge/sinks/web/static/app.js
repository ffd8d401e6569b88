// The page of fer-edge: one event stream for the numbers, one Motion JPEG for the picture. No library, no build step.
"use strict";

const $ = (id) => document.getElementById(id);
const COLORS = {  // told apart by color-blind people too (Okabe and Ito); every color has its name beside it
  neutral: "#8d99a6", happiness: "#e69f00", surprise: "#56b4e9", sadness: "#0072b2",
  anger: "#d55e00", disgust: "#009e73", fear: "#cc79a7", contempt: "#7f5fc6",
};
const OTHERS = ["#b58900", "#5a7d2a", "#a0522d", "#2f8f9d"];
const FACES = [  // one for each face by its number, as drawn in the picture (annotate.py)
  "#ffc800", "#6ec8ff", "#00be8c", "#f096c8", "#f0823c", "#b4a0ff", "#bed75a", "#e1e1e1",
];
const LANES = 6, LANE = 8;  // faces below the last minute, and the height of each
const HISTORY_S = 60;
const FEW = 3, LEAST = 0.02;  // of more faces than these, smaller probabilities are left out of the list
let labels = [];      // in the classifier's order, known from the first reading
let hidden = false;   // the viewer hid the picture
let state = null;     // newest "state" event
let spokenAt = 0, spoken = "";

const percent = (p) => `${Math.round(100 * p)} %`;
const color = (label) => COLORS[label] || OTHERS[Math.max(0, labels.indexOf(label)) % OTHERS.length];

function element(name, className, text) {
  const made = document.createElement(name);
  if (className) made.className = className;
  if (text !== undefined) made.textContent = text;
  return made;
}

function setText(id, text) {  // only what changed: screen readers and layout are left alone
  if ($(id).textContent !== text) $(id).textContent = text;
}

function learn(names) {
  if (names.length && names.join() !== labels.join()) {
    labels = names;
    $("legend").replaceChildren(...labels.map((label) => {
      const item = element("li"), mark = element("i");
      mark.style.background = color(label);
      item.append(mark, label);
      return item;
    }));
  }
}

// ---- faces

const MARGIN = 1.25;  // tracking/neutral.py: what light or another crop do not reach
function moved(face) {  // what is more than in this face's own neutral
  const [name, by] = Object.entries(face.shift || {}).filter(([label]) => label !== "neutral")
    .reduce((best, each) => (each[1] > best[1] ? each : best), ["", MARGIN]);
  return name ? `, ${name} +${by.toFixed(1)} above its neutral` : "";
}

const describe = (face) => `${face.label}${face.uncertain ? " (uncertain)" : ""} ${percent(face.probabilities[face.label])}${moved(face)}`;

const faceColor = (number) => FACES[(number + FACES.length - 1) % FACES.length];
const numberOf = (face, i) => (Number.isInteger(face.track) ? face.track : i + 1);

function card(face, heading) {
  const item = element("li"), bars = element("ul", "bars");
  const head = element(heading), mark = element("span", "mark");
  mark.setAttribute("aria-hidden", "true");  // the words beside it say the number too
  head.append(mark, element("span"));
  item.append(head, bars);
  for (const label of Object.keys(face.probabilities)) {
    const row = element("li"), track = element("span", "track"), bar = element("span", "bar");
    track.setAttribute("aria-hidden", "true");
    bar.style.background = color(label);
    track.append(bar);
    row.append(element("span", "", label), track, element("span", "number"));
    bars.append(row);
  }
  return item;
}

function showFaces(list, faces, heading) {
  const rows = faces.length ? Object.keys(faces[0].probabilities).length : 0;
  while (list.children.length > faces.length) list.lastChild.remove();
  faces.forEach((face, i) => {
    let item = list.children[i];
    if (!item || item.lastChild.children.length !== rows) {
      const fresh = card(face, heading);
      if (item) item.replaceWith(fresh); else list.append(fresh);
      item = fresh;
    }
    const number = numberOf(face, i), [mark, words] = item.firstChild.children;
    mark.textContent = number;
    mark.style.background = faceColor(number);
    words.textContent = `Face ${number}${face.zone ? ` (${face.zone})` : ""}: ${describe(face)}`;
    Object.values(face.probabilities).forEach((p, k) => {
      const row = item.lastChild.children[k];
      row.children[1].firstChild.style.width = percent(p).replace(" ", "");
      row.children[2].textContent = percent(p);
      row.hidden = faces.length > FEW && p < LEAST;
    });
  });
}

function speak(faces) {  // at most every 4 s, and only what is new
  const words = faces.length === 0 ? "No face" : faces.map((face, i) => `Face ${numberOf(face, i)}: ${face.label}`).join(", ");
  if (words !== spoken && Date.now() - spokenAt > 4000) {
    spoken = words; spokenAt = Date.now();
    $("spoken").textContent = words;
  }
}

function onReading(data) {
  const faces = data.reading.faces;
  if (faces.length) learn(Object.keys(faces[0].probabilities));
  showFaces($("faces"), faces, "h3");
  $("nobody").hidden = faces.length > 0;
  setText("age", data.age_s < 10 ? `${Math.round(1000 * data.age_s)} ms` : `${Math.round(data.age_s)} s`);
  const { time, t_media_s: place } = data.reading;
  setText("when", time ? new Date(time).toLocaleTimeString() : "–");  // by this browser's clock zone
  $("place").parentNode.hidden = !Number.isFinite(place);
  if (Number.isFinite(place)) setText("place", `${place.toFixed(1)} s`);
  $("damaged").hidden = !data.reading.damaged;
  speak(faces);
  watch();
  document.body.dataset.frame = data.reading.frame_index;
}

// ---- state, last minute

function onState(data) {
  state = data;
  for (const id of ["live", "now", "minute"]) $(id).hidden = !data.camera;
  $("blurred").hidden = !data.blur;
  const running = data.running;
  $("running").hidden = !running;
  if (running) setText("running", `Model ${running.model} ${running.model_version} (${running.variant}), detector ${running.detector}.`);
  const status = data.status;
  if (!data.camera) { badge("photo", "photos only"); return; }
  if (!status) { badge("connecting", "starting…"); return; }
  badge(status.state, { running: "live", waiting: "waiting", stopped: "camera off" }[status.state]);
  const on = status.state !== "stopped";
  const button = $("switch");
  button.disabled = false;
  setText("switch", on ? "Stop camera" : "Start camera");
  setText("fps", on ? status.fps.toFixed(1) : "–");
  setText("heat", status.temperature_c === null ? "no sensor" : `${status.temperature_c.toFixed(0)} °C`);
  const slow = [status.throttled || "", status.rate_factor < 1 ? `rate × ${status.rate_factor}` : ""].filter(Boolean).join(", ");
  setText("slow", slow || "none");
  $("slow").classList.toggle("bad", slow !== "");
  setText("dropped", String(Object.values(status.dropped).reduce((a, b) => a + b, 0)));
  if (!on) { setText("age", "–"); setText("when", "–"); $("damaged").hidden = true; showFaces($("faces"), [], "h3"); $("nobody").hidden = false; }
  setText("nobody", on ? "No face in the picture." : "The camera is off: no faces are read.");
  setText("off", hidden ? "The picture is hidden." : status.state === "running" ? "Waiting for the first picture…"
    : on ? `Waiting for the camera: ${status.reason || status.source}` : "The camera is off.");
  drawStrip(data.history, data.now_s);
  watch();
}

function badge(kind, text) {
  $("badge").dataset.state = kind;
  setText("badge", text);
}

function drawStrip(rows, now) {
  const strip = $("strip"), made = [], width = 600 / HISTORY_S, totals = {};
  const draw = (row, y, height, fill) => {
    const bar = document.createElementNS("http://www.w3.org/2000/svg", "rect");
    const attributes = { x: 600 - width * (now - row.second), y, width: width + 0.2, height: height + 0.2, fill };
    for (const [key, value] of Object.entries(attributes)) bar.setAttribute(key, value);
    made.push(bar);
  };
  // below the expressions a line for each of the newest faces, in its color, while it is there
  const lanes = [...new Set(rows.flatMap((row) => row.numbers))].sort((a, b) => a - b).slice(-LANES);
  strip.setAttribute("viewBox", `0 0 600 ${100 + LANE * lanes.length}`);
  let seen = 0;
  for (const row of rows) {
    for (const number of row.numbers) {
      const lane = lanes.indexOf(number);
      if (lane >= 0) draw(row, 100 + LANE * lane + 2, LANE - 2.2, faceColor(number));
    }
    const names = Object.keys(row.probabilities);
    if (!names.length) continue;
    learn(labels.length ? labels : names);
    seen += 1;
    let y = 100;
    for (const label of labels) {
      const height = 100 * (row.probabilities[label] || 0);
      totals[label] = (totals[label] || 0) + height;
      y -= height;
      if (height < 0.5) continue;
      draw(row, y, height, color(label));
    }
  }
  strip.replaceChildren(...made);
  const first = labels.slice().sort((a, b) => (totals[b] || 0) - (totals[a] || 0))[0];
  const words = seen ? `A face in ${seen} of the last 60 seconds, on average mostly ${first}, ${percent(totals[first] / 100 / seen)}` : "No face in the last minute";
  if (now % 5 === 0 || !strip.dataset.said) { strip.setAttribute("aria-label", words); strip.dataset.said = "1"; }
}

// ---- picture: only while it is looked at

function watch() {
  const running = state && state.camera && state.status && state.status.state === "running";
  const wanted = Boolean(running && !hidden && !document.hidden);
  const picture = $("picture");
  if (wanted && !picture.getAttribute("src")) picture.src = `stream.mjpeg?${Date.now()}`;
  if (!wanted && picture.getAttribute("src")) picture.removeAttribute("src");
  picture.hidden = !(wanted && picture.naturalWidth > 0);
  $("off").hidden = !picture.hidden;
}

$("picture").addEventListener("error", () => { $("picture").removeAttribute("src"); });
$("picture").addEventListener("load", watch);
document.addEventListener("visibilitychange", watch);
$("hide").addEventListener("click", () => {
  hidden = !hidden;
  $("hide").setAttribute("aria-pressed", String(hidden));
  if (state) onState(state);
});

// ---- requests that do something

async function post(path, body) {
  let answer;
  try {
    answer = await fetch(path, { method: "POST", headers: { "X-Fer-Edge": "1" }, body });
  } catch {
    throw new Error("The device does not answer.");
  }
  const content = await answer.json().catch(() => ({}));
  if (!answer.ok) throw new Error(content.error ? content.error.message : answer.status === 413 ? "Too large for the proxy in front of this page." : `refused (${answer.status})`);
  return content;
}

$("switch").addEventListener("click", async () => {
  const stop = state && state.status && state.status.state !== "stopped";
  $("switch").disabled = true;
  $("problem").hidden = true;
  try {
    await post(stop ? "api/camera/stop" : "api/camera/start");
  } catch (error) {
    $("problem").textContent = error.message;
    $("problem").hidden = false;
    $("switch").disabled = false;
  }
});

// ---- photo

async function readPhoto(file) {
  $("refused").hidden = true;
  $("result").hidden = true;
  $("busy").textContent = "Reading the photo…";
  try {
    const most = state ? state.max_upload_bytes : Infinity;
    if (file.size > most) throw new Error(`photo: ${(file.size / 1e6).toFixed(1)} MB, expected at most ${most / 1e6} MB`);
    const { reading, picture } = await post("api/photo", file);
    const faces = reading.faces;
    if (faces.length) learn(Object.keys(faces[0].probabilities));
    const words = faces.length === 0 ? "No face found" : faces.length === 1 ? "1 face" : `${faces.length} faces`;
    $("found").textContent = words;
    $("read").src = picture;
    $("read").alt = [`Your photo: ${words}`, ...faces.map((face, i) => `face ${numberOf(face, i)} ${describe(face)}`)].join(", ");
    showFaces($("photo-faces"), faces, "h4");
    $("result").classList.toggle("many", faces.length > FEW);
    $("result").hidden = false;
    $("busy").textContent = "";
    $("result").focus();
  } catch (error) {
    $("busy").textContent = "";
    $("refused").textContent = error.message;
    $("refused").hidden = false;
  }
}

function onFiles(files) {
  if (files && files.length) readPhoto(files[0]);
}

$("file").addEventListener("change", () => { onFiles($("file").files); $("file").value = ""; });
document.addEventListener("paste", (event) => onFiles(event.clipboardData.files));
for (const name of ["dragenter", "dragover"]) {
  document.addEventListener(name, (event) => { event.preventDefault(); $("drop").classList.add("over"); });
}
for (const name of ["dragleave", "drop"]) {
  document.addEventListener(name, (event) => { event.preventDefault(); $("drop").classList.remove("over"); });
}
document.addEventListener("drop", (event) => onFiles(event.dataTransfer.files));

// ---- the event stream; the browser connects again by itself. Only while the page is looked at: a browser opens six
// connections to a server for all of its tabs, and the seventh would not even load

let watched = null;

function connect() {
  if (watched || document.hidden) return;
  const events = watched = new EventSource("events");
  events.addEventListener("state", (event) => onState(JSON.parse(event.data)));
  events.addEventListener("reading", (event) => onReading(JSON.parse(event.data)));
  events.addEventListener("error", async () => {
    badge("lost", "no connection, trying again");
    state = null;
    $("switch").disabled = true;
    watch();
    if (events.readyState !== EventSource.CLOSED) return;
    if (watched === events) watched = null;
    const answer = await fetch("api/status").catch(() => null);  // refused, not lost: full, or another token is asked for
    if (answer && answer.status === 401) location.reload(); else setTimeout(connect, 3000);
  });
}

document.addEventListener("visibilitychange", () => {
  if (document.hidden && watched) { watched.close(); watched = null; }
  connect();
});

connect();

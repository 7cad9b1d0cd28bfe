"use strict";
// One trial at a time: the next is asked for when the answer to this one is on the server's disk. Reaction time runs from the picture's first frame.

const byId = (name) => document.getElementById(name);
const words = Object.fromEntries([...document.querySelectorAll("[data-word]")].map((one) => [one.dataset.word, one.textContent]));
const LARGEST = 352; // CSS pixels that a small picture is enlarged to, at most
const RETRIES = [300, 1000, 2000, 4000]; // milliseconds
const LEFT = new Set(["f", "F", "ArrowLeft"]);
const RIGHT = new Set(["j", "J", "ArrowRight"]);

let now = null; // the state of the study as the server told it
let open = false; // whether an answer may be given
let paused = -1; // the trial before which the break was taken
let began = 0;
let hidden = 0; // milliseconds for which the page could not be seen
let hiddenSince = 0;
const ahead = new Map(); // pictures fetched before their turn

function opened(yes) {
  open = yes;
  if (yes) byId("stage").dataset.open = String(now.trial);
  else delete byId("stage").dataset.open;
}

function note(text) {
  byId("note").textContent = text;
}

async function ask(path, body) {
  const how = body === undefined ? {} : { method: "POST", headers: { "content-type": "application/json" }, body: JSON.stringify(body) };
  for (let turn = 0; ; turn += 1) {
    try {
      const answer = await fetch(path, { credentials: "same-origin", ...how });
      if (answer.ok) {
        note("");
        return await answer.json();
      }
      if (answer.status < 500) {
        note(words.refused);
        return null;
      }
    } catch (error) {
      // the server is away: the same answer is sent again, which changes nothing where it arrived already
    }
    note(words.lost);
    await new Promise((done) => setTimeout(done, RETRIES[Math.min(turn, RETRIES.length - 1)]));
  }
}

function fetched(name) {
  if (!ahead.has(name)) {
    const image = new Image();
    image.src = `/picture/${name}`;
    ahead.set(name, image);
  }
  return ahead.get(name);
}

async function decoded(image) {
  for (let turn = 0; ; turn += 1) {
    try {
      await image.decode();
      return;
    } catch (error) {
      note(words.lost);
      await new Promise((done) => setTimeout(done, RETRIES[Math.min(turn, RETRIES.length - 1)]));
      image.src = image.src.split("#")[0] + `#${turn}`;
    }
  }
}

function fit() {
  if (!now || now.done || byId("stage").hidden) return;
  const images = [...byId("pictures").children];
  const [width, height] = now.size;
  const ratio = window.devicePixelRatio || 1;
  const room = document.documentElement;
  const around = byId("question").offsetHeight + byId("answers").offsetHeight + 190; // header, gaps, the line below
  const wide = (room.clientWidth - 32 - (images.length - 1) * (room.clientWidth < 640 ? 16 : 40)) / images.length;
  const high = Math.max(room.clientHeight - around, 96);
  const most = Math.min(wide / width, high / height, Math.max(LARGEST / Math.max(width, height), 1));
  const exact = Math.floor(most * ratio); // device pixels to a pixel of the picture: whole, unless the picture is larger than the screen
  for (const image of images) {
    image.style.width = `${width * (exact ? exact / ratio : most)}px`;
    image.style.height = `${height * (exact ? exact / ratio : most)}px`;
    image.classList.toggle("shrunk", !exact);
  }
}

function button(pressed, key, text) {
  const made = document.createElement("button");
  made.type = "button";
  made.dataset.pressed = pressed;
  const cap = document.createElement("kbd");
  cap.textContent = key;
  const label = document.createElement("span");
  label.textContent = text;
  made.append(...(pressed === "right" ? [label, cap] : text ? [cap, label] : [key]));
  made.addEventListener("click", () => give(pressed));
  return made;
}

function answers() {
  const box = byId("answers");
  box.classList.toggle("points", Boolean(now.points));
  box.classList.toggle("pair", now.pictures.length > 1);
  if (!now.points) {
    box.replaceChildren(button("left", "F", words[now.keys[0]]), button("right", "J", words[now.keys[1]]));
    return;
  }
  const ends = document.createElement("div");
  ends.className = "ends";
  for (const text of [now.low, now.high]) {
    const end = document.createElement("span");
    end.textContent = text;
    ends.append(end);
  }
  box.replaceChildren(...Array.from({ length: now.points }, (_, k) => button(String(k + 1), String(k + 1), "")), ends);
}

function frame() {
  return new Promise((done) => {
    // a hidden page paints nothing; its time does not count until it is seen
    if (document.hidden) setTimeout(done, 50);
    else requestAnimationFrame(() => requestAnimationFrame(done));
  });
}

async function show(state) {
  if (!state) return;
  now = state;
  opened(false);
  const resting = now.pause && paused !== now.trial;
  byId("count").textContent = now.done ? "" : `${now.trial + 1} ${words.of} ${now.of}`;
  byId("done-share").style.width = `${(100 * now.trial) / Math.max(now.of, 1)}%`;
  byId("back").hidden = !now.back || now.done;
  byId("stage").hidden = now.done || resting;
  byId("pause").hidden = !resting;
  byId("end").hidden = !now.done;
  if (now.done) return;
  if (resting) {
    byId("go-on").focus();
    return;
  }
  await present();
}

async function present() {
  const mine = now;
  const box = byId("pictures");
  box.classList.add("waiting");
  const images = mine.pictures.map(fetched);
  images.forEach((image, k) => {
    image.alt = images.length === 1 ? words.picture : k ? words.right_picture : words.left_picture;
  });
  byId("question").textContent = mine.question;
  answers();
  box.replaceChildren(...images);
  fit();
  const slow = setTimeout(() => note(words.loading), 400);
  await Promise.all(images.map(decoded));
  clearTimeout(slow);
  note("");
  box.classList.remove("waiting");
  await frame();
  if (mine !== now) return;
  began = performance.now();
  hidden = 0;
  hiddenSince = document.hidden ? began : 0;
  opened(true);
  const kept = new Set([...mine.pictures, ...mine.next]);
  for (const name of ahead.keys()) if (!kept.has(name)) ahead.delete(name);
  mine.next.forEach(fetched);
}

async function give(pressed) {
  if (!open) return;
  const chosen = byId("answers").querySelector(`[data-pressed="${pressed}"]`);
  if (!chosen) return;
  opened(false);
  const whole = performance.now() - began;
  const away = hidden + (hiddenSince ? performance.now() - hiddenSince : 0);
  chosen.classList.add("chosen");
  await show(await ask("/answer", { trial: now.trial, pressed, reaction_ms: Math.max(0, whole - away), shown_ms: whole }));
}

async function back() {
  if (!now || !now.back || now.done || (!open && byId("pause").hidden)) return;
  opened(false);
  await show(await ask("/undo", { trial: now.trial }));
}

function goOn() {
  if (byId("pause").hidden) return;
  paused = now.trial;
  show(now);
}

document.addEventListener("keydown", (event) => {
  if (event.repeat || event.ctrlKey || event.altKey || event.metaKey || !now || now.done) return;
  if (event.key === "Backspace") back();
  else if (!byId("pause").hidden) {
    if (event.key !== " ") return;
    goOn();
  } else if (LEFT.has(event.key)) give("left");
  else if (RIGHT.has(event.key)) give("right");
  else if (/^[1-9]$/.test(event.key)) give(event.key);
  else return;
  event.preventDefault();
});
document.addEventListener("visibilitychange", () => {
  if (document.hidden) hiddenSince = performance.now();
  else if (hiddenSince) {
    hidden += performance.now() - hiddenSince;
    hiddenSince = 0;
  }
});
window.addEventListener("resize", fit);
byId("back").addEventListener("click", back);
byId("go-on").addEventListener("click", goOn);
note(words.loading);
ask("/trial").then(show);

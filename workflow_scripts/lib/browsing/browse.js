"use strict";
// Addresses are relative: the token is in front of all of them. Names and texts go into the page as text.
// Where the browser does not play a video, small copies of its parts take its place; times are those of the video.
(() => {
  const at = (id) => document.getElementById(id);
  const player = at("player");
  const FIRST = 60;
  const MOST = 600;
  const MARGIN_S = 5;
  const UNPLAYED = "This browser cannot play the file";
  const unplayed = new Set();
  let current = null;
  let clip = null;
  let clipSeconds = 0;
  let isToPlay = false;

  async function ask(address, body) {
    const options = body ? { method: "POST", headers: { "Content-Type": "application/json" }, body: JSON.stringify(body) } : {};
    const answer = await fetch(address, options);
    const found = await answer.json();
    if (!answer.ok) throw new Error(found.error);
    return found;
  }

  function say(text, isBad = false, where = "message") {
    at(where).textContent = text;
    at(where).className = isBad ? "bad" : "";
  }

  const parameters = (values) => new URLSearchParams(values).toString();
  const clock = (s) => `${Math.floor(s / 60)}:${(s % 60).toFixed(1).padStart(4, "0")}`;

  async function show(what, address, n = FIRST) {
    say("searching …");
    at("more").hidden = true;
    try {
      const moments = await ask(`${address}&n=${n}`);
      const n_sure = moments.filter((moment) => !moment.is_chance).length;
      if (!moments.length) say(`${what}: nothing is known of it by the streams that are searched`);
      else say(`${what}: ${moments.length < n ? "" : "the best "}${moments.length} moments${n_sure < moments.length ? `, ${n_sure} above what any sentence gets` : ""}`);
      const top = at("found").scrollTop;
      at("found").replaceChildren(...moments.map((moment) => row(moment)));
      if (n > FIRST) at("found").scrollTop = top;
      else if (moments.length) open(moments[0], at("found").querySelector("button"), false);
      at("more").hidden = moments.length < n || n >= MOST;
      at("more").onclick = () => show(what, address, n + FIRST);
    } catch (error) {
      say(error.message, true);
    }
  }

  const pictureOf = (moment) => `picture?${parameters({ id: moment.video, t: (moment.start + moment.end) / 2 })}`;
  const now = () => player.currentTime + (clip ? clip.start : 0);

  function copy(start, end) {
    start = Math.max(start - MARGIN_S, 0);
    clip = { id: current.video, start, end: Math.min(end + MARGIN_S, start + clipSeconds) };
    player.src = `clip?${parameters(clip)}`;
    say(`${UNPLAYED}: a small copy is shown.`, false, "note");
  }

  function seek(time) {
    if (clip && (time < clip.start || time >= clip.end)) copy(time, time);
    player.currentTime = time - (clip ? clip.start : 0);
  }

  function play() {
    isToPlay = true;
    player.play().catch(() => {});
  }

  function row(moment) {
    const button = document.createElement("button");
    const picture = document.createElement("img");
    picture.alt = "";
    picture.loading = "lazy";
    picture.addEventListener("error", () => picture.removeAttribute("src"), { once: true });
    picture.src = pictureOf(moment);
    const text = document.createElement("span");
    const small = document.createElement("small");
    small.textContent = `${clock(moment.start)} – ${clock(moment.end)} · ${moment.score.toFixed(3)} ${moment.streams.join(", ")}${moment.is_chance ? " · no more than chance" : ""}`;
    text.append(moment.video, small);
    button.append(picture, text);
    button.addEventListener("click", () => open(moment, button, true));
    const item = document.createElement("li");
    item.append(button);
    return item;
  }

  function open(moment, button, isChosen) {
    for (const other of at("found").querySelectorAll("[aria-current]")) other.removeAttribute("aria-current");
    button.setAttribute("aria-current", "true");
    const isOther = !current || current.video !== moment.video;
    current = moment;
    player.poster = pictureOf(moment);
    if (unplayed.has(moment.video)) copy(moment.start, moment.end);
    else if (isOther) {
      clip = null;
      say("", false, "note");
      player.src = `video?${parameters({ id: moment.video })}`;
    }
    player.hidden = at("moment").hidden = false;
    at("name").textContent = moment.video;
    at("start").value = moment.start;
    at("end").value = moment.end;
    at("says").value = at("query").value;
    seek(moment.start);
    isToPlay = false;
    if (isChosen) play();
  }

  player.addEventListener("timeupdate", () => {
    const end = Number(at("end").value);
    if (at("lock").checked && !player.paused && now() >= end) seek(Number(at("start").value));
  });
  player.addEventListener("error", () => {
    if (clip || !clipSeconds) {
      say(clip ? `${UNPLAYED}, and no copy can be made.` : `${UNPLAYED}; --proxy-clips makes small copies.`, true, "note");
      return;
    }
    unplayed.add(current.video);
    copy(Number(at("start").value), Number(at("end").value));
    seek(Number(at("start").value));
    if (isToPlay) play();
  });
  at("start_now").addEventListener("click", () => { at("start").value = now().toFixed(2); });
  at("end_now").addEventListener("click", () => { at("end").value = now().toFixed(2); });
  at("play").addEventListener("click", () => { seek(Number(at("start").value)); play(); });
  at("like").addEventListener("click", () => show("like this frame", `like?${parameters({ id: current.video, t: now() })}`));
  at("search").addEventListener("submit", (event) => {
    event.preventDefault();
    show(at("query").value, `search?${parameters({ q: at("query").value })}`);
  });
  at("moment").addEventListener("submit", async (event) => {
    event.preventDefault();
    try {
      const asked = { video: current.video, query: at("says").value, start: Number(at("start").value), end: Number(at("end").value) };
      const kept = await ask("moments", asked);
      say(`kept: ${kept.query}, ${clock(kept.start)} – ${clock(kept.end)}`);
      about();
    } catch (error) {
      say(error.message, true);
    }
  });

  async function about() {
    const found = await ask("about");
    clipSeconds = found.clip_s;
    document.title = at("title").textContent = `Search ${found.dataset}`;
    at("kept").textContent = `${found.videos} videos, known by ${found.streams.join(", ")}. ${found.kept.moments} moments in ${found.kept.file}.`;
  }
  about();
})();

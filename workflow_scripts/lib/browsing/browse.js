"use strict";
// Addresses are relative: the token is in front of all of them. Names and texts go into the page as text.
(() => {
  const at = (id) => document.getElementById(id);
  const player = at("player");
  let current = null;

  async function ask(address, body) {
    const options = body ? { method: "POST", headers: { "Content-Type": "application/json" }, body: JSON.stringify(body) } : {};
    const answer = await fetch(address, options);
    const found = await answer.json();
    if (!answer.ok) throw new Error(found.error);
    return found;
  }

  function say(text, isBad = false) {
    at("message").textContent = text;
    at("message").className = isBad ? "bad" : "";
  }

  const parameters = (values) => new URLSearchParams(values).toString();
  const clock = (s) => `${Math.floor(s / 60)}:${(s % 60).toFixed(1).padStart(4, "0")}`;

  async function show(what, address) {
    say("searching …");
    try {
      const moments = await ask(address);
      const n_sure = moments.filter((moment) => !moment.is_chance).length;
      if (!moments.length) say(`${what}: nothing is known of it by the streams that are searched`);
      else say(`${what}: ${moments.length} moments${n_sure < moments.length ? `, ${n_sure} above what any sentence gets` : ""}`);
      at("found").replaceChildren(...moments.map((moment) => row(moment)));
      if (moments.length) open(moments[0], at("found").querySelector("button"), false);
    } catch (error) {
      say(error.message, true);
    }
  }

  function row(moment) {
    const button = document.createElement("button");
    const picture = document.createElement("img");
    picture.alt = "";
    picture.loading = "lazy";
    picture.addEventListener("error", () => picture.removeAttribute("src"), { once: true });
    picture.src = `picture?${parameters({ id: moment.video, t: (moment.start + moment.end) / 2 })}`;
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

  function open(moment, button, isToPlay) {
    for (const other of at("found").querySelectorAll("[aria-current]")) other.removeAttribute("aria-current");
    button.setAttribute("aria-current", "true");
    if (!current || current.video !== moment.video) player.src = `video?${parameters({ id: moment.video })}`;
    current = moment;
    player.hidden = at("moment").hidden = false;
    at("name").textContent = moment.video;
    at("start").value = moment.start;
    at("end").value = moment.end;
    at("says").value = at("query").value;
    player.currentTime = moment.start;
    if (isToPlay) player.play().catch(() => {});
  }

  player.addEventListener("timeupdate", () => {
    const end = Number(at("end").value);
    if (at("lock").checked && !player.paused && player.currentTime >= end) player.currentTime = Number(at("start").value);
  });
  player.addEventListener("error", () => say(`${current.video}: this browser cannot play the file`, true));
  at("start_now").addEventListener("click", () => { at("start").value = player.currentTime.toFixed(2); });
  at("end_now").addEventListener("click", () => { at("end").value = player.currentTime.toFixed(2); });
  at("play").addEventListener("click", () => { player.currentTime = Number(at("start").value); player.play().catch(() => {}); });
  at("like").addEventListener("click", () => show("like this frame", `like?${parameters({ id: current.video, t: player.currentTime })}`));
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
    document.title = at("title").textContent = `Search ${found.dataset}`;
    at("kept").textContent = `${found.videos.length} videos, known by ${found.streams.join(", ")}. ${found.kept.moments} moments in ${found.kept.file}.`;
  }
  about();
})();

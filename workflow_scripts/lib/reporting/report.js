"use strict";
// The queries of a report: a list that filters and sorts, and one query with its video on a timeline.
// Everything that people wrote goes into the page as text; nothing here parses HTML.
(() => {
  const DATA = JSON.parse(document.getElementById("data").textContent);
  const { entries, videos, seeds, outcomes } = DATA;
  const ROW_PX = 56;
  const TASKS = { moments: "moments", captions: "captions", videos: "rankings" };
  const state = { text: "", sort: "worst", task: "", kind: "", length: "", outcome: "", seed: 0 };
  let shown = [];
  let current = null;

  // Elements

  function el(tag, attributes = {}, ...children) {
    const made = document.createElement(tag);
    for (const [name, value] of Object.entries(attributes)) {
      if (typeof value === "function") made.addEventListener(name, value);
      else if (value !== null && value !== undefined && value !== false) made.setAttribute(name, value === true ? "" : value);
    }
    made.append(...children.filter((child) => child !== null && child !== undefined));
    return made;
  }

  function svg(tag, attributes) {
    const made = document.createElementNS("http://www.w3.org/2000/svg", tag);
    for (const [name, value] of Object.entries(attributes)) made.setAttribute(name, value);
    return made;
  }

  // Words and numbers

  const clock = (s) => (s < 60 ? `${s.toFixed(1)} s` : `${Math.floor(s / 60)}:${(s % 60).toFixed(1).padStart(4, "0")}`);
  const between = (span) => `${clock(span[0])} – ${clock(span[1])}`;
  const className = (outcome) => outcome.replace(/ /g, "-");
  const first = (entry) => (entry.predicted ? entry.predicted[state.seed][0] : undefined);

  function quality(entry) {
    const value = entry.quality[state.seed];
    if (value === null || value === undefined) return "";
    if (entry.task === "captions") return `CIDEr ${value.toFixed(0)}`;
    if (entry.task === "videos") return entry.first_right[state.seed] ? `rank ${entry.first_right[state.seed]}` : "not found";
    return `IoU ${value.toFixed(2)}`;
  }

  // Sorting and filtering

  const NUMBER_LAST = (value) => (value === null || value === undefined ? Infinity : value);
  const length = (entry) => (entry.annotated && entry.annotated.length ? entry.annotated[0][1] - entry.annotated[0][0] : null);
  const ORDERS = {
    worst: ["worst first", (entry) => NUMBER_LAST(entry.quality[state.seed])],
    best: ["best first", (entry) => NUMBER_LAST(entry.quality[state.seed] === null ? null : -entry.quality[state.seed])],
    shortest: ["shortest moment first", (entry) => NUMBER_LAST(length(entry))],
    longest: ["longest moment first", (entry) => NUMBER_LAST(length(entry) === null ? null : -length(entry))],
    score: ["highest score first", (entry) => (first(entry) && first(entry)[2] !== null ? -first(entry)[2] : Infinity)],
    kind: ["by kind", (entry) => entry.kind || "\uffff"],
    error: ["by what became of it", (entry) => Object.keys(outcomes).length - Object.keys(outcomes).indexOf(entry.outcome[state.seed])],
    video: ["by video", (entry) => entry.video],
  };

  const SEARCHED = new Map(entries.map((entry) => [
    entry,
    [entry.text, entry.id, entry.video, entry.kind, ...(entry.references || [])].join("\n").toLowerCase(),
  ]));

  function choose() {
    const words = state.text.toLowerCase().split(/\s+/).filter(Boolean);
    const key = ORDERS[state.sort][1];
    shown = entries
      .filter((entry) =>
        (!state.task || entry.task === state.task) && (!state.kind || (entry.kind || "") === state.kind) &&
        (!state.length || entry.length === state.length) && (!state.outcome || entry.outcome[state.seed] === state.outcome) &&
        words.every((word) => SEARCHED.get(entry).includes(word)))
      .map((entry) => [key(entry), entry])
      .sort(([a], [b]) => (a < b ? -1 : a > b ? 1 : 0))
      .map(([, entry]) => entry);
  }

  // Overview: what became of the queries, by kind

  function overview() {
    const judged = entries.filter((entry) => entry.task === "moments");
    if (!judged.length) return;
    const kinds = [...new Set(judged.map((entry) => entry.kind))].sort();
    const rows = kinds.length > 1 ? [...kinds, null] : [null];
    const names = Object.keys(outcomes).filter((name) => judged.some((entry) => entry.outcome[state.seed] === name));
    const head = el("tr", {}, el("td"), ...names.map((name) => el("th", { scope: "col", title: outcomes[name] }, name)));
    const body = rows.map((kind) => el("tr", {},
      el("th", { scope: "row" }, kind === null ? "all" : kind || "no kind"),
      ...names.map((name) => {
        const n = judged.filter((e) => e.outcome[state.seed] === name && (kind === null || e.kind === kind)).length;
        const show = () => set({ outcome: name, kind: kind || "", task: "moments", text: "", length: "" });
        return el("td", {}, n ? el("button", { type: "button", click: show, "aria-label": `show ${n}: ${kind || "all"}, ${name}` }, `${n}`) : "0");
      })));
    const meanings = names.flatMap((name) => [el("dt", { class: `outcome ${className(name)}` }, name), el("dd", {}, outcomes[name])]);
    document.getElementById("overview").replaceChildren(
      el("div", { class: "scroll", tabindex: 0, role: "region", "aria-label": "what became of the queries" }, el("table", { class: "overview" }, head, ...body)),
      el("dl", {}, ...meanings));
  }

  // The list: only the rows that can be seen are in the page

  const list = el("div", { class: "list", role: "listbox", tabindex: 0, "aria-label": "queries", keydown: onListKey, scroll: drawRows, click: onListClick });
  const space = el("div", { "aria-hidden": "true" });
  const count = el("output", { "aria-live": "polite" });

  function drawRows() {
    const from = Math.max(0, Math.floor(list.scrollTop / ROW_PX) - 5);
    const to = Math.min(shown.length, from + Math.ceil((list.clientHeight || 600) / ROW_PX) + 10);
    const rows = [];
    for (let i = from; i < to; i += 1) {
      const entry = shown[i];
      const outcome = entry.outcome[state.seed];
      const row = el("div", { role: "option", id: `row${i}`, "data-row": i, "aria-selected": String(entry === current), "aria-setsize": shown.length, "aria-posinset": i + 1 },
        el("b", {}, entry.text || entry.id), el("small", {}, quality(entry)),
        el("small", { class: `outcome ${className(outcome)}` }, [outcome, entry.kind, entry.name || entry.video].filter(Boolean).join(" · ")),
        el("small", {}, length(entry) === null ? "" : clock(length(entry))));
      row.style.top = `${i * ROW_PX}px`;
      rows.push(row);
    }
    space.style.height = `${shown.length * ROW_PX}px`;
    list.replaceChildren(space, ...rows);
    if (!shown.length) list.append(el("p", { class: "empty" }, "Nothing matches."));
    const at = shown.indexOf(current);
    if (at >= from && at < to) list.setAttribute("aria-activedescendant", `row${at}`);
    else list.removeAttribute("aria-activedescendant");
  }

  function reveal(index) {
    const top = index * ROW_PX;
    if (top < list.scrollTop) list.scrollTop = top;
    else if (top + ROW_PX > list.scrollTop + list.clientHeight) list.scrollTop = top + ROW_PX - list.clientHeight;
  }

  function select(entry, options = {}) {
    current = entry;
    const at = shown.indexOf(entry);
    if (at >= 0) reveal(at);
    drawRows();
    draw(entry);
    if (!options.keepAddress) history.replaceState(null, "", `#${encodeURIComponent(entry.id)}`);
  }

  function onListClick(event) {
    const row = event.target.closest("[role=option]");
    if (row) select(shown[Number(row.dataset.row)]);
  }

  function onListKey(event) {
    const at = shown.indexOf(current);
    const page = Math.floor(list.clientHeight / ROW_PX);
    const to = { ArrowDown: at + 1, j: at + 1, ArrowUp: at - 1, k: at - 1, Home: 0, End: shown.length - 1, PageDown: at + page, PageUp: at - page }[event.key];
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    if (to !== undefined && shown.length) select(shown[Math.min(Math.max(to, 0), shown.length - 1)]);
    else if (event.key === "Enter" || event.key === " ") player.playFirst();
    else if (event.key === "a") player.playAnnotated();
    else if (/^[1-5]$/.test(event.key)) player.playRank(Number(event.key) - 1);
    else return;
    event.preventDefault();
  }

  // Filters

  const fields = {};

  function selectField(name, label, choices) {
    if (choices.length < 2) return null;
    const box = el("select", { change: () => set({ [name]: name === "seed" ? Number(box.value) : box.value }) },
      ...choices.map(([value, text]) => el("option", { value }, text)));
    fields[name] = box;
    return el("label", {}, label, box);
  }

  function distinct(name, all, of) {
    const found = [...new Set(entries.flatMap(of))].filter(Boolean).sort();
    return found.length > (name === "kind" ? 1 : 0) ? [["", all], ...found.map((each) => [each, each])] : [];
  }

  function filters() {
    fields.text = el("input", { type: "search", input: () => set({ text: fields.text.value }) });
    const present = Object.keys(outcomes).filter((name) => entries.some((entry) => entry.outcome.includes(name)));
    const tasks = Object.keys(TASKS).filter((task) => entries.some((entry) => entry.task === task));
    return el("div", { class: "filters", role: "search" },
      el("label", {}, "words (press /)", fields.text),
      selectField("sort", "order", Object.entries(ORDERS).map(([name, [label]]) => [name, label])),
      selectField("task", "task", tasks.length > 1 ? [["", "all"], ...tasks.map((task) => [task, TASKS[task]])] : []),
      selectField("outcome", "what became of it", present.length ? [["", "all"], ...present.map((name) => [name, name])] : []),
      selectField("kind", "kind", distinct("kind", "all", (entry) => [entry.kind])),
      selectField("length", "length", distinct("length", "all", (entry) => [entry.length])),
      selectField("seed", "seed", seeds.map((seed, i) => [i, seed])),
      el("button", { type: "button", click: exportCsv }, "export csv"),
      count);
  }

  function set(changes) {
    Object.assign(state, changes);
    for (const [name, field] of Object.entries(fields)) field.value = state[name];
    if ("seed" in changes) overview();
    choose();
    count.textContent = `${shown.length} of ${entries.length}`;
    list.scrollTop = 0;
    if (shown.length && (!shown.includes(current) || "seed" in changes)) select(shown.includes(current) ? current : shown[0], { keepAddress: true });
    else drawRows();
  }

  // The player: plays one span, again and again while it is locked. Where the browser does not play the video, small
  // copies of its moments take its place; times are those of the video everywhere else.

  const player = (() => {
    let video = null;
    let span = null;
    let entry = null;
    let clips = null;
    let clip = null;
    let drawCursor = () => {};
    const lock = el("input", { type: "checkbox", checked: true });
    const note = el("p", { class: "note", "aria-live": "polite" });

    function open(id, ofEntry, onTime) {
      close();
      entry = ofEntry;
      drawCursor = onTime;
      const known = videos[id];
      note.textContent = "";
      if (!known) return el("div");
      if (!known.src) return el("p", { class: "warn" }, `The video is not there: ${known.reason || "no file of this name was found"}.`);
      video = el("video", { controls: true, preload: "metadata", playsinline: true, tabindex: 0, "aria-label": `video ${id}`, timeupdate: onTick, play: follow, error: () => onError(id, known) });
      video.src = known.src;
      video.addEventListener("loadedmetadata", () => { if (!span && span1()) seek(span1()[0]); });
      if (known.speech && window.VTTCue) {
        const track = video.addTextTrack("captions", "speech", "");
        for (const [start, end, text] of known.speech) if (end > start) track.addCue(new VTTCue(start, end, text));
      }
      return el("div", {}, video, note);
    }

    function close() {
      if (video) { video.pause(); video.removeAttribute("src"); video.load(); }
      video = span = entry = clips = clip = null;
    }

    const now = () => video.currentTime + (clip ? clip[0] : 0);

    // Tells whether the time can be shown.
    function seek(time) {
      if (clips) {
        // In order: of two that overlap the later one goes on longer.
        const wanted = clips.findLast(([start, end]) => start <= time && time < end);
        if (!wanted) return false;
        if (wanted !== clip) { clip = wanted; video.src = clip[2]; }
      }
      video.currentTime = time - (clip ? clip[0] : 0);
      return true;
    }

    function onError(id, known) {
      if (!video || !video.error) return;
      if (known.clips && !clips) {
        clips = known.clips;
        note.textContent = `This browser does not play ${id}${known.codec ? ` (${known.codec})` : ""}: small copies of its moments are shown.`;
        if (span1() && seek((span || span1())[0]) && span) video.play().catch(() => {});
        return;
      }
      const codec = known.codec ? ` (${known.codec})` : "";
      const why = video.error.code === 4 ? `the file is gone since this page was made, or this browser cannot play it${codec}` : `this browser cannot decode it${codec}`;
      note.className = "warn";
      note.textContent = `No playback of ${id}: ${why}. Thumbnails, where there are some, stay; a player of your system may open ${decodeURIComponent(known.src)}.`;
    }

    function follow() {
      if (!video) return;
      onTick();
      if (!video.paused) requestAnimationFrame(follow);
    }

    function onTick() {
      if (!video) return;
      if (span && lock.checked && !video.paused && now() >= span[1]) seek(span[0]);
      drawCursor(now());
    }

    function play(wanted) {
      if (!video || !wanted) return;
      span = wanted;
      if (seek(wanted[0])) video.play().catch(() => {});
      else note.textContent = "Of this moment there is no small copy.";
    }

    function scrub(time) {
      if (!video || !video.paused) return;
      if (!video.seeking) seek(time);
      drawCursor(time);
    }

    const span1 = () => (entry ? first(entry) || (entry.annotated || [])[0] || entry.step || entry.window : null);
    return {
      open, play, scrub, lock,
      // What is about a whole video is played from its start.
      playFirst: () => play(span1() || [0, Infinity]),
      playAnnotated: () => entry && play((entry.annotated || [])[0]),
      playRank: (rank) => entry && entry.predicted && play(entry.predicted[state.seed][rank]),
      span: () => span || span1(),
      duration: () => (video && !clips && Number.isFinite(video.duration) ? video.duration : null),
      whenKnown: (then) => video && video.addEventListener("loadedmetadata", then),
    };
  })();

  // The timeline

  function timeline(entry, id, duration) {
    const cursor = el("div", { class: "cursor", hidden: true });
    const lanes = el("div", { class: "lanes" });
    const percent = (t) => `${Math.min(Math.max((100 * t) / duration, 0), 100)}%`;

    function bar(kind, span, label, text = "") {
      const made = el("button", { type: "button", class: kind, title: label, "aria-label": `play ${label}`, click: () => player.play(span) }, text);
      made.style.left = percent(span[0]);
      made.style.width = `calc(${percent(span[1])} - ${percent(span[0])})`;
      return made;
    }

    function lane(name, bars, kind = "") {
      const track = el("div", { class: `track ${kind}` }, ...bars);
      lanes.append(el("div", { class: "lane" }, el("span", { title: name }, name), track));
      return track;
    }

    const speech = (videos[id] || {}).speech;
    if ((entry.annotated || []).length) lane("annotated", entry.annotated.map((span) => bar("annotated", span, `annotated, ${between(span)}`)));
    (entry.predicted || []).forEach((rows, i) => {
      if (!rows.length) return;
      const bars = rows.map((row, rank) => bar(rank ? "later" : "predicted", row, rankLabel(row, rank), `${rank + 1}`)).reverse();
      lane(seeds.length > 1 ? seeds[i] : "predicted", bars);
    });
    if (entry.steps) lane("steps", entry.steps.map((s) => bar("annotated step", s, `annotated step, ${between(s)}: ${s[2]}`, s[2])));
    (entry.predicted_steps || []).forEach((steps, i) => {
      if (steps.length) lane(seeds.length > 1 ? `steps, ${seeds[i]}` : "own steps", steps.map((s, n) => bar("predicted step", s, `predicted step ${n + 1}, ${between(s)}`, `${n + 1}`)));
    });
    for (const name of ["step", "window"]) if (entry[name]) lane(name, [bar("annotated", entry[name], `${name}, ${between(entry[name])}`)]);
    curves(entry, duration).forEach(([name, picture]) => lane(name, [], "curve").append(picture));
    if (speech) lane("speech", speech.map((line) => bar("speech", line, `${between(line)}: ${line[2]}`)));
    const axis = lane("seconds", ticks(duration).map((t) => { const i = el("i", {}, `${t}`); i.style.left = percent(t); return i; }), "axis");
    lanes.append(cursor);

    const place = (t) => {
      cursor.hidden = false;
      cursor.style.left = `${axis.offsetLeft + (axis.clientWidth * Math.min(t, duration)) / duration}px`;
    };
    lanes.addEventListener("pointermove", (event) => {
      const box = axis.getBoundingClientRect();
      const share = (event.clientX - box.left) / box.width;
      if (share >= 0 && share <= 1) player.scrub(share * duration);
    });
    return [lanes, place];
  }

  function rankLabel(row, rank) {
    const score = row[2] === null ? "" : `, score ${row[2]}`;
    const iou = row[3] === null ? "" : `, IoU ${row[3].toFixed(2)}`;
    return `rank ${rank + 1}, ${between(row)}${score}${iou}`;
  }

  function ticks(duration) {
    const wanted = window.innerWidth < 720 ? 4 : 8;
    const power = 10 ** Math.floor(Math.log10(duration / wanted));
    const step = [1, 2, 5, 10].map((n) => n * power).find((n) => duration / n <= wanted);
    return Array.from({ length: Math.floor(duration / step + 1e-9) + 1 }, (_, i) => Number((i * step).toFixed(2)));
  }

  function curves(entry, duration) {
    const found = [];
    if (entry.rated) {
      const most = Math.max(...entry.rated.map((clip) => clip[2]), 1);
      const picture = curvePicture(duration, `mean rating of clips, 0 to ${most}`);
      for (const [start, end, rating] of entry.rated) picture.append(svg("rect", { x: start, width: end - start, y: 1 - rating / most, height: rating / most, fill: "#7fb894" }));
      found.push([`rated 0–${most}`, picture]);
    }
    (entry.curves || []).forEach((values, i) => {
      if (values.length < 2) return;
      const low = Math.min(...values);
      const high = Math.max(...values);
      const picture = curvePicture(duration, `predicted saliency, ${low} to ${high}`);
      const points = values.map((value, n) => `${((n + 0.5) * duration) / values.length},${high > low ? 1 - (value - low) / (high - low) : 0.5}`);
      picture.append(svg("polyline", { points: points.join(" "), fill: "none", stroke: "#2f65ad", "stroke-width": 2, "vector-effect": "non-scaling-stroke" }));
      found.push([seeds.length > 1 ? `saliency, ${seeds[i]}` : "saliency", picture]);
    });
    return found;
  }

  function curvePicture(duration, label) {
    return svg("svg", { viewBox: `0 0 ${duration} 1`, preserveAspectRatio: "none", role: "img", "aria-label": label });
  }

  // One entry

  const detail = el("div", { class: "detail", role: "region", "aria-label": "the selected query" });

  function draw(entry, id = entry.video) {
    let place = () => {};
    const opened = player.open(id, entry, (t) => place(t));
    const axisSlot = el("div");
    const drawLanes = () => {
      const duration = entry.duration || (videos[id] || {}).duration || player.duration();
      if (!duration) { player.whenKnown(drawLanes); return; }
      const [lanes, cursorAt] = timeline(entry, id, duration);
      place = cursorAt;
      axisSlot.replaceChildren(lanes);
    };
    const outcome = entry.outcome[state.seed];
    const facts = [outcome && `${outcome}${outcomes[outcome] ? ` (${outcomes[outcome]})` : ""}`, quality(entry), entry.kind, ...(entry.notes || [])];
    detail.replaceChildren(
      el("h3", {}, entry.text || entry.id),
      el("p", { class: "note" }, `${entry.name || id || ""} · ${facts.filter(Boolean).join(" · ")}`),
      entry.why ? el("p", { class: "warn" }, `Why: ${entry.why}.`) : "",
      opened, axisSlot, actions(entry, id), thumbnails(entry), ...forms(entry), ranks(entry), said(id));
    drawLanes();
  }

  function actions(entry, id) {
    const copied = el("input", { class: "copied", readonly: true, hidden: true, "aria-label": "copied text" });
    const copy = (text) => {
      copied.hidden = false;
      copied.value = text;
      copied.select();
      if (navigator.clipboard) navigator.clipboard.writeText(text).catch(() => document.execCommand("copy"));
      else document.execCommand("copy");
    };
    const link = () => copy(`${location.href.split("#")[0]}#${encodeURIComponent(entry.id)}`);
    return el("div", {},
      el("div", { class: "actions" },
        el("button", { type: "button", click: player.playFirst }, "play the answer"),
        (entry.annotated || []).length ? el("button", { type: "button", click: player.playAnnotated }, "play the annotated moment") : "",
        el("label", {}, player.lock, "stay in the moment"),
        videos[id] && videos[id].src && player.span() ? el("button", { type: "button", click: () => copy(ffmpegCut(id)) }, "copy as ffmpeg cut") : "",
        el("button", { type: "button", click: link }, "copy link")),
      copied);
  }

  function ffmpegCut(id) {
    const [start, end] = player.span();
    const quoted = (text) => `'${text.replace(/'/g, "'\\''")}'`;
    const place = new URL(videos[id].src, location.href);
    const file = place.protocol === "file:" ? decodeURIComponent(place.pathname) : place.href;
    const out = `${id.replace(/[^\w.-]+/g, "_").replace(/^-+/, "")}_${start.toFixed(2)}-${end.toFixed(2)}.mp4`;
    return `ffmpeg -ss ${start.toFixed(2)} -i ${quoted(file)} -t ${(end - start).toFixed(2)} ${quoted(out)}`;
  }

  function thumbnails(entry) {
    return el("div", { class: "thumbnails" }, ...(entry.pictures || []).map(([label, time, src]) => {
      const picture = el("img", { src, alt: "", loading: "lazy", error: () => button.remove() });
      const button = el("button", { type: "button", class: label, click: () => player.play([Math.max(time - 1, 0), time + 1]) },
        picture, el("span", {}, `${label}, ${clock(time)}`));
      return button;
    }));
  }

  function forms(entry) {
    const found = [];
    if (entry.captions) {
      found.push(el("p", {}, ...entry.heard.flatMap(([word, isHeard]) => [isHeard ? el("u", { title: "only with sound" }, word) : word, " "])));
      if (seeds.length > 1) found.push(el("ul", {}, ...entry.captions.map((text, i) => el("li", {}, `${seeds[i]}: ${text}`))));
      if (entry.references.length) found.push(el("p", { class: "note" }, "annotated:"), el("ul", {}, ...entry.references.map((text) => el("li", {}, text))));
    }
    if (entry.ranking) {
      entry.ranking.forEach((rows, i) => {
        if (seeds.length > 1) found.push(el("p", { class: "note" }, seeds[i]));
        found.push(el("ol", {}, ...rows.map(([id, name, isRight]) =>
          el("li", {}, el("button", { type: "button", class: "plain", click: () => draw(entry, id) }, `${name}${isRight ? " ✓" : ""}`)))));
      });
      found.push(el("p", { class: "note" }, "The first videos; a right one is marked ✓. A name opens its video."));
    }
    return found;
  }

  function ranks(entry) {
    const rows = entry.predicted ? entry.predicted[state.seed] : [];
    if (!rows.length) return "";
    return el("ol", {}, ...rows.map((row, rank) =>
      el("li", {}, el("button", { type: "button", class: "plain", click: () => player.play(row) }, rankLabel(row, rank).replace(/^rank \d+, /, "")))));
  }

  function said(id) {
    const lines = (videos[id] || {}).speech;
    if (!lines) return "";
    return el("ul", { class: "said", tabindex: 0, "aria-label": "what is said" }, ...lines.map((line) =>
      el("li", {}, el("button", { type: "button", click: () => player.play(line) }, `${clock(line[0])}  ${line[2]}`))));
  }

  // What is listed, as a table

  function exportCsv() {
    const header = ["id", "task", "video", "text", "kind", "outcome", "quality", "annotated", "start_s", "end_s", "score", "iou"];
    const rows = shown.map((entry) => {
      const [start, end, score, iou] = first(entry) || [];
      const annotated = (entry.annotated || []).map(([s, e]) => `${s}-${e}`).join(" ");
      return [entry.id, entry.task, entry.video, entry.text, entry.kind, entry.outcome[state.seed], entry.quality[state.seed], annotated, start, end, score, iou];
    });
    const text = [header, ...rows].map((row) => row.map(csvCell).join(",")).join("\r\n");
    const link = el("a", { download: `${DATA.dataset}_${DATA.system}_queries.csv`, href: URL.createObjectURL(new Blob([text], { type: "text/csv" })) });
    link.click();
    setTimeout(() => URL.revokeObjectURL(link.href), 1000);
  }

  function csvCell(value) {
    if (value === null || value === undefined) return "";
    // A spreadsheet would run a text that begins like a formula.
    const text = typeof value === "string" && /^[=+\-@\t\r]/.test(value) ? `'${value}` : String(value);
    return /[",\r\n]/.test(text) ? `"${text.replace(/"/g, '""')}"` : text;
  }

  // Start

  function followAddress() {
    let id = location.hash.slice(1);
    try { id = decodeURIComponent(id); } catch { /* Not one of ours: taken as it is. */ }
    const wanted = entries.find((entry) => entry.id === id);
    if (!wanted) return false;
    if (!shown.includes(wanted)) set({ text: "", task: "", kind: "", length: "", outcome: "" });
    select(wanted, { keepAddress: true });
    return true;
  }

  const explorer = document.getElementById("explorer");
  if (!entries.length) {
    explorer.append(el("p", {}, "There are no answers to show."));
    return;
  }
  explorer.append(filters(), el("div", { class: "panes" }, list, detail));
  overview();
  choose();
  count.textContent = `${shown.length} of ${entries.length}`;
  if (!followAddress()) select(shown[0], { keepAddress: true });
  window.addEventListener("hashchange", followAddress);
  document.addEventListener("keydown", (event) => {
    if (event.key !== "/" || /INPUT|SELECT|TEXTAREA/.test(event.target.tagName)) return;
    fields.text.focus();
    event.preventDefault();
  });
})();

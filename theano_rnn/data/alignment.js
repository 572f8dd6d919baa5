// A recording in time: its words, its spectrogram, the network's probabilities, and a player. Belongs to alignment.css.
const PIXELS_PER_SECOND = 200, ROW_PIXELS = 16, SIGNS = { " ": "\u2423" };

// Returns the colour of a CSS variable as [red, green, blue].
function colourOf(name) {
  const pen = document.createElement("canvas").getContext("2d");
  pen.fillStyle = getComputedStyle(document.documentElement).getPropertyValue(name).trim();
  pen.fillRect(0, 0, 1, 1);
  return pen.getImageData(0, 0, 1, 1).data.slice(0, 3);
}

// Returns a canvas with a picture { rows, columns, values, seconds }: the stronger a value, the fuller the colour. Its
// width is the share of the duration that it covers.
function pictureOf({ rows, columns, values, seconds }, duration, colour) {
  const canvas = document.createElement("canvas");
  canvas.style.width = `${(100 * seconds) / duration}%`;
  canvas.width = Math.max(columns, 1);
  canvas.height = Math.max(rows, 1);
  if (!rows || !columns) return canvas;
  const pen = canvas.getContext("2d"), pixels = pen.createImageData(columns, rows), bytes = atob(values);
  for (let i = 0; i < rows * columns; i++) {
    pixels.data.set(colour, 4 * i);
    pixels.data[4 * i + 3] = bytes.charCodeAt(i);
  }
  pen.putImageData(pixels, 0, 0);
  return canvas;
}

function nameOf(label) {
  return SIGNS[label] ?? label;
}

function seconds(value) {
  return `${value.toFixed(2)} s`;
}

// Returns an element that shows a record of `alignment_page`; `audio` is the address of the sound, or null.
function alignmentView(record, audio) {
  const player = document.createElement("audio");
  const place = (value) => `${(100 * Math.min(value, record.seconds)) / record.seconds}%`;

  function playFrom(start, end) {
    if (!audio) return;
    stopAt = end ?? Infinity;
    player.currentTime = start;
    player.play();
  }

  let stopAt = Infinity;
  const said = makeElement("p", "said", record.text || "(no words)");
  said.dir = "auto";
  const words = makeElement("div", "lane words", ...record.words.map(([word, start, end, p], i) => {
    const room = Math.max(Math.min(record.words[i + 1]?.[1] ?? record.seconds, end + 0.5) - start, end - start, 0.05);
    const button = makeElement("button", "", word);
    button.type = "button";
    button.title = `${word}, ${seconds(start)} to ${seconds(end)}, probability ${p.toFixed(2)}`;
    button.style.left = place(start);
    button.style.width = place(room);
    button.style.setProperty("--share", `${(100 * (end - start)) / room}%`);
    button.addEventListener("click", (event) => {
      event.stopPropagation();
      playFrom(Math.max(start - 0.1, 0), end + 0.1);
    });
    return button;
  }));
  const sound = makeElement("div", "lane sound", pictureOf(record.spectrogram, record.seconds, colourOf("--ink")));
  const { posteriors } = record, names = posteriors.labels;
  const outputs = makeElement("div", "lane outputs", pictureOf(posteriors, record.seconds, colourOf("--accent")));
  outputs.style.height = `${ROW_PIXELS * names.length}px`;
  for (const [label, start, end, p] of record.labels) {
    const box = makeElement("span", "segment");
    box.title = `${nameOf(label)} ${p.toFixed(2)}`;
    box.style.left = place(start);
    box.style.width = place(end - start);
    box.style.top = `${ROW_PIXELS * names.indexOf(label)}px`;
    box.style.height = `${ROW_PIXELS}px`;
    outputs.append(box);
  }
  const axis = makeElement("div", "lane axis");
  const step = [0.5, 1, 5, 10, 30, 60, 300].find((each) => record.seconds / each <= 60) ?? 600;
  for (let time = 0; time < record.seconds; time += step) {
    const tick = makeElement("span", "tick", String(time));
    tick.style.left = place(time);
    axis.append(tick);
  }
  const playhead = makeElement("div", "playhead");
  playhead.hidden = true;
  const top = record.spectrogram.top_hz;
  const rowNames = makeElement("div", "gutter rows", ...names.map((name) => makeElement("span", "", nameOf(name))));
  rowNames.style.gridAutoRows = `${ROW_PIXELS}px`;
  const timeline = makeElement("div", "timeline",
    makeElement("div", "gutter", ""), words,
    makeElement("div", "gutter", top ? `${(top / 1000).toFixed(0)} kHz` : "features"), sound,
    rowNames, outputs,
    makeElement("div", "gutter", "s"), axis);
  timeline.style.width = `max(100%, ${Math.ceil(record.seconds * PIXELS_PER_SECOND + 48)}px)`;
  sound.append(playhead);
  const scroll = makeElement("div", "scroll", timeline);
  scroll.tabIndex = 0;
  scroll.setAttribute("role", "group");
  scroll.setAttribute("aria-label", "Words, spectrogram and probabilities of labels over time");
  for (const lane of [words, sound, outputs, axis]) {
    lane.addEventListener("click", (event) => {
      const { left, width } = lane.getBoundingClientRect();
      playFrom((record.seconds * (event.clientX - left)) / width);
    });
  }
  const rows = record.words.map(([word, start, end, p, labels]) => {
    const sure = labels.map(([label, , , q]) => makeElement("span", "sure", `${nameOf(label)} ${q.toFixed(2)}`));
    const name = makeElement("td", "", word);
    name.dir = "auto";
    return makeElement("tr", "", name, makeElement("td", "", `${start.toFixed(2)}\u2013${end.toFixed(2)}`),
      makeElement("td", "", p.toFixed(2)), makeElement("td", "", ...sure));
  });
  const heading = makeElement("tr", "", ...["Word", "Seconds", "Probability", "Labels"].map((name) => makeElement("th", "", name)));
  const table = makeElement("table", "heard", makeElement("thead", "", heading), makeElement("tbody", "", ...rows));
  const path = makeElement("p", "help", `Likeliest labels: ${record.labels.map(([label]) => nameOf(label)).join(" ") || "none"}`);

  function moved() {
    const now = player.currentTime;
    if (now >= stopAt) {
      player.pause();
      stopAt = Infinity;
    }
    playhead.hidden = false;
    playhead.style.left = place(now);
    for (const [i, row] of rows.entries()) row.classList.toggle("now", record.words[i][1] <= now && now < record.words[i][2]);
    if (player.paused) return;
    const x = 48 + ((timeline.clientWidth - 48) * now) / record.seconds;
    if (x < scroll.scrollLeft + 48 || x > scroll.scrollLeft + scroll.clientWidth - 20) scroll.scrollLeft = x - 80;
    requestAnimationFrame(moved);
  }

  const parts = [said];
  if (audio) {
    player.controls = true;
    player.src = audio;
    player.addEventListener("play", moved);
    player.addEventListener("seeked", moved);
    parts.push(player);
  }
  parts.push(scroll);
  if (rows.length) parts.push(table);
  return makeElement("article", "alignment", ...parts, path);
}

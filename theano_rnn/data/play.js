// A text area, its text as the model read it, and completions. Texts are always set as textContent, never as HTML.
const model = JSON.parse(document.getElementById("model").textContent);
const text = at("text"), read = at("read"), status = at("status");
const NUM_CANDIDATES = 8, WAIT = 200; // milliseconds from typing to a request

let pieces = [], spans = [], chosen = -1; // the shown tokens, and the selected one (-1: none)
let scoring = null, completing = null, timer = 0, seed = 0; // pending requests
let writing = null; // aborts the writing
const WRITE_TOKENS = 12; // of each request while the model writes on

function say(line, isBad = false) {
  status.textContent = line;
  status.classList.toggle("bad", isBad);
}

// The text

function changed(isTyped) {
  read.classList.add("stale");
  if (isTyped) forgetCompletions();
  clearTimeout(timer);
  timer = setTimeout(score, WAIT);
}

async function score() {
  if (scoring) scoring.abort();
  const mine = (scoring = new AbortController());
  try {
    const answer = await postJson("/api/score", { text: text.value.toWellFormed?.() ?? text.value,
      temperature: Number(at("temperature").value), num_candidates: NUM_CANDIDATES }, mine.signal);
    if (mine !== scoring) return;
    say("");
    show(answer);
  } catch (error) {
    if (error.name !== "AbortError" && mine === scoring) say(error.message, true);
  }
}

function show(answer) {
  pieces = answer.pieces;
  spans = [];
  chosen = -1;
  const children = [];
  for (const [i, piece] of pieces.entries()) {
    const blanks = model.unit !== "char" ? piece.text.match(/^\s*/)[0] : "";
    const span = tokenSpan(piece.text.slice(blanks.length), piece.token, -piece.log_probability);
    span.id = `token-${i}`;
    span.setAttribute("role", "option");
    span.setAttribute("aria-label", `${tokenName(piece.token)}, ${nats(-piece.log_probability)}`);
    if (piece.is_unknown) span.classList.add("unknown");
    children.push(blanks, span);
    spans.push(span);
  }
  read.replaceChildren(...children, answer.rest);
  read.classList.remove("stale");
  read.removeAttribute("aria-activedescendant");
  at("totals").textContent = totals(answer);
  choose(-1);
  showCandidates(answer.candidates);
  at("example").hidden = text.value.trim() !== "" || writing !== null;
}

function totals(answer) {
  if (!pieces.length) return "";
  const count = `${pieces.length.toLocaleString("en")} ${pieces.length === 1 ? "token" : "tokens"}`;
  const words = [...new Set(pieces.filter((piece) => piece.is_unknown).map((piece) => short(piece.token, 30)))];
  const named = words.slice(0, 5).join(", ") + (words.length > 5 ? ", \u2026" : "");
  const unknown = words.length ? `; not in the vocabulary: ${named}` : "";
  return `${count}, ${(-answer.total).toFixed(1)} nats, perplexity ${perplexity(answer.perplexity)}${unknown}`;
}

// One token

function choose(i, scroll = false) {
  spans[chosen]?.classList.remove("chosen");
  spans[chosen]?.setAttribute("aria-selected", "false");
  chosen = i;
  const piece = pieces[i], panel = at("token");
  if (!piece) {
    panel.replaceChildren(makeElement("p", "help", "No token is selected. Point at one in the text."));
    return;
  }
  spans[i].classList.add("chosen");
  spans[i].setAttribute("aria-selected", "true");
  read.setAttribute("aria-activedescendant", spans[i].id);
  if (scroll) spans[i].scrollIntoView({ block: "nearest" });
  panel.replaceChildren(
    makeElement("p", "name", tokenName(piece.token), piece.is_unknown ? " (not in the vocabulary, read as <unk>)" : ""),
    makeElement("p", "", `probability ${percent(Math.exp(piece.log_probability))}, surprisal ${nats(-piece.log_probability)}`),
    makeElement("p", "help", "The model's best guesses here:"),
    ...guessRows(piece.guesses),
  );
}

read.addEventListener("keydown", (event) => {
  const next = indexAfterKey(event, spans, chosen);
  if (next === undefined) return;
  event.preventDefault();
  choose(next, true);
});
read.addEventListener("focus", () => {
  if (chosen < 0 && spans.length) choose(spans.length - 1);
});
for (const kind of ["mouseover", "click"]) {
  read.addEventListener(kind, (event) => {
    const i = spans.indexOf(event.target);
    if (i >= 0) choose(i);
  });
}

// Likely next tokens

const buttons = Array.from({ length: NUM_CANDIDATES }, (_, i) => {
  const button = makeElement("button", "", makeElement("kbd", "", String(i + 1)), makeElement("span", "word"), makeElement("span", "share"));
  button.type = "button";
  button.hidden = true;
  button.addEventListener("click", () => append(button.dataset.text));
  at("candidates").append(button);
  return button;
});

function showCandidates(candidates) {
  for (const [i, button] of buttons.entries()) {
    const candidate = candidates[i];
    button.hidden = !candidate;
    if (!candidate) continue;
    button.dataset.text = candidate.text;
    button.disabled = candidate.text === "";
    button.title = button.disabled ? "This ends the sentence: type a full stop first." : "";
    button.children[1].textContent = tokenName(candidate.token);
    button.children[2].textContent = percent(candidate.probability);
  }
}

function append(added) {
  if (!added) return;
  forgetCompletions();
  const end = text.value.length;
  text.setSelectionRange(end, end);
  const isUndoable = document.activeElement === text && document.execCommand("insertText", false, added);
  if (!isUndoable) text.setRangeText(added, end, end, "end");
  text.scrollTop = text.scrollHeight;
  changed(false);
  for (const button of buttons) button.disabled = true; // until the candidates of the new text arrive
}

// Completions

function forgetCompletions() {
  if (completing) completing.abort();
  completing = null;
  at("complete").disabled = false;
  at("completions").replaceChildren();
}

async function complete() {
  forgetCompletions();
  const mine = (completing = new AbortController()), prompt = text.value.toWellFormed?.() ?? text.value;
  at("complete").disabled = true;
  say("Generating\u2026");
  seed += 1;
  try {
    const answer = await postJson("/api/complete", { prompt, num_samples: Number(at("samples").value), seed,
      max_tokens: Number(at("length").value), temperature: Number(at("temperature").value) }, mine.signal);
    if (mine !== completing) return;
    say("");
    at("completions").replaceChildren(...[...new Set(answer.samples)].map((sample) => completion(prompt, sample)));
  } catch (error) {
    if (error.name !== "AbortError" && mine === completing) say(error.message, true);
  } finally {
    if (mine === completing) at("complete").disabled = false;
  }
}

function completion(prompt, sample) {
  let before = Array.from(prompt.slice(-80)).slice(-24).join("");
  if (before.length < prompt.length) before = "\u2026" + before.replace(/^\S*\s+(?=\S)/, "");
  const button = makeElement("button", "", makeElement("span", "before", before), sample);
  button.type = "button";
  button.addEventListener("click", () => {
    text.value = prompt + sample;
    text.scrollTop = text.scrollHeight;
    changed(false);
  });
  return button;
}

// Writing on: short pieces, one after the other, until the button is pressed again

async function writeOn() {
  if (writing) writing.abort();
  const mine = (writing = writing ? null : new AbortController());
  showWriting();
  if (!mine) return;
  say("");
  at("example").hidden = true;
  let scored = performance.now();
  try {
    while (mine === writing) {
      const before = text.value;
      seed += 1;
      const answer = await postJson("/api/complete", { prompt: before.toWellFormed?.() ?? before, num_samples: 1, seed,
        length: WRITE_TOKENS, temperature: Number(at("temperature").value) }, mine.signal);
      if (mine !== writing) return;
      if (text.value !== before) continue; // somebody has typed: write on from there
      text.value = before + answer.samples[0];
      text.scrollTop = text.scrollHeight;
      changed(true);
      if (performance.now() - scored > 1000) { // changed() alone waits until nothing changes
        scored = performance.now();
        score();
      }
    }
  } catch (error) {
    if (error.name !== "AbortError") say(error.message, true);
  } finally {
    if (mine === writing) {
      writing = null;
      showWriting();
    }
  }
}

function showWriting() {
  at("write").textContent = writing ? "Stop" : "Write on";
  at("write").setAttribute("aria-pressed", String(writing !== null));
}

at("write").addEventListener("click", writeOn);
at("example").querySelector("button").addEventListener("click", writeOn);

text.addEventListener("input", () => changed(true));
at("temperature").addEventListener("input", () => {
  at("temperature-value").textContent = Number(at("temperature").value).toFixed(2);
  changed(false);
});
at("complete").addEventListener("click", complete);
document.addEventListener("keydown", (event) => {
  const button = event.altKey && !event.ctrlKey && /^Digit[1-8]$/.test(event.code) && buttons[Number(event.code[5]) - 1];
  if (button) {
    event.preventDefault();
    button.click();
  } else if (event.key === "Enter" && (event.ctrlKey || event.metaKey)) {
    event.preventDefault();
    complete();
  }
});

at("about").textContent = `${model.name}: ${model.cell.toUpperCase()}, ${model.num_layers} \u00d7 ${model.hidden_size} units, ` +
  `${model.parameters.toLocaleString("en")} parameters, vocabulary of ${model.vocab_size.toLocaleString("en")} ` +
  { word: "words", char: "characters", subword: "pieces" }[model.unit];
at("samples").max = model.limits.samples;
at("length").max = model.limits.new_tokens;
legend(at("legend"));
score();

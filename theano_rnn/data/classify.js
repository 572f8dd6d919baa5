// A text area, the probabilities of the labels, and the tokens coloured by what they add to one of them. Texts are always
// set as textContent, never as HTML.
const model = JSON.parse(at("model").textContent);
const text = at("text"), read = at("read"), status = at("status");
const WAIT = 200; // milliseconds from typing to a request

let pieces = [], spans = [], chosen = -1; // the shown tokens, and the selected one (-1: none)
let explained = null; // the label whose contributions are shown
let wanted = null; // the label that the user has clicked; null: the likeliest
let asking = null, timer = 0; // the pending request

function say(line, isBad = false) {
  status.textContent = line;
  status.classList.toggle("bad", isBad);
}

function changed() {
  for (const id of ["read", "labels"]) at(id).classList.add("stale");
  clearTimeout(timer);
  timer = setTimeout(ask, WAIT);
}

async function ask() {
  if (asking) asking.abort();
  const mine = (asking = new AbortController());
  try {
    const answer = await postJson("/api/classify", { text: text.value.toWellFormed?.() ?? text.value, label: wanted }, mine.signal);
    if (mine !== asking) return;
    say("");
    show(answer);
  } catch (error) {
    if (error.name !== "AbortError" && mine === asking) say(error.message, true);
  }
}

function show(answer) {
  ({ pieces, explained } = answer);
  const hadFocus = at("labels").contains(document.activeElement);
  at("labels").replaceChildren(...(answer.probabilities.length ? labelRows(answer.probabilities, explained, chooseLabel)
    : [makeElement("p", "help", "There is no text yet.")]));
  if (hadFocus) at("labels").querySelector('[aria-pressed="true"]')?.focus();
  spans = fillWithPieces(read, pieces, model.unit, "token");
  colourPieces(spans, pieces, "contribution");
  at("read-title").textContent = explained === null ? "What each token adds to the label" : `What each token adds to ${short(explained)}`;
  if (pieces.length) signedLegend(at("legend"), "Nats of the log-odds:", largest(pieces, "contribution"));
  else at("legend").replaceChildren();
  for (const id of ["read", "labels"]) at(id).classList.remove("stale");
  choose(-1);
}

function chooseLabel(label) {
  wanted = label;
  clearTimeout(timer);
  ask();
}

function choose(i, scroll = false) {
  chosen = i;
  markChosen(read, spans, i, scroll);
  at("token").replaceChildren(...(pieces[i] ? pieceFacts(pieces[i], explained)
    : [makeElement("p", "help", "No token is selected. Point at one in the text.")]));
}

followPointer(read, () => spans, () => chosen, choose);
text.addEventListener("input", () => {
  wanted = null;
  changed();
});
at("about").textContent = `${model.name}: ${model.labels.length.toLocaleString("en")} labels, ` +
  `${model.parameters.toLocaleString("en")} parameters, vocabulary of ${model.vocab_size.toLocaleString("en")} ` +
  { word: "words", char: "characters", subword: "pieces" }[model.unit];
ask();

// A text area, the translation of each line, and the attention of the chosen line. Texts are always set as textContent,
// never as HTML.
const model = JSON.parse(at("model").textContent);
const text = at("text"), status = at("status");
const WAIT = 400; // milliseconds from typing to a request

let lines = [], chosen = 0; // the shown lines, and the selected one
let asking = null, timer = 0; // the pending request

function say(line, isBad = false) {
  status.textContent = line;
  status.classList.toggle("bad", isBad);
}

function setStale(isStale) {
  for (const id of ["lines", "others", "attention"]) at(id).classList.toggle("stale", isStale);
}

function changed() {
  setStale(true);
  clearTimeout(timer);
  timer = setTimeout(ask, WAIT);
}

async function ask() {
  if (asking) asking.abort();
  const mine = (asking = new AbortController());
  try {
    const answer = await postJson("/api/translate", { text: text.value.toWellFormed?.() ?? text.value }, mine.signal);
    if (mine !== asking) return;
    lines = answer.lines;
    const unknown = lines.reduce((sum, line) => sum + line.num_unknown, 0);
    say(unknown ? `${unknown} ${unknown === 1 ? "token is" : "tokens are"} not in the model's vocabulary.` : "");
    show();
  } catch (error) {
    if (error.name !== "AbortError" && mine === asking) say(error.message, true);
  }
}

function show() {
  const buttons = lines.map((line, i) => {
    const button = makeElement("button", "", line.translations.length ? line.translations[0].text : "\u00a0");
    button.type = "button";
    button.dir = "auto";
    button.addEventListener("click", () => choose(i));
    return button;
  });
  at("lines").replaceChildren(...(buttons.length ? buttons : [makeElement("p", "help", "There is no text yet.")]));
  choose(Math.min(chosen, Math.max(lines.length - 1, 0)));
  setStale(false);
}

function choose(i) {
  chosen = i;
  for (const [j, button] of at("lines").querySelectorAll("button").entries()) {
    button.setAttribute("aria-pressed", String(j === i));
  }
  const { translations, attention } = lines[i] ?? { translations: [], attention: null };
  at("others").replaceChildren(...translations.map((each) => {
    const item = makeElement("li", "", `${each.text} `, makeElement("span", "share", each.score.toFixed(2).replace("-", "\u2212")));
    item.dir = "auto";
    return item;
  }));
  at("attention").replaceChildren(...(attention ? [attentionTable(attention)] : []));
}

text.addEventListener("input", changed);
at("about").textContent = `${model.name}: ${model.parameters.toLocaleString("en")} parameters, ` +
  `${model.source_vocab_size.toLocaleString("en")} source and ${model.vocab_size.toLocaleString("en")} target ` +
  `${{ word: "words", char: "characters", subword: "pieces" }[model.unit]} in the vocabularies` +
  (model.num_translators > 1 ? `; ${model.num_translators} translators search together` : "") +
  (model.has_language_model ? "; a language model helps" : "");
ask();

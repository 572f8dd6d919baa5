// Shows a text coloured by surprisal or by a unit's activation. Texts are always set as textContent, never as HTML.
const reading = JSON.parse(at("reading").textContent);
const { model, words, pieces, states, ranked } = reading;
const read = at("read"), MAX_BLOCK = 400; // tokens in a block; blocks that are not visible are not laid out
const activations = Int8Array.from(atob(states.activations), (c) => c.charCodeAt(0)); // unit by unit; 127 stands for the unit's scale
const firstUnits = [0]; // number of the first unit of each part of the state
for (const size of states.sizes) firstUnits.push(firstUnits.at(-1) + size);

let chosen = -1, unit = null; // the selected token (-1: none); the selected unit's number (null: colour by surprisal)

const surprisalOf = (i) => pieces.surprisals[i];
const activationOf = (i) => (activations[unit * pieces.texts.length + i] / 127) * states.scales[unit];
const partOf = (number) => firstUnits.findLastIndex((first) => first <= number);
const unitName = (number) => `${states.names[partOf(number)]} ${number - firstUnits[partOf(number)]}`;

function activation(value) {
  return value === 0 || Math.abs(value) >= 0.05 ? value.toFixed(2) : String(Number(value.toPrecision(2)));
}

// The text

const spans = pieces.texts.map((text, i) => {
  const span = tokenSpan(model.unit !== "char" ? text.trim().replace(/\s+/g, " ") : text, words[pieces.tokens[i]], null);
  span.id = `token-${i}`;
  span.place = i;
  span.setAttribute("role", "option");
  span.setAttribute("aria-label", `${tokenName(words[pieces.tokens[i]])}, ${nats(surprisalOf(i))}`);
  if (pieces.unknown[i]) span.classList.add("unknown");
  return span;
});

function showText() {
  const blocks = [];
  let block = null;
  for (const [i, span] of spans.entries()) {
    const blanks = model.unit !== "char" ? pieces.texts[i].match(/^\s*/)[0] : "";
    if (!block || block.childElementCount >= MAX_BLOCK) {
      block = makeElement("div", "sentence");
      block.setAttribute("role", "presentation");
      if (/\n\s*\n/.test(blanks)) block.classList.add("paragraph");
      blocks.push(block);
    } else if (blanks) block.append(" ");
    block.append(span);
    if (span.classList.contains("end") || span.classList.contains("newline")) block = null;
  }
  read.replaceChildren(...blocks);
}

function colour() {
  const scale = unit === null ? 1 : states.scales[unit];
  for (const [i, span] of spans.entries()) {
    span.style.backgroundColor = unit === null ? surprisalColour(surprisalOf(i)) : signedColour(scale ? activationOf(i) / scale : 0);
  }
  if (unit === null) legend(at("legend"));
  else {
    const swatches = [-1, -0.5, 0, 0.5, 1].map((share) => {
      const swatch = makeElement("span", "swatch", activation(share * scale));
      swatch.style.backgroundColor = signedColour(share);
      return swatch;
    });
    at("legend").classList.add("legend");
    at("legend").replaceChildren(`Activation of ${unitName(unit)}:`, ...swatches);
  }
}

// One token

function choose(i, scroll = false) {
  spans[chosen]?.classList.remove("chosen");
  spans[chosen]?.setAttribute("aria-selected", "false");
  chosen = i;
  showToken();
  if (!spans[i]) return read.removeAttribute("aria-activedescendant");
  spans[i].classList.add("chosen");
  spans[i].setAttribute("aria-selected", "true");
  read.setAttribute("aria-activedescendant", spans[i].id);
  if (scroll) spans[i].scrollIntoView({ block: "nearest" });
}

function showToken() {
  if (!spans[chosen]) {
    at("token").replaceChildren(makeElement("p", "help", "No token is selected. Point at one in the text."));
    return;
  }
  const { guesses, probabilities } = pieces, count = guesses.length / spans.length;
  const rows = Array.from({ length: count }, (_, j) => [words[guesses[chosen * count + j]], probabilities[chosen * count + j]]);
  at("token").replaceChildren(
    makeElement("p", "name", tokenName(words[pieces.tokens[chosen]]), pieces.unknown[chosen] ? " (not in the vocabulary, read as <unk>)" : ""),
    makeElement("p", "", `probability ${percent(Math.exp(-surprisalOf(chosen)))}, surprisal ${nats(surprisalOf(chosen))}`),
    ...(unit === null ? [] : [makeElement("p", "activation", `${unitName(unit)} after this token: ${activation(activationOf(chosen))}`)]),
    makeElement("p", "help", "The model's best guesses here:"),
    ...guessRows(rows),
  );
}

read.addEventListener("keydown", (event) => {
  const next = indexAfterKey(event, spans, chosen);
  if (next === undefined) return;
  event.preventDefault();
  choose(next, true);
});
read.addEventListener("focus", () => {
  if (chosen < 0) choose(0);
});
for (const kind of ["mouseover", "click"]) {
  read.addEventListener(kind, (event) => {
    if (event.target.place !== undefined) choose(event.target.place);
  });
}

// One unit

function chooseUnit(number) {
  unit = number;
  at("by-surprisal").checked = number === null;
  at("by-unit").checked = number !== null;
  if (number !== null) {
    const part = partOf(number);
    at("part").value = part;
    at("unit").max = states.sizes[part] - 1;
    at("unit").value = number - firstUnits[part];
  }
  for (const button of at("ranked").querySelectorAll("button")) button.setAttribute("aria-pressed", button.unit === number);
  colour();
  showToken();
}

function requestedUnit() {
  const part = Number(at("part").value), most = states.sizes[part] - 1;
  return firstUnits[part] + Math.min(Math.max(Math.trunc(Number(at("unit").value)) || 0, 0), most);
}

at("part").append(...states.names.map((name, part) => {
  const option = makeElement("option", "", name);
  option.value = part;
  return option;
}));
at("unit").max = states.sizes[0] - 1;
at("part").addEventListener("change", () => chooseUnit(requestedUnit()));
at("unit").addEventListener("change", () => chooseUnit(requestedUnit()));
at("by-unit").addEventListener("change", () => chooseUnit(requestedUnit()));
at("by-surprisal").addEventListener("change", () => chooseUnit(null));

at("ranked").append(...ranked.map(({ title, units }) => {
  const buttons = units.map(([number, r]) => {
    const button = makeElement("button", "", unitName(number), makeElement("span", "share", `${r < 0 ? "\u2212" : "+"}${Math.abs(r).toFixed(2)}`));
    button.type = "button";
    button.unit = number;
    button.addEventListener("click", () => chooseUnit(number));
    return button;
  });
  return makeElement("div", "", makeElement("h3", "", title), ...(buttons.length ? buttons : [makeElement("p", "help", "This feature does not vary in this text.")]));
}));

at("about").textContent = model.about;
const total = pieces.surprisals.reduce((sum, each) => sum + each, 0);
at("totals").textContent = `${spans.length.toLocaleString("en")} ${spans.length === 1 ? "token" : "tokens"}, ` +
  `${total.toFixed(1)} nats, perplexity ${perplexity(Math.exp(total / spans.length))}`;
showText();
chooseUnit(null);
choose(-1);

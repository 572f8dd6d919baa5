// A text on the colour of its tokens' surprisal, or of a unit's activation. All texts go in as textContent, never as HTML.
const reading = JSON.parse(at("reading").textContent);
const { model, words, pieces, states, ranked } = reading;
const read = at("read"), MOST_BLOCK = 400; // tokens of a block: what is far away is not laid out
const activations = Int8Array.from(atob(states.activations), (c) => c.charCodeAt(0)); // unit after unit, 127: the scale
const firstUnits = [0]; // number of the first unit of each part
for (const size of states.sizes) firstUnits.push(firstUnits.at(-1) + size);

let chosen = -1, unit = null; // the token that is told of; number of the unit, null: colour by surprisal

const surprisalOf = (i) => pieces.surprisals[i];
const activationOf = (i) => (activations[unit * pieces.texts.length + i] / 127) * states.scales[unit];
const partOf = (number) => firstUnits.findLastIndex((first) => first <= number);
const unitName = (number) => `${states.names[partOf(number)]} ${number - firstUnits[partOf(number)]}`;

function activation(value) {
  return value === 0 || Math.abs(value) >= 0.05 ? value.toFixed(2) : String(Number(value.toPrecision(2)));
}

// Blue below zero, the hue of surprisal above; the fuller the farther from it, up to the unit's largest.
function activationColour(share) {
  return `rgb(${share < 0 ? "20 90 225" : "235 98 20"} / ${(0.65 * Math.abs(share)).toFixed(3)})`;
}

// The text

const spans = pieces.texts.map((text, i) => {
  const span = tokenSpan(model.unit === "word" ? text.trim().replace(/\s+/g, " ") : text, words[pieces.tokens[i]], null);
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
    const blanks = model.unit === "word" ? pieces.texts[i].match(/^\s*/)[0] : "";
    if (!block || block.childElementCount >= MOST_BLOCK) {
      block = made("div", "sentence");
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
    span.style.backgroundColor = unit === null ? surprisalColour(surprisalOf(i)) : activationColour(scale ? activationOf(i) / scale : 0);
  }
  if (unit === null) legend(at("legend"));
  else {
    const swatches = [-1, -0.5, 0, 0.5, 1].map((share) => {
      const swatch = made("span", "swatch", activation(share * scale));
      swatch.style.backgroundColor = activationColour(share);
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
  tell();
  if (!spans[i]) return read.removeAttribute("aria-activedescendant");
  spans[i].classList.add("chosen");
  spans[i].setAttribute("aria-selected", "true");
  read.setAttribute("aria-activedescendant", spans[i].id);
  if (scroll) spans[i].scrollIntoView({ block: "nearest" });
}

function tell() {
  if (!spans[chosen]) {
    at("token").replaceChildren(made("p", "help", "Nothing is chosen: point at a token of the text."));
    return;
  }
  const { guesses, probabilities } = pieces, count = guesses.length / spans.length;
  const rows = Array.from({ length: count }, (_, j) => [words[guesses[chosen * count + j]], probabilities[chosen * count + j]]);
  at("token").replaceChildren(
    made("p", "name", tokenName(words[pieces.tokens[chosen]]), pieces.unknown[chosen] ? " (not in the vocabulary, read as <unk>)" : ""),
    made("p", "", `probability ${percent(Math.exp(-surprisalOf(chosen)))}, surprisal ${nats(surprisalOf(chosen))}`),
    ...(unit === null ? [] : [made("p", "activation", `${unitName(unit)} after it: ${activation(activationOf(chosen))}`)]),
    made("p", "help", "What the model took for likeliest here:"),
    ...guessRows(rows),
  );
}

read.addEventListener("keydown", (event) => {
  const next = moved(event, spans, chosen);
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
  tell();
}

function asked() {
  const part = Number(at("part").value), most = states.sizes[part] - 1;
  return firstUnits[part] + Math.min(Math.max(Math.trunc(Number(at("unit").value)) || 0, 0), most);
}

at("part").append(...states.names.map((name, part) => {
  const option = made("option", "", name);
  option.value = part;
  return option;
}));
at("unit").max = states.sizes[0] - 1;
at("part").addEventListener("change", () => chooseUnit(asked()));
at("unit").addEventListener("change", () => chooseUnit(asked()));
at("by-unit").addEventListener("change", () => chooseUnit(asked()));
at("by-surprisal").addEventListener("change", () => chooseUnit(null));

at("ranked").append(...ranked.map(({ title, units }) => {
  const buttons = units.map(([number, r]) => {
    const button = made("button", "", unitName(number), made("span", "share", `${r < 0 ? "\u2212" : "+"}${Math.abs(r).toFixed(2)}`));
    button.type = "button";
    button.unit = number;
    button.addEventListener("click", () => chooseUnit(number));
    return button;
  });
  return made("div", "", made("h3", "", title), ...(buttons.length ? buttons : [made("p", "help", "This text has none.")]));
}));

at("about").textContent = model.about;
const total = pieces.surprisals.reduce((sum, each) => sum + each, 0);
at("totals").textContent = `${spans.length.toLocaleString("en")} ${spans.length === 1 ? "token" : "tokens"}, ` +
  `${total.toFixed(1)} nats, perplexity ${perplexity(Math.exp(total / spans.length))}`;
showText();
chooseUnit(null);
choose(-1);

// Tokens coloured by what they add to the log-odds of a label. Belongs to contributions.css.
const MAX_SHOWN_LABELS = 10;

function signed(value) {
  return `${value < 0 ? "\u2212" : "+"}${Math.abs(value).toFixed(2)}`;
}

// Returns the largest contribution or removal of the tokens, which has the full colour.
function largest(pieces, key) {
  return Math.max(1e-6, ...pieces.map((piece) => Math.abs(piece[key])));
}

// Returns a span for each of the pieces, which are put into `element` with the blanks between them.
function fillWithPieces(element, pieces, unit, prefix) {
  const children = [];
  let isAfterEnd = false;
  const spans = pieces.map((piece, i) => {
    const blanks = unit !== "char" ? piece.text.match(/^\s*/)[0] || (isAfterEnd ? " " : "") : "";
    const span = tokenSpan(unit !== "char" ? piece.text.trimStart() : piece.text, piece.token, null);
    span.id = `${prefix}-${i}`;
    span.place = i;
    span.setAttribute("role", "option");
    span.setAttribute("aria-label", `${tokenName(piece.token)}, ${signed(piece.contribution)} nats`);
    if (piece.is_unknown) span.classList.add("unknown");
    isAfterEnd = piece.token === "</s>";
    children.push(blanks, span);
    return span;
  });
  element.replaceChildren(...children);
  return spans;
}

function colourPieces(spans, pieces, key) {
  const most = largest(pieces, key);
  for (const [i, span] of spans.entries()) span.style.backgroundColor = signedColour(pieces[i][key] / most);
}

// Fills `element` with a legend of the colours for values up to `most`.
function signedLegend(element, title, most) {
  element.classList.add("legend");
  element.replaceChildren(title, ...[-1, -0.5, 0, 0.5, 1].map((share) => {
    const swatch = makeElement("span", "swatch", signed(share * most));
    swatch.style.backgroundColor = signedColour(share);
    return swatch;
  }));
}

// Returns what a panel shows of one piece.
function pieceFacts(piece, label) {
  const facts = [
    makeElement("p", "name", tokenName(piece.token), piece.is_unknown ? " (not in the vocabulary, read as <unk>)" : ""),
    makeElement("p", "number", `adds ${signed(piece.contribution)} nats to the log-odds of ${short(label)}`),
  ];
  if (piece.removal !== undefined) {
    facts.push(makeElement("p", "number", `without it, they change by ${signed(-piece.removal)} nats`));
  }
  return facts;
}

// Returns the rows of the likeliest labels: buttons if `choose` is given, which is called with the label.
function labelRows(probabilities, label, choose) {
  const shown = probabilities.slice(0, MAX_SHOWN_LABELS);
  if (!shown.some(([name]) => name === label)) shown.push(...probabilities.filter(([name]) => name === label));
  const rows = shown.map(([name, p]) => {
    const bar = makeElement("div", "bar");
    bar.style.width = `${100 * p}%`;
    const row = makeElement(choose ? "button" : "div", "guess", makeElement("span", "", short(name)), makeElement("span", "share", percent(p)), bar);
    if (choose) {
      row.type = "button";
      row.setAttribute("aria-pressed", String(name === label));
      row.addEventListener("click", () => choose(name));
    }
    return row;
  });
  const left = probabilities.length - shown.length;
  return left > 0 ? [...rows, makeElement("p", "help more", `and ${left.toLocaleString("en")} less likely labels`)] : rows;
}

let pointer = ""; // where it was: scrolling moves tokens under a pointer that rests, which chooses none

// Lets the mouse, a finger and the keyboard choose tokens in `element`. `choose(i, scroll)` is called with their index.
function followPointer(element, getSpans, getChosen, choose) {
  element.addEventListener("keydown", (event) => {
    const next = indexAfterKey(event, getSpans(), getChosen());
    if (next === undefined) return;
    event.preventDefault();
    choose(next, true);
  });
  element.addEventListener("focus", () => {
    if (getChosen() < 0 && getSpans().length) choose(0);
  });
  for (const kind of ["mouseover", "click"]) {
    element.addEventListener(kind, (event) => {
      const place = `${event.clientX},${event.clientY}`;
      if (event.target.place !== undefined && (kind === "click" || place !== pointer)) choose(event.target.place);
      pointer = place;
    });
  }
}

// Marks the i-th span as chosen, and no other.
function markChosen(element, spans, i, scroll) {
  for (const span of element.querySelectorAll(".chosen")) {
    span.classList.remove("chosen");
    span.setAttribute("aria-selected", "false");
  }
  if (!spans[i]) return element.removeAttribute("aria-activedescendant");
  spans[i].classList.add("chosen");
  spans[i].setAttribute("aria-selected", "true");
  element.setAttribute("aria-activedescendant", spans[i].id);
  if (scroll) spans[i].scrollIntoView({ block: "nearest" });
}

// Shared by all pages: making elements, formatting names and numbers, moving between tokens. Belongs to page.css.
const NEAR = 400; // number of tokens before and after that are searched for the nearest one in another line
const at = (id) => document.getElementById(id);

function makeElement(tag, className, ...children) {
  const element = document.createElement(tag);
  element.className = className;
  element.append(...children);
  return element;
}

function short(name, most = 60) {
  const characters = Array.from(name.replace(/\n/g, "\u21b5"));
  return characters.length > most ? characters.slice(0, most).join("") + "\u2026" : characters.join("");
}

function tokenName(token) {
  return token === "</s>" ? "\u00b6 end of sentence" : token === " " ? "\u2423 blank" : short(token);
}

function percent(p) {
  if (p >= 0.001) return `${(100 * p).toFixed(1)} %`;
  return p >= 1e-6 ? `1 in ${Math.round(1 / p).toLocaleString("en")}` : "below 1 in a million";
}

function nats(surprisal) {
  return `${Math.abs(surprisal).toFixed(2)} nats`;
}

function perplexity(value) {
  return value >= 1e6 ? value.toExponential(1) : value >= 100 ? Math.round(value).toLocaleString("en") : value.toFixed(1);
}

// Returns a row for each [token, probability]: its name, its probability, and a bar of this length.
function guessRows(guesses) {
  return guesses.map(([token, p]) => {
    const bar = makeElement("div", "bar");
    bar.style.width = `${100 * p}%`;
    return makeElement("div", "guess", makeElement("span", "", tokenName(token)), makeElement("span", "share", percent(p)), bar);
  });
}

// Returns the index of the span nearest to the i-th in the line above (lines = -1) or below (1); i if there is none.
function nearestInLine(spans, i, lines) {
  const here = spans[i].getBoundingClientRect();
  let best = i, least = Infinity;
  for (let j = Math.max(i - NEAR, 0); j < Math.min(i + NEAR, spans.length); j++) {
    const there = spans[j].getBoundingClientRect(), down = lines * (there.top - here.top);
    const distance = 1000 * down + Math.abs(there.left - here.left);
    if (down > here.height / 3 && distance < least) [best, least] = [j, distance];
  }
  return best;
}

// Returns the index to which a key moves the selection from the i-th span, -1 for no selection, undefined for other keys.
function indexAfterKey(event, spans, i) {
  if (event.altKey || event.ctrlKey || event.metaKey || !spans.length) return undefined;
  const last = spans.length - 1;
  return { ArrowLeft: () => Math.max(i - 1, 0), ArrowRight: () => Math.min(i + 1, last), Home: () => 0, End: () => last,
    ArrowUp: () => (i < 0 ? 0 : nearestInLine(spans, i, -1)), ArrowDown: () => (i < 0 ? 0 : nearestInLine(spans, i, 1)),
    Escape: () => -1 }[event.key]?.();
}

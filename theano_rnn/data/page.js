// What the pages have in common: elements, names and figures as they are shown, moving among tokens; beside page.css.
const NEAR = 400; // tokens, among which that of another line is looked for
const at = (id) => document.getElementById(id);

function made(tag, className, ...children) {
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

// A row for each [token, probability]: its name, the figure, a bar as long.
function guessRows(guesses) {
  return guesses.map(([token, p]) => {
    const bar = made("div", "bar");
    bar.style.width = `${100 * p}%`;
    return made("div", "guess", made("span", "", tokenName(token)), made("span", "share", percent(p)), bar);
  });
}

// The nearest of `spans` in the line above (lines = -1) or below (1) the i-th; itself where there is none.
function beside(spans, i, lines) {
  const here = spans[i].getBoundingClientRect();
  let best = i, least = Infinity;
  for (let j = Math.max(i - NEAR, 0); j < Math.min(i + NEAR, spans.length); j++) {
    const there = spans[j].getBoundingClientRect(), down = lines * (there.top - here.top);
    const distance = 1000 * down + Math.abs(there.left - here.left);
    if (down > here.height / 3 && distance < least) [best, least] = [j, distance];
  }
  return best;
}

// Where a key moves the i-th of `spans` that is chosen, -1: nowhere; undefined for a key that does not move.
function moved(event, spans, i) {
  if (event.altKey || event.ctrlKey || event.metaKey || !spans.length) return undefined;
  const last = spans.length - 1;
  return { ArrowLeft: () => Math.max(i - 1, 0), ArrowRight: () => Math.min(i + 1, last), Home: () => 0, End: () => last,
    ArrowUp: () => (i < 0 ? 0 : beside(spans, i, -1)), ArrowDown: () => (i < 0 ? 0 : beside(spans, i, 1)),
    Escape: () => -1 }[event.key]?.();
}

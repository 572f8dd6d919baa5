// Tokens on the colour of their surprisal, minus the logarithm of their probability, in nats; beside tokens.css.
const MOST_NATS = 12; // and above: the fullest colour

// A CSS colour: one hue, the fuller the more surprising; text on it can be read in light and in dark mode.
function surprisalColour(nats) {
  const share = Math.min(Math.max(nats, 0), MOST_NATS) / MOST_NATS;
  return `rgb(235 98 20 / ${(0.6 * share).toFixed(3)})`;
}

// A span that shows `text` on its colour, and its token where that has no text of its own, as the end of a sentence;
// null nats leave it without colour.
function tokenSpan(text, token, nats) {
  const span = document.createElement("span");
  span.className = "token" + (text === "\n" ? " newline" : text ? "" : token === "</s>" ? " end" : " unseen");
  span.textContent = text;
  span.dataset.token = token;
  if (nats !== null && nats !== undefined) span.style.backgroundColor = surprisalColour(nats);
  return span;
}

// Fills `element` with what the colours mean.
function legend(element) {
  element.classList.add("legend");
  const swatches = [0, 2, 4, 6, 8, 10, MOST_NATS].map((nats) => {
    const span = document.createElement("span");
    span.className = "swatch";
    span.textContent = nats === MOST_NATS ? `${nats}+` : String(nats);
    span.style.backgroundColor = surprisalColour(nats);
    return span;
  });
  element.replaceChildren("Surprisal in nats:", ...swatches);
}

// Tokens coloured by their surprisal: minus the logarithm of their probability, in nats. Belongs to tokens.css.
const MAX_NATS = 12; // full colour from here on

// Returns a CSS colour, stronger for a higher surprisal. Text on it is readable in light and dark mode.
function surprisalColour(nats) {
  const share = Math.min(Math.max(nats, 0), MAX_NATS) / MAX_NATS;
  return `rgb(235 98 20 / ${(0.6 * share).toFixed(3)})`;
}

// Returns a CSS colour: blue for a negative and orange for a positive share, full colour at -1 and 1.
function signedColour(share) {
  return `rgb(${share < 0 ? "20 90 225" : "235 98 20"} / ${(0.65 * Math.abs(share)).toFixed(3)})`;
}

// Returns a span with `text` on the colour of its surprisal. A token without text, such as the end of a sentence, is shown
// by its name. If nats is null, the span has no colour.
function tokenSpan(text, token, nats) {
  const span = document.createElement("span");
  span.className = "token" + (text === "\n" ? " newline" : text ? "" : token === "</s>" ? " end" : " unseen");
  span.textContent = text;
  span.dataset.token = token;
  if (nats !== null && nats !== undefined) span.style.backgroundColor = surprisalColour(nats);
  return span;
}

// Fills `element` with a legend of the colours.
function legend(element) {
  element.classList.add("legend");
  const swatches = [0, 2, 4, 6, 8, 10, MAX_NATS].map((nats) => {
    const span = document.createElement("span");
    span.className = "swatch";
    span.textContent = nats === MAX_NATS ? `${nats}+` : String(nats);
    span.style.backgroundColor = surprisalColour(nats);
    return span;
  });
  element.replaceChildren("Surprisal in nats:", ...swatches);
}

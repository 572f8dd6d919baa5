// Shows texts with their labels and coloured tokens. Texts are always set as textContent, never as HTML.
const { about, unit, texts } = JSON.parse(at("explained").textContent);
let colouredBy = "contribution", chosenText = null;

const shownTexts = texts.map(({ label, probabilities, pieces }, number) => {
  const read = makeElement("div", "tokens");
  read.id = `text-${number}`;
  read.tabIndex = 0;
  read.dir = "auto";
  read.setAttribute("role", "listbox");
  read.setAttribute("aria-label", `Text ${number + 1}, ${label}`);
  const labels = makeElement("div", "labels", ...labelRows(probabilities, label));
  const one = { label, pieces, read, chosen: -1, element: makeElement("article", "", labels, read) };
  one.spans = fillWithPieces(read, pieces, unit, `token-${number}`);
  followPointer(read, () => one.spans, () => one.chosen, (i, scroll) => choose(one, i, scroll));
  return one;
});

function choose(one, i, scroll = false) {
  if (chosenText && chosenText !== one) {
    markChosen(chosenText.read, chosenText.spans, -1);
    chosenText.chosen = -1;
  }
  chosenText = one;
  one.chosen = i;
  markChosen(one.read, one.spans, i, scroll);
  showToken();
}

function showToken() {
  const piece = chosenText?.pieces[chosenText.chosen];
  at("token").replaceChildren(...(piece ? pieceFacts(piece, chosenText.label)
    : [makeElement("p", "help", "No token is selected. Point at one in a text.")]));
}

function colour() {
  for (const { spans, pieces } of shownTexts) colourPieces(spans, pieces, colouredBy);
}

for (const input of document.getElementsByName("colour")) {
  input.addEventListener("change", () => {
    colouredBy = input.value;
    colour();
  });
}

at("about").textContent = `${about}, ${texts.length.toLocaleString("en")} ${texts.length === 1 ? "text" : "texts"}`;
at("texts").append(...shownTexts.map(({ element }) => element));
colour();
showToken();

// Shows pictures with their captions and attention. Texts are always set as textContent, never as HTML.
const DARKEST = 0.82; // opacity of the shade over a region without weight

// Returns a canvas with one pixel for each region; it is stretched over the picture, so that regions blend.
function shade(weights, rows, columns, isOver) {
  const canvas = makeElement("canvas", isOver ? "over" : "");
  [canvas.width, canvas.height] = [columns, rows];
  const context = canvas.getContext("2d"), cells = context.createImageData(columns, rows), most = Math.max(...weights);
  weights.forEach((weight, i) => { cells.data[4 * i + 3] = Math.round(255 * DARKEST * (1 - weight / most)); });
  context.putImageData(cells, 0, 0);
  return canvas;
}

// Returns the name of the region with the largest weight.
function place(weights, columns) {
  const best = weights.indexOf(Math.max(...weights));
  return `row ${Math.floor(best / columns) + 1}, column ${(best % columns) + 1}`;
}

function seen(word, weights, shown) {
  const box = makeElement("div", "");
  if (shown.picture) {
    const image = makeElement("img", "");
    [image.src, image.alt] = [shown.picture, ""];
    box.append(image);
  }
  box.append(shade(weights, shown.rows, shown.columns, Boolean(shown.picture)));
  const most = makeElement("span", "", percent(Math.max(...weights)));
  most.title = place(weights, shown.columns);
  const name = makeElement("figcaption", "", word === "</s>" ? "\u00b6" : short(word), most);
  const figure = makeElement("figure", "", box, name);
  figure.setAttribute("aria-label", `${word === "</s>" ? "end" : word}: most at ${place(weights, shown.columns)}`);
  return figure;
}

// Returns a picture with its captions, and once for each word of the best caption.
function pictureView(shown) {
  const heading = makeElement("h2", "", shown.captions[0][0]);
  heading.dir = "auto";
  const list = makeElement("ol", "", ...shown.captions.map(([text, nats]) => makeElement("li", "", `${text} (${percent(Math.exp(nats))})`)));
  const texts = makeElement("div", "", makeElement("p", "help", shown.name), list);
  const whole = makeElement("div", "whole");
  if (shown.picture) {
    const image = makeElement("img", "");
    [image.src, image.alt] = [shown.picture, shown.captions[0][0]];
    whole.append(image);
  }
  whole.append(texts);
  const figures = shown.words.map((word, i) => seen(word, shown.weights[i], shown));
  return makeElement("article", "", heading, whole, makeElement("div", "seen", ...figures));
}

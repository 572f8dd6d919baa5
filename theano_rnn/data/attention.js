// A table of attention weights: rows are target tokens, columns source tokens. Belongs to attention.css.

// Returns an element with the table of a record { source, target, weights } and a line that tells the chosen weight.
function attentionTable({ source, target, weights }) {
  const told = makeElement("p", "weight help");
  told.setAttribute("aria-live", "polite");
  const heading = (token) => makeElement("th", "", token === "</s>" ? "\u00b6" : tokenName(token));
  const columns = source.map(heading), rows = target.map(heading);
  const cells = target.map((_, i) => source.map((_, j) => {
    const shade = makeElement("span", "");
    shade.style.opacity = String(weights[i][j]);
    const cell = makeElement("td", "", shade);
    cell.title = weights[i][j].toFixed(3);
    cell.place = [i, j];
    return cell;
  }));
  for (const element of [...columns, ...rows]) element.dir = "auto";
  const table = makeElement("table", "",
    makeElement("thead", "", makeElement("tr", "", makeElement("td", ""), ...columns)),
    makeElement("tbody", "", ...cells.map((row, i) => makeElement("tr", "", rows[i], ...row))));
  const box = makeElement("div", "matrix", table);
  box.tabIndex = 0;
  box.setAttribute("role", "group");
  box.setAttribute("aria-label", "Attention of each target token to each source token");
  let chosen = null;

  function choose(i, j) {
    for (const element of box.querySelectorAll(".chosen")) element.classList.remove("chosen");
    chosen = [i, j];
    for (const element of [cells[i][j], rows[i], columns[j]]) element.classList.add("chosen");
    told.textContent = `${tokenName(target[i])} \u2190 ${tokenName(source[j])}: ${weights[i][j].toFixed(3)}`;
  }

  for (const kind of ["mousemove", "click"]) {
    box.addEventListener(kind, (event) => {
      const isScrolled = kind === "mousemove" && !event.movementX && !event.movementY; // the table moves, not the mouse
      if (event.target.place && !isScrolled) choose(...event.target.place);
    });
  }
  box.addEventListener("keydown", (event) => {
    const move = { ArrowLeft: [0, -1], ArrowRight: [0, 1], ArrowUp: [-1, 0], ArrowDown: [1, 0] }[event.key];
    if (!move || event.altKey || event.ctrlKey || event.metaKey) return;
    event.preventDefault();
    const [i, j] = chosen ? [chosen[0] + move[0], chosen[1] + move[1]] : [0, 0];
    choose(Math.min(Math.max(i, 0), target.length - 1), Math.min(Math.max(j, 0), source.length - 1));
    cells[chosen[0]][chosen[1]].scrollIntoView({ block: "nearest", inline: "nearest" });
  });
  told.textContent = "Point at a cell, tap it, or use the arrow keys to see its weight.";
  return makeElement("div", "", box, told);
}

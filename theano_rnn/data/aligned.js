// Shows recordings with what was recognized in them. Texts are always set as textContent, never as HTML.
const { about, recordings } = JSON.parse(at("aligned").textContent);
at("about").textContent = `${about}, ${recordings.length.toLocaleString("en")} ${recordings.length === 1 ? "recording" : "recordings"}`;
at("recordings").append(...recordings.map((record) => {
  const heading = makeElement("h2", "", record.name);
  heading.dir = "auto";
  return makeElement("section", "", heading, alignmentView(record, record.audio));
}));

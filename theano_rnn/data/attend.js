// Shows translations with their attention. Texts are always set as textContent, never as HTML.
const { about, sentences } = JSON.parse(at("attended").textContent);
at("about").textContent = `${about}, ${sentences.length.toLocaleString("en")} ${sentences.length === 1 ? "sentence" : "sentences"}`;
at("sentences").append(...sentences.map((sentence) => {
  const heading = makeElement("h2", "", sentence.text);
  heading.dir = "auto";
  return makeElement("article", "", heading, attentionTable(sentence));
}));

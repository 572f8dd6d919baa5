// A picture, dropped, chosen or drawn, with its captions and where they look. Texts are always set as textContent.
const model = JSON.parse(at("model").textContent);
const status = at("status");

let asking = null; // the pending request
let scene = 0; // the number of the next scene

function say(line, isBad = false) {
  status.textContent = line;
  status.classList.toggle("bad", isBad);
}

async function ask(wanted, name) {
  if (asking) asking.abort();
  const mine = (asking = new AbortController());
  say("Looking \u2026");
  at("found").classList.add("stale");
  try {
    const answer = await postJson("/api/describe", await wanted, mine.signal);
    if (mine !== asking) return;
    say(answer.truth === null ? "" : `The scene: ${answer.truth}`);
    at("found").classList.remove("stale");
    at("found").replaceChildren(pictureView({ ...answer, name }));
    at("help").hidden = false;
  } catch (error) {
    if (error.name !== "AbortError" && mine === asking) say(error.message, true);
  }
}

async function bodyOf(file) {
  return { picture: base64Of(await file.arrayBuffer()) };
}

onFile((file) => {
  if (file.size > model.limits.bytes) {
    say(`The picture must have at most ${(model.limits.bytes / 1e6).toFixed(0)} MB; this one has ${(file.size / 1e6).toFixed(1)} MB.`, true);
    return;
  }
  ask(bodyOf(file), file.name);
});
at("draw").hidden = !model.knows_scenes;
at("draw").addEventListener("click", () => ask({ scene: scene++ }, "a drawn scene"));
at("about").textContent = `${model.name}: ${model.parameters.toLocaleString("en")} parameters, ` +
  `${model.vocab_size.toLocaleString("en")} ${model.unit === "word" ? "words" : "characters"} in the vocabulary, ` +
  `${model.rows} x ${model.columns} regions`;

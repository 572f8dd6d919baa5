// A recording, dropped, chosen or spoken, with what the model recognizes in it. Texts are always set as textContent.
const model = JSON.parse(at("model").textContent);
const status = at("status"), given = at("given"), record = at("record");

let bytes = null, address = null; // the recording as a WAV file, and its address for the player
let asking = null, stop = null; // the pending request; ends a recording

function say(line, isBad = false) {
  status.textContent = line;
  status.classList.toggle("bad", isBad);
}

async function take(promise) {
  try {
    bytes = await asWav(await promise);
  } catch (error) {
    say(`The recording cannot be read: ${error.message}`, true);
    return;
  }
  if (address) URL.revokeObjectURL(address);
  address = URL.createObjectURL(new Blob([bytes], { type: "audio/wav" }));
  ask();
}

async function ask() {
  if (!bytes) return;
  if (bytes.byteLength > model.limits.bytes) {
    say(`The recording must have at most ${(model.limits.bytes / 1e6).toFixed(0)} MB; this one has ${(bytes.byteLength / 1e6).toFixed(1)} MB.`, true);
    return;
  }
  if (asking) asking.abort();
  const mine = (asking = new AbortController()), words = given.value.trim();
  say("Listening \u2026");
  at("found").classList.add("stale");
  try {
    const answer = await postJson("/api/recognize", { audio: base64Of(bytes), ...(words ? { text: words } : {}) }, mine.signal);
    if (mine !== asking) return;
    say(words ? "The given words, where they are recognized." : "");
    at("found").classList.remove("stale");
    at("found").replaceChildren(alignmentView(answer, address));
    at("results").hidden = answer.results.length < 2;
    at("others").replaceChildren(...answer.results.map(([text, , score]) =>
      makeElement("li", "", `${text || "(no words)"} `, makeElement("span", "share", score.toFixed(2).replace("-", "\u2212")))));
  } catch (error) {
    if (error.name !== "AbortError" && mine === asking) say(error.message, true);
  }
}

onFile((file) => take(file.arrayBuffer()));
given.addEventListener("change", ask);
if (navigator.mediaDevices?.getUserMedia && window.MediaRecorder) {
  record.hidden = false;
  record.addEventListener("click", async () => {
    if (stop) {
      const ended = stop;
      stop = null;
      record.textContent = "Record";
      take(ended());
      return;
    }
    try {
      stop = await startRecording();
      record.textContent = "Stop";
      say("Speak, then press Stop.");
    } catch (error) {
      say(`There is no microphone to record with: ${error.message}`, true);
    }
  });
}
const unit = model.words ? `${model.words.toLocaleString("en")} words` : "letters";
at("about").textContent = `${model.name}: ${model.parameters.toLocaleString("en")} parameters, ${model.labels.length} labels, ${unit}`;

// Recordings as WAV files: of files that the browser can decode, and of a microphone.

// Returns the bytes of a WAV file of 16 bits with the mean of all channels of an AudioBuffer.
function wavOf(buffer) {
  const { length, numberOfChannels, sampleRate } = buffer, view = new DataView(new ArrayBuffer(44 + 2 * length));
  const channels = Array.from({ length: numberOfChannels }, (_, i) => buffer.getChannelData(i));
  const text = (place, word) => [...word].forEach((letter, i) => view.setUint8(place + i, letter.charCodeAt(0)));
  text(0, "RIFF");
  view.setUint32(4, 36 + 2 * length, true);
  text(8, "WAVEfmt ");
  view.setUint32(16, 16, true);
  for (const [place, value] of [[20, 1], [22, 1], [32, 2], [34, 16]]) view.setUint16(place, value, true);
  view.setUint32(24, sampleRate, true);
  view.setUint32(28, 2 * sampleRate, true);
  text(36, "data");
  view.setUint32(40, 2 * length, true);
  for (let i = 0; i < length; i++) {
    let sum = 0;
    for (const channel of channels) sum += channel[i];
    view.setInt16(44 + 2 * i, Math.max(-32768, Math.min(32767, Math.round((32768 * sum) / numberOfChannels))), true);
  }
  return view.buffer;
}

// Returns the bytes of a recording: as they are if they are a WAV file, else as one, if the browser can decode them.
async function asWav(bytes) {
  if (new TextDecoder("latin1").decode(bytes.slice(0, 4)) === "RIFF") return bytes;
  const context = new AudioContext();
  try {
    return wavOf(await context.decodeAudioData(bytes.slice(0)));
  } catch {
    return bytes; // the server may know the format
  } finally {
    context.close();
  }
}

// Starts to record. Returns a function that stops, and returns a promise of the bytes.
async function startRecording() {
  const stream = await navigator.mediaDevices.getUserMedia({ audio: true });
  const recorder = new MediaRecorder(stream), parts = [];
  const ended = new Promise((resolve) => {
    recorder.addEventListener("dataavailable", (event) => parts.push(event.data));
    recorder.addEventListener("stop", async () => {
      for (const track of stream.getTracks()) track.stop();
      resolve(await new Blob(parts).arrayBuffer());
    });
  });
  recorder.start();
  return () => {
    recorder.stop();
    return ended;
  };
}

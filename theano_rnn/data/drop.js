// Files that are chosen or dropped on the page.

function base64Of(bytes) {
  const view = new Uint8Array(bytes), parts = [];
  for (let i = 0; i < view.length; i += 0x8000) parts.push(String.fromCharCode(...view.subarray(i, i + 0x8000)));
  return btoa(parts.join(""));
}

// Calls `take` with each file.
function onFile(take) {
  at("file").addEventListener("change", () => {
    if (at("file").files.length) take(at("file").files[0]);
  });
  for (const kind of ["dragover", "dragleave", "drop"]) {
    document.addEventListener(kind, (event) => {
      event.preventDefault();
      at("drop").classList.toggle("over", kind === "dragover");
      const file = kind === "drop" && event.dataTransfer.files[0];
      if (file) take(file);
    });
  }
}

// Sends requests to the page's own server.
async function postJson(path, body, signal) {
  let response;
  try {
    response = await fetch(path, { method: "POST", headers: { "Content-Type": "application/json" }, signal,
      body: JSON.stringify(body) });
  } catch (error) {
    throw error.name === "AbortError" ? error : new Error("The server does not answer: check that it is still running.");
  }
  const answer = await response.json().catch(() => ({}));
  if (!response.ok) throw new Error(answer.error || `The server answered with status ${response.status}.`);
  return answer;
}

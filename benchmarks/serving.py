"""Measure the latency and throughput of ``serve`` with many clients, and whether its memory stays constant.

Starts the server on a free local port. Each client has one connection and sends requests one after another, without
pauses: two of three score a sentence of the novels, the third asks for two continuations of its first words, of at most
30 tokens. The clients run in this process, so they share the cores with the server.

    python benchmarks/serving.py runs/model.safetensors --clients 200 --seconds 60
"""

from __future__ import annotations

import argparse
import asyncio
import json
import random
import re
import signal
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from command_line import parser_of

ROOT = Path(__file__).resolve().parents[1]


class Load:
    """Requests that have been answered: their seconds by kind, tokens scored and drawn, and what was no success."""

    def __init__(self, port: int, sentences: list[str]) -> None:
        self.port, self.sentences = port, sentences
        self.seconds: dict[str, list[float]] = {"score": [], "complete": []}
        self.tokens: Counter[str] = Counter()
        self.errors: Counter[str] = Counter()

    async def client(self, seed: int, until: float, kinds: tuple[str, ...] = ("score", "score", "complete")) -> None:
        """One client after the other's clock: requests until then, each when the one before is answered."""
        rng = random.Random(seed)
        reader = writer = None
        while time.perf_counter() < until:
            kind, sentence = rng.choice(kinds), rng.choice(self.sentences)
            body = {"text": sentence} if kind == "score" else {
                "prompt": " ".join(sentence.split()[:5]), "num_samples": 2, "max_tokens": 30, "seed": rng.randrange(99),
            }  # fmt: skip
            began = time.perf_counter()
            try:
                if writer is None:
                    reader, writer = await asyncio.open_connection("127.0.0.1", self.port)
                status, answer = await asked(reader, writer, f"/api/{kind}", body)
            except (OSError, asyncio.IncompleteReadError) as error:
                self.errors[type(error).__name__] += 1
                writer = None
                continue
            if status != 200:
                self.errors[str(status)] += 1
                await asyncio.sleep(1)
                continue
            self.seconds[kind].append(time.perf_counter() - began)
            self.tokens[kind] += len(answer["pieces"]) if kind == "score" else sum(
                len(re.findall(r"\w+|[^\w\s]", text)) for text in answer["samples"]
            )  # fmt: skip
        if writer is not None:
            writer.close()


async def asked(
    reader: asyncio.StreamReader, writer: asyncio.StreamWriter, path: str, body: dict[str, object]
) -> tuple[int, dict[str, list[str]]]:
    """Status and JSON of one request on an open connection."""
    data = json.dumps(body).encode()
    head = f"POST {path} HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nContent-Length: "
    writer.write(f"{head}{len(data)}\r\n\r\n".encode() + data)
    answer = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
    length = int(re.search(r"(?i)\r\ncontent-length: (\d+)", answer)[1])
    return int(answer.split()[1]), json.loads(await reader.readexactly(length))


def resident(pid: int) -> float:
    """Resident memory of a process, in MB."""
    found = re.search(r"VmRSS:\s+(\d+)", Path(f"/proc/{pid}/status").read_text())
    return int(found[1]) / 1000


def shown(kind: str, seconds: list[float]) -> str:
    """Quantiles of seconds, in milliseconds."""
    ordered = sorted(seconds)
    at = [ordered[min(int(share * len(ordered)), len(ordered) - 1)] for share in (0.5, 0.95, 0.99, 1)]
    median, p95, p99, most = (1000 * x for x in at)
    return f"{kind:9}{len(ordered):7} requests, ms: p50 {median:.0f}, p95 {p95:.0f}, p99 {p99:.0f}, max {most:.0f}"


async def measure(args: argparse.Namespace, port: int, pid: int, sentences: list[str]) -> None:
    for kind in ("score", "complete"):
        alone = Load(port, sentences)
        await alone.client(0, time.perf_counter() + 3, (kind,))
        print("alone:   ", shown(kind, alone.seconds[kind]), flush=True)
    memory = [resident(pid)]
    load, began = Load(port, sentences), time.perf_counter()
    clients = asyncio.gather(*(load.client(seed, began + args.seconds) for seed in range(1, args.clients + 1)))
    for wait in (10.0, max(args.seconds - 11.0, 0.0)):
        await asyncio.sleep(wait)
        memory.append(resident(pid))
    await clients
    seconds = time.perf_counter() - began
    for kind, found in load.seconds.items():
        print("together:", shown(kind, found))
    count = sum(map(len, load.seconds.values()))
    print(f"{args.clients} clients, {seconds:.1f} s: {count} requests, {count / seconds:.0f} a second, "
          f"errors {dict(load.errors) or 'none'}")  # fmt: skip
    scored, drawn = (load.tokens[kind] / seconds for kind in ("score", "complete"))
    print(f"tokens a second: {scored:.0f} scored, {drawn:.0f} drawn")
    print(f"server's resident memory, MB: {', '.join(f'{x:.0f}' for x in memory)} (before, after 10 s, at the end)")


def main() -> int:
    parser = parser_of(__doc__)
    parser.add_argument("checkpoint")
    parser.add_argument("--clients", type=int, default=200, help="number of clients (default: %(default)s)")
    parser.add_argument("--seconds", type=float, default=60.0, help="duration (default: %(default)s)")
    parser.add_argument("--engine", default="auto")
    args = parser.parse_args()
    from theano_rnn.settings.text import TextConfig
    from theano_rnn.text.words import sentence_splitter

    text = (ROOT / "data" / "austen" / "emma.txt").read_text(encoding="utf-8")
    sentences = [s for s in sentence_splitter(TextConfig())(text[:300_000]) if 3 < len(s.split()) < 60]
    script = str(ROOT / "scripts" / "serve.py")
    command = [sys.executable, script, args.checkpoint, "--port", "0", "--engine", args.engine]
    server = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    try:
        address = server.stdout.readline().split()[0]
        asyncio.run(measure(args, int(address.rpartition(":")[2]), server.pid, sentences))
    finally:
        server.send_signal(signal.SIGTERM)
        print(f"status {server.wait(20)} of the server after SIGTERM")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())

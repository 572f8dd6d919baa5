"""Speed of a trained recognizer: seconds of computing for a second of sound, with one recording and with many, and how
the search for words depends on the size of the lexicon.

    python benchmarks/recognition_speed.py runs/digits.safetensors theano_rnn/data/synthetic_digits_valid.npz

Each figure is the best of five. Words that are added to the lexicon are random phonemes; none of them is said. The time
for computing frames from samples is not counted, because recordings may be ready-made features.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable
from typing import Any

import numpy as np

from theano_rnn.recognizer import Recognizer
from theano_rnn.settings.word_search import WordSearchConfig
from theano_rnn.tasks.recognition_results import Recording
from theano_rnn.tasks.utterances import load_part
from theano_rnn.tasks.word_decoder import WordDecoder
from theano_rnn.text.lexicon import Lexicon

ROUNDS = 5
ADDED_WORDS = (0, 1_000, 5_000, 20_000)


def best_seconds(function: Callable[[], Any]) -> float:
    """Returns the shortest time of some calls, after one that is not counted."""
    times = []
    for _ in range(ROUNDS + 1):
        begin = time.perf_counter()
        function()
        times.append(time.perf_counter() - begin)
    return min(times[1:])


def with_random_words(model: Recognizer, count: int) -> WordDecoder:
    """Returns a decoder whose lexicon has `count` more words."""
    rng, known = np.random.default_rng(0), dict(model.checkpoint.facts["lexicon"])
    for number in range(count):
        known[f"<{number}>"] = [" ".join(rng.choice(model.labels, rng.integers(3, 9)))]
    return WordDecoder(model.checkpoint.facts, lexicon=Lexicon(known))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("checkpoint")
    parser.add_argument("recordings", help="a manifest, or features packed in .npz")
    args = parser.parse_args()
    model = Recognizer(args.checkpoint)
    found, _ = load_part([args.recordings], model.checkpoint.facts)
    frames = np.split(found.frames, np.cumsum(found.lengths)[:-1])
    for count in (1, min(64, len(frames))):
        chosen = [Recording(str(number), frames[number]) for number in range(count)]
        seconds = sum(len(each.frames) for each in chosen) * model.extractor.seconds_per_frame
        network = best_seconds(lambda chosen=chosen: model.log_probabilities([each.frames for each in chosen]))
        together = best_seconds(lambda chosen=chosen: list(model.stream(chosen)))
        print(f"{count} recordings, {seconds:.1f} s of sound: {together:.4f} s, {together / seconds:.5f} of real time "
              f"(the network alone {network / seconds:.5f})", flush=True)  # fmt: skip
    if model.decoder.is_lettered:
        return
    outputs, config = model.log_probabilities(frames[:64]), WordSearchConfig()
    for added in ADDED_WORDS:
        decoder = with_random_words(model, added)
        taken = best_seconds(lambda decoder=decoder: [decoder.search(each, config) for each in outputs])
        print(f"{len(decoder.words):,} words: {1000 * taken / len(outputs):.1f} ms for the search in a recording of "
              f"{seconds / len(outputs):.1f} s", flush=True)  # fmt: skip


if __name__ == "__main__":
    main()

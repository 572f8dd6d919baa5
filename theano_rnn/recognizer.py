"""Use a trained recognizer: recognize recordings, place words and labels in them, and count errors.

recognizer = Recognizer("runs/digits.safetensors")
[each.text for each in recognizer.recognize(["a.wav", "b.wav"])]
[(word.word, word.start, word.probability) for word in recognizer.recognize(["a.wav"])[0].words]
recognizer.align("a.wav", "three five").words
recognizer.evaluate(["test.jsonl"]).words.rate

listening = recognizer.listen(rate=16000)           # of a model that reads in one direction
listening.push(samples)                             # the words so far

The commands use this class. `stream` recognizes any number of recordings in constant memory. Words are found by
`tasks.word_decoder`; the labels beside them are those of the likeliest path, without lexicon and language model.
"""

from __future__ import annotations

import dataclasses
import itertools
import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any

import numpy as np

from theano_rnn.generation.ctc_decoding import Segment, best_path
from theano_rnn.scoring.error_rates import confusions, count_errors
from theano_rnn.settings.word_search import WordSearchConfig
from theano_rnn.sound.extraction import FeatureExtractor
from theano_rnn.tasks.listening import Listening
from theano_rnn.tasks.recognition_results import (
    Recognized,
    RecognizedLabel,
    RecognizedWord,
    Recording,
    SpeechReport,
    TunedSearch,
)
from theano_rnn.tasks.recording_outputs import log_probabilities_of
from theano_rnn.tasks.trained_model import TrainedModel
from theano_rnn.tasks.utterances import load_part
from theano_rnn.tasks.word_decoder import DecodedWords, PlacedWord, WordDecoder
from theano_rnn.text.lexicon import Lexicon, read_lexicon
from theano_rnn.text.ngrams import NGramModel, read_arpa
from theano_rnn.text.pools import pools

MOST_CONFUSIONS = 20
TUNED_WEIGHTS = (0.0, 0.2, 0.3, 0.5, 0.7, 1.0, 1.5)
TUNED_BONUSES = (-1.0, 0.0, 1.0, 2.0, 3.0, 4.0)


class Recognizer(TrainedModel):
    """A trained recognizer, with the best parameters, the lexicon and the n-gram model of its checkpoint.

    Parameters
    ----------
    path
        The checkpoint.
    lexicon : optional
        Replaces the lexicon of the checkpoint: a file in the format of CMUdict, or a `Lexicon`.
    ngram : optional
        Replaces the n-gram model of the checkpoint: an ARPA file, or an `NGramModel`.
    engine, device, compiler
        As for `TrainedModel`.

    Raises
    ------
    UserError
        The checkpoint was trained for another task, or is not a checkpoint; or a file is not what it should be.
    """

    def __init__(
        self,
        path: str | os.PathLike[str],
        *,
        lexicon: str | Lexicon | None = None,
        ngram: str | NGramModel | None = None,
        engine: str = "auto",
        device: str = "auto",
        compiler: Callable[..., Any] | None = None,
    ) -> None:
        super().__init__(path, task="recognize", engine=engine, device=device, compiler=compiler)
        facts = self.checkpoint.facts
        self.lexicon_file = lexicon if isinstance(lexicon, str) else None
        self.extractor = FeatureExtractor.from_facts(facts["features"])
        self.decoder = WordDecoder(
            facts, lexicon=read_lexicon(lexicon) if isinstance(lexicon, str) else lexicon,
            ngram=read_arpa(ngram) if isinstance(ngram, str) else ngram,
        )  # fmt: skip

    @property
    def labels(self) -> list[str]:
        """The phonemes or letters; column k of log-probabilities is label k - 1, column 0 the blank."""
        return self.decoder.labels

    @property
    def seconds_per_step(self) -> float:
        """The time from one step of the network to the next."""
        return self.extractor.seconds_per_frame * self.extractor.config.stacking

    def recording(self, path: str | os.PathLike[str]) -> Recording:
        """Returns a recording, read from a sound file or a file of ready-made features.

        Raises
        ------
        OSError, UserError
            As of `FeatureExtractor.frames`.
        """
        return Recording(os.fspath(path), self.extractor.frames(path).frames)

    def recognize(
        self, paths: Sequence[str | os.PathLike[str]], num_best: int = 1, **settings: Any
    ) -> list[Recognized]:
        """Returns what is recognized in each file, with its `num_best` best sequences of words.

        `settings` are those of `WordSearchConfig`.

        Raises
        ------
        OSError, UserError
            A file cannot be read, or a setting is out of range.
        """
        config = WordSearchConfig(nbest=num_best, **settings)
        return list(self.stream(map(self.recording, paths), config))

    def recognize_samples(self, samples: Any, rate: int, num_best: int = 1, **settings: Any) -> Recognized:
        """Returns what is recognized in samples, float (samples,) from -32,768 to 32,767, at `rate` Hz."""
        config = WordSearchConfig(nbest=num_best, **settings)
        frames = self.extractor.frames_of_samples(samples, rate)
        return next(self.stream([Recording("samples", frames)], config))

    def stream(self, recordings: Iterable[Recording], config: WordSearchConfig | None = None) -> Iterator[Recognized]:
        """Yields what is recognized in each recording, in order.

        None among the recordings means that the next one has not arrived yet: the results of those before come first.
        """
        config = config or WordSearchConfig()
        for pool in pools(recordings):
            for recording, log_p in zip(pool, self.log_probabilities([each.frames for each in pool])):
                results = self.decoder.search(log_p, config)
                yield self.described(recording.name, results, log_p, len(recording.frames))

    def described(self, name: str, results: list[DecodedWords], log_p: Any, num_frames: int) -> Recognized:
        """Returns results of a search with the places of words and labels."""
        placed, _ = self.decoder.align(log_p, results[0].words)
        seconds = num_frames * self.extractor.seconds_per_frame
        return Recognized(
            name, results, self.placed_words(placed), self.placed_labels(best_path(log_p)), seconds, log_p
        )

    def listen(self, rate: int, config: WordSearchConfig | None = None) -> Listening:
        """Returns an object that recognizes samples while they arrive, at `rate` Hz. `heard` returns its result.

        Raises
        ------
        UserError
            The model reads in both directions, or normalizes a recording as a whole, so it needs its end.
        """
        return Listening(self.function("step"), self.model.first_state(1), self.extractor, self.decoder, rate,
                         config or WordSearchConfig(), self.model.config.dtype)  # fmt: skip

    def heard(self, listening: Listening, name: str = "sound") -> Recognized:
        """Returns what was recognized, when all samples have arrived."""
        results = listening.finish()
        return self.described(name, results, listening.log_probabilities, listening.num_frames)

    def align(self, recording: str | os.PathLike[str] | Recording, text: str) -> Recognized:
        """Returns where the words of a given text are recognized.

        The times are those at which the network gives a label, which lie within the sound or shortly beside it. They do
        not say where a sound begins and ends.

        Raises
        ------
        OSError
            The file cannot be read.
        UserError
            The recording is too short for the text, or has words that the lexicon lacks.
        """
        given = recording if isinstance(recording, Recording) else self.recording(recording)
        (log_p,) = self.log_probabilities([given.frames])
        words = text.split() if not self.decoder.is_lettered else text.lower().split()
        placed, alignment = self.decoder.align(log_p, words)
        score = alignment.log_probability
        return Recognized(
            given.name, [DecodedWords(tuple(each.word for each in placed), score, score)], self.placed_words(placed),
            self.placed_labels(alignment.segments), len(given.frames) * self.extractor.seconds_per_frame, log_p,
        )  # fmt: skip

    def evaluate(self, paths: Sequence[str], config: WordSearchConfig | None = None) -> SpeechReport:
        """Returns the errors in the recordings of manifests, or of files of packed features.

        Recordings that cannot be compared are left out, and counted in the notes.

        Raises
        ------
        OSError, UserError
            As of `tasks.utterances.load_part`.
        """
        found, notes = load_part(paths, self.checkpoint.facts, lexicon=self.lexicon_file)
        frames = np.split(found.frames, np.cumsum(found.lengths)[:-1])
        said = np.split(found.labels, np.cumsum(found.label_lengths)[:-1])
        labels, words = [], []
        for each in self.stream(map(Recording, found.names, frames), config):
            labels.append([label.label for label in each.labels])
            words.append(list(each.results[0].words))
        true_labels = [[self.labels[label - 1] for label in each] for each in said]
        true_words = [transcript.split() for transcript in found.transcripts]
        return SpeechReport(
            count_errors(labels, true_labels), count_errors(words, true_words),
            confusions(labels, true_labels).most_common(MOST_CONFUSIONS),
            confusions(words, true_words).most_common(MOST_CONFUSIONS),
            len(found.frames) * self.extractor.seconds_per_frame, notes,
        )  # fmt: skip

    def tune(
        self, paths: Sequence[str], config: WordSearchConfig | None = None, *,
        progress: Callable[[float, float], None] | None = None,
    ) -> list[TunedSearch]:  # fmt: skip
        """Returns the errors in words with several weights of the language model and word bonuses, the fewest first.

        Among equally good ones, smaller weights come first. Use other recordings than those that you report.

        Parameters
        ----------
        paths, config
            As of `evaluate`.
        progress : optional
            Called with the number of settings that have been tried, and of all.

        Raises
        ------
        OSError, UserError
            As of `tasks.utterances.load_part`.
        """
        found, _ = load_part(paths, self.checkpoint.facts, lexicon=self.lexicon_file)
        outputs = self.log_probabilities(np.split(found.frames, np.cumsum(found.lengths)[:-1]))
        said = [transcript.split() for transcript in found.transcripts]
        results = []
        settings = list(itertools.product(TUNED_WEIGHTS, TUNED_BONUSES))
        for number, (weight, bonus) in enumerate(settings, 1):
            tried = dataclasses.replace(config or WordSearchConfig(), nbest=1, lm_weight=weight, word_bonus=bonus)
            words = [self.decoder.search(each, tried)[0].words for each in outputs]
            results.append(TunedSearch(weight, bonus, count_errors(words, said)))
            if progress is not None:
                progress(number, len(settings))
        return sorted(results, key=lambda each: (each.words.errors, each.lm_weight, abs(each.word_bonus)))

    def log_probabilities(self, recordings: Sequence[Any]) -> list[Any]:
        """Returns ln P of the blank and each label in each step, float64 (steps, labels + 1), of normalized frames."""
        return log_probabilities_of(self.function("predict"), recordings, stacking=self.extractor.config.stacking,
                                    num_outputs=len(self.labels) + 1, dtype=self.model.config.dtype)  # fmt: skip

    def placed_labels(self, segments: Iterable[Segment]) -> list[RecognizedLabel]:
        """Returns segments with labels for numbers and seconds for steps."""
        step, names = self.seconds_per_step, self.labels
        return [RecognizedLabel(names[each.label - 1], each.first * step, (each.last + 1) * step, each.probability)
                for each in segments]  # fmt: skip

    def placed_words(self, words: Iterable[PlacedWord]) -> list[RecognizedWord]:
        """Returns words with seconds for steps."""
        found = []
        for word, segments in words:
            labels = tuple(self.placed_labels(segments))
            mean = float(np.mean([each.probability for each in labels]))
            found.append(RecognizedWord(word, labels[0].start, labels[-1].end, mean, labels))
        return found

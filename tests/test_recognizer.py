"""The recognizer at work: words and labels with times, alignment, long recordings, errors."""

import io

import numpy as np
import pytest
from conftest import ENGINES
from recognizer_models import FOLDER, LETTERS, RATE, checkpoint, opened, samples, wav_bytes, write_recordings

from theano_rnn.generation.ctc_decoding import best_path
from theano_rnn.recognizer import Recognizer
from theano_rnn.scoring.error_rates import count_errors
from theano_rnn.settings.base import UserError
from theano_rnn.settings.word_search import WordSearchConfig
from theano_rnn.sound.stacking import stacked
from theano_rnn.tasks import recording_outputs
from theano_rnn.tasks.recognition_results import Recording
from theano_rnn.text.lexicon import Lexicon
from theano_rnn.text.ngrams import estimated

FREE = {"lm_weight": 0.0, "word_bonus": 8.0}  # so that a model that has learned nothing finds words


@pytest.fixture
def recordings(tmp_path):
    write_recordings(tmp_path)
    return [tmp_path / f"{i}.wav" for i in range(3)]


def test_words_and_labels_have_times_and_probabilities(recordings):
    for each, path in zip(opened().recognize(recordings, num_best=3, **FREE), recordings, strict=True):
        steps, step = len(each.log_probabilities), 0.03
        assert each.name == str(path) and each.seconds == pytest.approx(opened().recording(path).frames.shape[0] * 0.01)
        np.testing.assert_allclose(np.exp(each.log_probabilities).sum(axis=1), 1, atol=1e-5)
        assert [word.word for word in each.words] == each.text.split() != []
        assert [label.label for label in each.labels] == [
            opened().labels[segment.label - 1] for segment in best_path(each.log_probabilities)
        ]
        for word in each.words:
            assert " ".join(label.label for label in word.labels) in opened().decoder.lexicon.pronunciations[word.word]
            assert (word.start, word.end) == (word.labels[0].start, word.labels[-1].end)
            assert word.probability == pytest.approx(np.mean([label.probability for label in word.labels]))
            assert 0 <= word.start < word.end <= steps * step + 1e-9
            for label in word.labels:
                rows = slice(round(label.start / step), round(label.end / step))
                column = opened().labels.index(label.label) + 1
                assert label.probability == pytest.approx(np.exp(each.log_probabilities[rows, column]).mean())
        assert [result.score for result in each.results] == sorted((r.score for r in each.results), reverse=True)
        assert len({result.words for result in each.results}) == len(each.results) == 3


def test_a_recording_is_read_alike_alone_and_among_others(recordings):
    together = opened().recognize(recordings, **FREE)
    for path, each in zip(recordings, together):
        (alone,) = opened().recognize([path], **FREE)
        np.testing.assert_allclose(alone.log_probabilities, each.log_probabilities, atol=1e-4)
        assert alone.text == each.text


def test_samples_are_read_like_the_file(recordings):
    found = opened().recognize_samples(samples(0.8, 0).astype(np.int16), RATE, **FREE)
    (expected,) = opened().recognize(recordings[:1], **FREE)
    np.testing.assert_allclose(found.log_probabilities, expected.log_probabilities, atol=1e-4)


def test_the_settings_of_the_search_count(recordings):
    few = opened().recognize(recordings, lm_weight=0.0, word_bonus=-50.0)
    assert [each.text for each in few] == ["", "", ""] and [each.words for each in few] == [[], [], []]
    ngram = estimated(["TWO " * 40] * 5, order=2)
    model = Recognizer(checkpoint(), ngram=ngram, engine=ENGINES[-1])
    model.functions = opened().functions
    for each in model.recognize(recordings, lm_weight=5.0, word_bonus=10.0):
        assert set(each.text.split()) == {"TWO"}
    with pytest.raises(UserError, match="nbest must be at most beam_size, 3, got 4"):
        opened().recognize(recordings, 4, beam_size=3)


def test_another_lexicon(recordings, tmp_path):
    (tmp_path / "new.dict").write_text("THREE  T UW AH\nX  K S\n")
    for lexicon in (str(tmp_path / "new.dict"), Lexicon({"THREE": ["T UW AH"], "X": ["K S"]})):
        model = Recognizer(checkpoint(), lexicon=lexicon, engine=ENGINES[-1])
        model.functions = opened().functions
        assert model.decoder.words == ["THREE"] and model.decoder.num_lacking == 1
        assert {word for each in model.recognize(recordings, **FREE) for word in each.text.split()} == {"THREE"}
    with pytest.raises(UserError, match="no word of the lexicon can be recognized"):
        Recognizer(checkpoint(), lexicon=Lexicon({"X": ["K S"]}), engine=ENGINES[-1])
    with pytest.raises(UserError, match="recognizes letters and needs no lexicon"):
        Recognizer(checkpoint("letter"), lexicon=Lexicon({"X": ["K S"]}), engine=ENGINES[-1])


def test_given_words_are_aligned(recordings):
    found = opened().align(recordings[2], "two ONE <b>")
    assert found.text == "TWO ONE <b>" and [word.word for word in found.words] == ["TWO", "ONE", "<b>"]
    assert [label for word in found.words for label in word.labels] == found.labels
    assert all(a.end <= b.start for a, b in zip(found.labels, found.labels[1:]))
    assert found.results[0].log_probability < 0
    with pytest.raises(UserError, match="'THREE' is not a word of the lexicon"):
        opened().align(recordings[0], "ONE THREE")
    with pytest.raises(UserError, match="labels need at least 200"):
        opened().align(recordings[0], "TWO " * 100)
    assert opened().align(recordings[0], " ").words == []


def test_letters_are_words_too(recordings):
    model = opened(unit="letter")
    for each in model.recognize(recordings, num_best=2, **FREE):
        letters = [label.label for word in each.words for label in word.labels]
        assert "".join(letters) == each.text.replace(" ", "") and set(letters) <= set(LETTERS) - {" "}
    found = model.align(recordings[2], "One  TWO")
    assert [word.word for word in found.words] == ["one", "two"]
    assert "".join(label.label for label in found.labels) == "one two"
    with pytest.raises(UserError, match="does not know 'x'"):
        model.align(recordings[0], "x")


def test_a_long_recording_is_read_in_windows_that_overlap(monkeypatch):
    frames = np.random.default_rng(0).normal(0, 1, (700, 10)).astype(np.float32)
    (whole,) = opened().log_probabilities([frames])
    monkeypatch.setattr(recording_outputs, "WINDOW", 64)
    monkeypatch.setattr(recording_outputs, "OVERLAP", 40)
    assert len(recording_outputs.windows_of(0, 234)) > 5
    (divided,) = opened().log_probabilities([frames])
    np.testing.assert_allclose(divided, whole, atol=1e-2)
    assert np.abs(np.diff(whole, axis=0)).max() > 0.5  # the outputs change by much more from step to step


@pytest.mark.parametrize("num_steps", [1, 2047, 2048, 2049, 3968, 3969, 4000, 100_000])
def test_windows_cover_each_step_once(num_steps):
    windows = recording_outputs.windows_of(0, num_steps)
    assert [each.first for each in windows] == [0, *(each.last for each in windows[:-1])]
    assert windows[-1].last == num_steps
    for each in windows:
        assert each.begin <= each.first < each.last <= each.end <= each.begin + 2048
        assert each.first == 0 or each.first - each.begin >= 64
        assert each.last == num_steps or each.end - each.last >= 64


def test_no_recordings_and_stacking():
    assert list(opened().stream([])) == [] and opened().log_probabilities([]) == []
    frames = np.zeros((4, 10), np.float32)
    assert len(opened().log_probabilities([frames])[0]) == len(stacked(frames, 3)) == 2


def test_errors_are_counted(tmp_path):
    manifest = write_recordings(tmp_path)
    report = opened().evaluate([str(manifest)], WordSearchConfig(**FREE))
    texts = ["ONE TWO", "TWO", "ONE <b> TWO"]
    found = opened().recognize([tmp_path / f"{i}.wav" for i in range(3)], **FREE)
    assert report.words == count_errors([each.text.split() for each in found], [text.split() for text in texts])
    assert report.labels.num_labels == 4 + 2 + 6 and report.labels.num_sentences == 3
    assert sum(count for _, count in report.word_confusions) == report.words.errors
    assert sum(count for _, count in report.label_confusions) == report.labels.errors
    assert report.notes == () and report.seconds == pytest.approx(sum(each.seconds for each in found))
    manifest = write_recordings(tmp_path, ("ONE", "THREE"))
    report = opened().evaluate([str(manifest)])
    assert report.words.num_labels == 1 and "not in the lexicon" in report.notes[0]


def test_speech_is_recognized_while_it_arrives():
    model, sound = opened(bidirectional=False), samples(1.3, 5)
    expected = model.recognize_samples(sound, RATE, num_best=2, **FREE)
    for size in (100, 3000, len(sound)):
        listening = model.listen(RATE, WordSearchConfig(nbest=2, **FREE))
        so_far = [listening.push(sound[begin : begin + size]) for begin in range(0, len(sound), size)]
        found = model.heard(listening)
        np.testing.assert_allclose(found.log_probabilities, expected.log_probabilities, atol=1e-4)
        assert [each.words for each in found.results] == [each.words for each in expected.results]
        assert [word.start for word in found.words] == [word.start for word in expected.words]
        assert found.seconds == expected.seconds and found.text == expected.text != ""
        assert size > 100 or (so_far[0] == () and len({*so_far}) > 2)
    assert model.heard(model.listen(RATE)).text == ""
    with pytest.raises(UserError, match="reads recordings in both directions"):
        opened().listen(RATE)


def test_silence_has_no_words():
    for sound in (np.zeros(8000), np.full(8000, 77.0)):
        found = opened().recognize_samples(sound, RATE, **FREE)
        assert found.text == "" and found.labels == [] and found.seconds > 0.9
        assert np.exp(found.log_probabilities[:, 0]).min() == 1


def test_outputs_that_are_not_numbers_are_refused():
    frames = np.full((30, 10), np.nan, np.float32)
    with pytest.raises(UserError, match="its training diverged"):
        list(opened().stream([Recording("a", frames)]))


def test_the_file_may_be_open():
    frames = opened().extractor.frames(io.BytesIO(wav_bytes()), "upload").frames
    (found,) = opened().stream([Recording("upload", frames)])
    assert found.name == "upload" and FOLDER.exists()


def test_the_package_offers_it():
    import theano_rnn
    from theano_rnn.api import Recognizer as Offered

    assert theano_rnn.Recognizer is Offered and issubclass(Offered, Recognizer)
    with pytest.raises(TypeError, match="a recognizer is trained with task 'recognize', got 'next'"):
        Offered.train(task="next")

"""Recordings as arrays: labels, parts by speakers, and everything that does not fit is named and left out."""

import json
import wave
from pathlib import Path

import numpy as np
import pytest

from theano_rnn.settings.base import UserError
from theano_rnn.settings.speech import FeaturesConfig, RecordingsConfig
from theano_rnn.sound.extraction import FeatureExtractor
from theano_rnn.tasks.recordings import Recording, held_out
from theano_rnn.tasks.utterances import load_part, load_utterances

LEXICON = "ONE W AH N\nTWO T UW\nTHREE TH R IY\nTHREE(2) TH IY\n"
RATE = 8000


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Path("words.dict").write_text(LEXICON)
    return tmp_path


def write_wav(name, seconds=0.5, *, rate=RATE, channels=1, seed=0):
    with wave.open(name, "wb") as file:
        file.setparams((channels, 2, rate, 0, "NONE", ""))
        noise = np.random.default_rng(seed).standard_normal(int(rate * seconds) * channels) * 1000
        file.writeframes(noise.astype("<i2").tobytes())


def write_manifest(rows, name="train.jsonl"):
    """Each row: file, text and speaker. Files that are not there yet are made."""
    for number, (audio, *_) in enumerate(rows):
        if audio.endswith(".wav") and not Path(audio).exists():
            write_wav(audio, seed=number)
    Path(name).write_text("".join(json.dumps(dict(zip(("audio", "text", "speaker"), row))) + "\n" for row in rows))
    return name


def write_packed(name="all.npz", *, speakers=6, frames=30, lexicon=LEXICON, texts=("one two", "Three"), **more):
    rng = np.random.default_rng(0)
    count = speakers * len(texts)
    arrays = {
        "frames": rng.standard_normal((count * frames, 4)).astype(np.float32) * 3 + 5,
        "lengths": np.full(count, frames),
        "texts": np.array(list(texts) * speakers),
        "names": np.array([f"u{number}" for number in range(count)]),
        "speakers": np.array([f"s{number // len(texts)}" for number in range(count)]),
        **({"lexicon": np.array(lexicon.replace("(2)", "").splitlines())} if lexicon else {}),
        **more,
    }
    np.savez(name, **arrays)
    return name


def load(train="all.npz", features=None, known=None, **corpus):
    return load_utterances(RecordingsConfig(train=(train,), **corpus), features or FeaturesConfig(), known=known)


def labels_of(data, part):
    """The labels of each utterance as text."""
    found = data.parts[part]
    ends = np.cumsum(found.label_lengths)[:-1]
    return [" ".join(data.facts["labels"][k - 1] for k in each) for each in np.split(found.labels, ends)]


def test_packed_features_become_utterances_with_the_lexicon_inside():
    write_packed()
    data = load(features=FeaturesConfig(deltas=1))
    train, valid = data.parts["train"], data.parts["valid"]
    assert set(valid.speakers) == {"s4"} and set(train.speakers) == {"s0", "s1", "s2", "s3", "s5"}
    assert train.num_utterances == 10 and train.frames.shape == (300, 8)
    assert train.frames.dtype == np.float32 and train.labels.dtype == np.int32 and train.lengths.dtype == np.int64
    assert labels_of(data, "valid") == ["W AH N T UW", "TH R IY"]
    assert valid.transcripts == ["ONE TWO", "THREE"] and valid.names == ["u8", "u9"]
    assert data.facts["labels"] == ["AH", "IY", "N", "R", "T", "TH", "UW", "W"]
    assert data.facts["lexicon"]["THREE"] == ["TH R IY", "TH IY"]
    assert "2 recordings of 1 of 6 speakers (s4)" in data.notes[0]
    assert json.loads(json.dumps(data.facts)) == data.facts
    assert data.facts["features"]["features"] == "ready-made" and data.facts["features"]["size"] == 4


def test_normalization_is_measured_on_the_training_part_alone():
    write_packed()
    data = load()
    train = data.parts["train"].frames.reshape(-1, 30, 4)
    np.testing.assert_allclose(train.mean(axis=1), 0, atol=1e-5)
    np.testing.assert_allclose(train.std(axis=(0, 1)), 1, atol=1e-4)
    assert np.abs(data.parts["valid"].frames.std(axis=0) - 1).max() > 1e-3  # not measured on it


def test_a_lexicon_of_the_user_wins_over_the_one_inside():
    write_packed()
    Path("mine.dict").write_text("ONE HH W AH N\nTWO T UW\nTHREE TH R IY\n")
    assert labels_of(load(lexicon="mine.dict"), "valid")[0] == "HH W AH N T UW"


def test_letters_need_no_lexicon():
    write_packed(lexicon="", texts=("One  two", "É a"))
    data = load(label_unit="letter")
    assert data.facts["labels"] == [" ", "a", "e", "n", "o", "t", "w", "é"] and data.facts["lexicon"] == {}
    assert labels_of(data, "valid")[1] == "é   a" and data.parts["valid"].transcripts == ["one two", "é a"]
    with pytest.raises(UserError, match="needs the pronunciations of words: add --lexicon FILE"):
        load()


def test_every_kth_speaker_is_held_out_beginning_with_the_middle():
    def chosen(count, fraction, each=2):
        recordings = [Recording("", "", f"{number // each:03d}", "") for number in range(count * each)][::-1]
        is_valid, _ = held_out(recordings, fraction)
        return sorted({int(recording.speaker) for recording, valid in zip(recordings, is_valid) if valid})

    assert chosen(74, 0.11) == list(range(74))[4::9]
    assert chosen(74, 1 / 9) == list(range(74))[4::9]
    assert chosen(20, 0.2) == [2, 7, 12, 17]
    assert chosen(4, 0.11) == [2] and chosen(3, 0.11) == [1] and chosen(3, 0.5) == [1]


@pytest.mark.parametrize(("names", "said"), [((), "no speakers are named"), (("a",), "only one speaker"),
                                             (("a", "b"), "only 2 speakers")])  # fmt: skip
def test_of_one_or_two_speakers_the_last_recordings_are_held_out(names, said):
    recordings = [Recording(f"{n}", "", name, "") for name in names or ("",) for n in range(10)]
    is_valid, note = held_out(recordings, 0.2)
    assert [recording.name for recording, valid in zip(recordings, is_valid) if valid] == ["8", "9"] * (len(names) or 1)
    assert said in note


def test_wav_files_of_a_manifest():
    rows = [(f"{speaker}{number}.wav", "one three", speaker) for speaker in "abc" for number in range(2)]
    write_manifest(rows)
    data = load("train.jsonl", lexicon="words.dict")
    assert data.parts["train"].frames.shape == (4 * 48, 40)
    assert data.facts["features"] | {"scale": None} == {
        **{name: getattr(FeaturesConfig(), name) for name in FeaturesConfig.__dataclass_fields__},
        "features": "log-mel", "sample_rate": 8000, "size": 40, "mean": None, "scale": None,
    }  # fmt: skip
    extractor = FeatureExtractor.from_facts(data.facts["features"])
    again = extractor.frames("b0.wav")
    assert again.remarks == ()
    assert np.array_equal(again.frames, data.parts["valid"].frames[:48])  # the model reads what it was trained with


def test_what_does_not_fit_is_named_counted_and_left_out():
    good = [(f"{speaker}{number}.wav", "one", speaker) for speaker in "abc" for number in range(3)]
    for name, options in {"stereo.wav": {"channels": 2}, "high.wav": {"rate": 44100}, "low.wav": {"rate": 4000},
                          "short.wav": {"seconds": 0.1}, "tiny.wav": {"seconds": 0.01}}.items():  # fmt: skip
        write_wav(name, **options)
    whole = Path("stereo.wav").read_bytes()
    Path("cut.wav").write_bytes(whole[: len(whole) // 2])
    Path("empty.wav").write_bytes(b"")
    Path("text.wav").write_bytes(b"RIFFxxxxWAVE")
    bad = [("good.wav", "four one five", "a"), ("good.wav", "one", "a"), ("low.wav", "one", "a"),
           ("short.wav", "one two one", "a"), ("tiny.wav", "one", "a"), ("empty.wav", "one", "a"),
           ("text.wav", "one", "a"), ("missing.npy", "one", "a"), ("gone.wav", "one", "a"), ("stereo.wav", "one", "a"),
           ("high.wav", "one", "a"), ("cut.wav", "two", "a"), ("good.wav", None, "a"),
           ("good.wav", "", "a")]  # fmt: skip
    write_manifest([row for row in good + bad if row[0] not in ("missing.npy", "gone.wav")])
    with open("train.jsonl", "a") as file:
        file.write('{"audio": "gone.wav", "text": "one", "speaker": "a"}\n{"audio": "good.wav", "speaker": "a"}\n')
    notes = load("train.jsonl", lexicon="words.dict").notes
    told = "\n".join(notes)
    data = load("train.jsonl", lexicon="words.dict")
    names = data.parts["train"].names
    assert names.count("good.wav") == 2 and {"stereo.wav", "high.wav", "cut.wav"} <= set(names)
    assert 0 in data.parts["train"].label_lengths  # silence is a transcript
    assert len(names) == 6 + 5
    assert "left out (with a word that is not in the lexicon): good.wav: four five" in told
    assert "train: 2 of 20 recordings left out (no transcript): good.wav; good.wav" in told
    assert "train: 5 of 20 recordings left out (cannot be used): low.wav has 4,000 Hz, but 8,000 Hz are needed" in told
    assert "tiny.wav is too short: it has 10 ms, and a frame needs 25 ms; empty.wav is empty" in told
    assert "; ..." in told
    assert "too short for the labels; a lower --stacking may help): short.wav: 3 inputs for labels that need 8" in told
    assert "train: stereo.wav has 2 channels, which are averaged, as is 1 more" in told
    assert "train: high.wav is resampled from 44,100 Hz to 8,000 Hz" in told
    assert "train: cut.wav is truncated: its end is missing" in told
    assert all("\n" not in note for note in notes)


def test_repeated_labels_need_one_more_input():
    write_packed(texts=("two two", "oo"), frames=9)
    Path("mine.dict").write_text("TWO T T\nOO O\n")
    assert load(lexicon="mine.dict", features=FeaturesConfig(stacking=1)).parts["train"].num_utterances == 10
    notes = load(lexicon="mine.dict", features=FeaturesConfig(stacking=2)).notes
    assert "5 inputs for labels that need 7" in "".join(notes)


def test_a_phoneme_that_is_not_trained_is_left_out_of_validation_and_of_the_lexicon():
    write_packed(texts=("one", "one one"))
    write_packed("valid.npz", texts=("one", "two"), speakers=1)
    data = load(valid=("valid.npz",))
    assert data.parts["valid"].transcripts == ["ONE"] and data.facts["lexicon"] == {"ONE": ["W AH N"]}
    told = "\n".join(data.notes)
    assert "valid: 1 of 2 recordings left out (with a phoneme that no training recording has): u1: 'T' 'UW'" in told
    assert "2 words of the lexicon cannot be recognized: they have phonemes that no training recording has" in told


def test_frames_that_are_not_finite_are_left_out():
    write_packed()
    with np.load("all.npz") as file:
        arrays = dict(file)
    arrays["frames"][65, 2] = np.inf
    np.savez("all.npz", **arrays)
    data = load()
    assert "u2" not in data.parts["train"].names and np.isfinite(data.parts["train"].frames).all()
    assert "u2: frame 5 has a number that is not finite" in "\n".join(data.notes)


def test_a_part_without_anything_usable_is_one_line():
    write_packed(texts=("four", "five"))
    with pytest.raises(UserError, match=r"none of the 10 recordings of the train part can be used; 10: with a word "
                                        r"that is not in the lexicon, such as u0: four"):  # fmt: skip
        load()
    write_manifest([("a.wav", "one", "a")])
    with pytest.raises(UserError, match="the valid part has no recordings: give more, or name files with --valid"):
        load("train.jsonl", lexicon="words.dict")
    Path("b.jsonl").write_text('{"audio": "none.wav", "text": "one"}\n')
    with pytest.raises(UserError, match=r"no training recording can be read; the first problem: cannot find none\.wav"):
        load("b.jsonl", lexicon="words.dict")


def test_kinds_of_features_that_contradict_the_files_are_refused():
    write_packed()
    write_manifest([("a.wav", "one", "a"), ("b.npy", "one", "b")])
    with pytest.raises(UserError, match="leave out --features mfcc"):
        load(features=FeaturesConfig(features="mfcc"))
    with pytest.raises(UserError, match="some training recordings are sound and others ready-made features"):
        load("train.jsonl", lexicon="words.dict")
    write_manifest([("a.wav", "one", "a")])
    with pytest.raises(UserError, match="are sound, not ready-made features: leave out --features"):
        load("train.jsonl", lexicon="words.dict", features=FeaturesConfig(features="ready-made"))


def test_features_of_single_files():
    rows = []
    for number, speaker in enumerate("abcabc"):
        np.save(f"{number}.npy", np.random.default_rng(number).standard_normal((20, 5)))
        rows.append((f"{number}.npy", "one", speaker))
    np.save("wide.npy", np.zeros((20, 6)))
    write_manifest([*rows, ("wide.npy", "one", "a")])
    data = load("train.jsonl", lexicon="words.dict")
    assert data.parts["train"].frames.shape == (80, 5)
    assert "wide.npy has 6 features in a frame, but the other recordings have 5" in "\n".join(data.notes)


def test_settings_in_packed_features_let_the_model_read_sound():
    settings = {"features": "log-mel", "sample_rate": 8000, "bands": 4, "stacking": 7}
    write_packed(settings=np.array(json.dumps(settings)))
    data = load(features=FeaturesConfig(stacking=2))
    assert data.facts["features"]["features"] == "log-mel" and data.facts["features"]["stacking"] == 2
    write_wav("a.wav")
    assert FeatureExtractor.from_facts(data.facts["features"]).frames("a.wav").frames.shape == (48, 4)


def test_packed_features_of_other_settings_are_refused():
    settings = {"features": "log-mel", "sample_rate": 8000, "bands": 4}
    write_packed(settings=np.array(json.dumps(settings)))
    write_packed("valid.npz", settings=np.array(json.dumps({**settings, "low_hz": 100.0})))
    message = r"valid\.npz has features with low_hz 100\.0, but the model's have low_hz 20\.0"
    with pytest.raises(UserError, match=message):
        load(valid=("valid.npz",))
    with pytest.raises(UserError, match="valid.npz has features with low_hz"):
        load_part(["valid.npz"], load().facts)


def test_known_facts_are_kept():
    write_packed()
    first = load()
    write_packed("other.npz", texts=("one", "two"), frames=20, speakers=7)
    other = load("other.npz", known=first.facts)
    assert other.facts == first.facts
    assert labels_of(other, "valid") == ["W AH N", "T UW"]
    assert not np.allclose(other.parts["train"].frames.std(axis=0), 1, atol=1e-4)  # the scale is that of the model
    with pytest.raises(UserError, match="the initial model recognizes phonemes: add --label-unit phoneme"):
        load("other.npz", known=first.facts, label_unit="letter")


def test_a_part_for_an_existing_model_is_the_same_as_in_training():
    write_packed()
    write_packed("valid.npz", speakers=2)
    data = load(valid=("valid.npz",))
    found, notes = load_part(["valid.npz"], data.facts)
    assert notes == ()
    assert all(np.array_equal(ours, theirs) for ours, theirs in zip(found, data.parts["valid"]))


def test_the_pronunciations_of_the_model_come_before_those_of_packed_features():
    """Or else errors would be counted against phonemes that it was not trained with."""
    write_packed()
    Path("mine.dict").write_text("ONE  HH W AH N\nTWO  T UW\nTHREE  TH R IY\n")
    facts = load(lexicon="mine.dict").facts
    write_packed("test.npz", texts=("one", "too"), lexicon=f"{LEXICON}TOO T UW")
    found, notes = load_part(["test.npz"], facts)
    spelled = " ".join(facts["labels"][k - 1] for k in found.labels[: found.label_lengths[:2].sum()])
    assert spelled == "HH W AH N T UW" and notes == ()


def test_the_fingerprint_changes_with_the_data_and_only_then():
    write_packed()
    first = load()
    assert load().fingerprint == first.fingerprint
    assert load(features=FeaturesConfig(normalization="global")).fingerprint != first.fingerprint
    with np.load("all.npz") as file:
        arrays = dict(file)
    arrays["texts"][0] = "two two"
    np.savez("all.npz", **arrays)
    assert load().fingerprint != first.fingerprint


def test_progress_counts_the_bytes_of_all_files():
    write_manifest([(f"{speaker}.wav", "one", speaker) for speaker in "abcd"])
    calls = []
    corpus = RecordingsConfig(train=("train.jsonl",), lexicon="words.dict")
    load_utterances(corpus, FeaturesConfig(), progress=lambda done, total: calls.append((done, total)))
    size = Path("a.wav").stat().st_size
    assert calls == [(size * number, 4 * size) for number in (1, 2, 3, 4)]


def test_without_files_synthetic_digits_are_read():
    data = load_utterances(RecordingsConfig(), FeaturesConfig())
    train, valid = data.parts["train"], data.parts["valid"]
    assert (train.num_utterances, valid.num_utterances) == (1000, 200)
    assert not set(train.speakers) & set(valid.speakers) and len(set(valid.speakers)) == 10
    assert len(data.facts["labels"]) == 19 and "synthetic" in data.notes[0]
    assert np.isfinite(train.frames).all()
    with pytest.raises(UserError, match="--test needs training recordings: add --train FILE"):
        load_utterances(RecordingsConfig(test=("a.npz",)), FeaturesConfig())

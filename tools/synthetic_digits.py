"""Make the spoken digits that `train --task recognize` learns by default: strings of digits, spoken by espeak-ng.

    apt-get install espeak-ng        # version 1.51 made the files of the package
    python tools/synthetic_digits.py theano_rnn/data

The speech is synthetic. The voices of the two files are different ones. Each recording depends on its number and part
alone, so the files are the same each time with the same version of espeak-ng. Besides the arrays of packed features
(`theano_rnn/sound/feature_files.py`) they have ``word_begins_ms`` and ``word_ends_ms``, int32 (words of all
recordings,), the places of the digits in milliseconds, as espeak-ng reports them.
"""

import argparse
import ctypes
import io
import json
import multiprocessing
import zipfile
from pathlib import Path

import numpy as np

from theano_rnn.learning.atomic_files import write_atomically
from theano_rnn.settings.base import to_mapping
from theano_rnn.settings.speech import FeaturesConfig
from theano_rnn.sound.augmentation import with_noise
from theano_rnn.sound.features import extract
from theano_rnn.sound.resampling import resampled_blocks

RATE = 8000
BANDS = 26
STEP = 1.0  # nats: the quantization of log energies, which differ by 50 between silence and speech
PARTS = {"train": 1000, "valid": 200}
NUM_VALID_VOICES = 10
OUTLIER = "zac"  # its formants are 45 % higher than usual; if it is held out, it makes most of the errors by itself
WORDS = ("ZERO", "ONE", "TWO", "THREE", "FOUR", "FIVE", "SIX", "SEVEN", "EIGHT", "NINE")
LEXICON = ("ZERO Z IH R OW", "ONE W AH N", "TWO T UW", "THREE TH R IY", "FOUR F AO R", "FIVE F AY V", "SIX S IH K S",
           "SEVEN S EH V AH N", "EIGHT EY T", "NINE N AY N")  # fmt: skip
ACCENTS = ("en-us", "en-gb-x-rp", "en-gb-scotland", "en-us", "en-029")
VOICES = (  # noqa: SIM905 - a list would be twice as long
    "Alex Alicia Andrea Andy Annie Denis Diogo Gene Henrique Hugo Jacky Lee Marco Mario Michael Mike Nguyen adam anika "
    "antonio aunty belinda benjamin boris caleb david ed edward f1 f2 f3 f4 f5 grandma grandpa gustave iven john klatt "
    "klatt2 linda m1 m2 m3 m4 m5 m6 m7 m8 marcelo max michel miguel pablo paul pedro quincy rob robert sandro shelby "
    "steph travis victor zac"
).split()
ABOUT = (
    "SYNTHETIC SPEECH: strings of digits spoken by espeak-ng {version} (https://github.com/espeak-ng/espeak-ng, "
    "whose licence, GPL-3, does not extend to what it speaks), with noise 20 to 35 dB below it. Made by "
    "tools/synthetic_digits.py. Results on it say nothing about human speech."
)

# of espeak-ng's speak_lib.h
SYNCHRONOUS, PHONEME_EVENTS, UTF8 = 2, 1, 1
SPEED, PITCH, WORD_GAP = 1, 3, 7
LIST_END, WORD, PHONEME = 0, 1, 7


class EventId(ctypes.Union):
    _fields_ = (("number", ctypes.c_int), ("name", ctypes.c_char_p), ("string", ctypes.c_char * 8))


class Event(ctypes.Structure):
    _fields_ = (
        ("type", ctypes.c_int), ("unique_identifier", ctypes.c_uint), ("text_position", ctypes.c_int),
        ("length", ctypes.c_int), ("audio_position", ctypes.c_int), ("sample", ctypes.c_int),
        ("user_data", ctypes.c_void_p), ("id", EventId),
    )  # fmt: skip


class Speaker:
    """Speaks a text with the library of espeak-ng. A second voice in the same process would inherit from the first."""

    def __init__(self):
        self.library = ctypes.CDLL("libespeak-ng.so.1")
        self.rate = self.library.espeak_Initialize(SYNCHRONOUS, 0, None, PHONEME_EVENTS)
        self.samples, self.events = [], []
        callback = ctypes.CFUNCTYPE(ctypes.c_int, ctypes.POINTER(ctypes.c_short), ctypes.c_int, ctypes.POINTER(Event))
        self.callback = callback(self.receive)  # kept, because the library calls it later
        self.library.espeak_SetSynthCallback(self.callback)

    def receive(self, samples, count, events):
        if count > 0:
            self.samples.append(np.ctypeslib.as_array(samples, (count,)).copy())
        number = 0
        while events[number].type != LIST_END:
            event = events[number]
            if event.type == PHONEME or (event.type == WORD and event.length):  # there are empty words
                self.events.append((event.type, event.sample, event.id.string if event.type == PHONEME else b""))
            number += 1
        return 0

    def speak(self, words, pauses, voice, *, speed, pitch, gap):
        """Returns the samples, int16 (samples,), and begin and end of each word in samples, (words, 2)."""
        self.samples, self.events = [], []
        if self.library.espeak_SetVoiceByName(voice.encode()):
            raise RuntimeError(f"espeak-ng has no voice {voice}")
        for parameter, value in ((SPEED, speed), (PITCH, pitch), (WORD_GAP, gap)):
            self.library.espeak_SetParameter(parameter, int(value), 0)
        text = "".join(word.lower() + (", " if pause else " ") for word, pause in zip(words, pauses))
        text = text.strip(", ").encode()
        self.library.espeak_Synth(text, len(text) + 1, 0, 1, 0, UTF8, None, None)
        self.library.espeak_Synchronize()
        spoken = np.concatenate(self.samples)
        places = []
        for kind, sample, phoneme in self.events:
            if kind == WORD:
                if places and places[-1][1] is None:
                    places[-1][1] = sample
                places.append([sample, None])
            elif phoneme.startswith(b"_") and places and places[-1][1] is None:
                places[-1][1] = sample  # a pause
        if len(places) != len(words):
            raise RuntimeError(f"espeak-ng spoke {len(places)} words of {text.decode()!r} with the voice {voice}")
        places[-1][1] = places[-1][1] or len(spoken)
        return spoken, np.array(places)


def version():
    """Returns the version of espeak-ng."""
    library = ctypes.CDLL("libespeak-ng.so.1")
    library.espeak_Info.restype = ctypes.c_char_p
    return library.espeak_Info(None).decode()


def spoken(voices, rng):
    """Returns the voice with its accent, the voice, the words, the samples at `RATE` and the places of words in ms."""
    speaker = Speaker()
    voice = voices[rng.integers(len(voices))]
    words = [WORDS[digit] for digit in rng.integers(0, 10, rng.integers(3, 8))]
    accent = ACCENTS[rng.integers(len(ACCENTS))]
    spoken, places = speaker.speak(
        words, rng.random(len(words)) < 0.3, f"{accent}+{voice}",
        speed=rng.integers(120, 221), pitch=rng.integers(25, 75), gap=rng.integers(0, 4),
    )  # fmt: skip
    before, after = rng.uniform(0.05, 0.2, 2)
    last = places[-1, 1] + int(0.05 * speaker.rate)  # espeak-ng ends with a pause
    spoken = np.concatenate([np.zeros(int(before * speaker.rate)), spoken[:last], np.zeros(int(after * speaker.rate))])
    places = places + int(before * speaker.rate)
    samples = np.concatenate(list(resampled_blocks([spoken], speaker.rate, RATE)))
    samples *= 32768 * 10 ** (rng.uniform(-14, -6) / 20) / (np.abs(samples).max() + 1)
    return f"{accent}+{voice}", voice, words, samples, np.round(places * 1000 / speaker.rate)


def recording(voices, number, seed):
    """Returns the name, the voice, the words, the samples with noise and the places of the words in ms."""
    rng = np.random.default_rng([seed, number])
    name, voice, words, samples, places = spoken(voices, rng)
    samples = with_noise(samples, rng, snr_db=rng.uniform(20, 35), color=("white", "pink")[rng.integers(2)])
    return f"{number:04d}-{name}", voice, words, samples, places


def divided_voices():
    """Returns the voices of each part."""
    order = np.random.default_rng(0).permutation(VOICES).tolist()
    order.append(order.pop(order.index(OUTLIER)))  # to train on
    return {"train": order[NUM_VALID_VOICES:], "valid": order[:NUM_VALID_VOICES]}


def packed(voices, count, seed):
    """Returns the arrays of a file."""
    config = FeaturesConfig(features="log-mel", sample_rate=RATE, bands=BANDS)
    with multiprocessing.get_context("fork").Pool(2, maxtasksperchild=1) as pool:
        found = pool.starmap(recording, [(voices, number, seed) for number in range(count)], chunksize=1)
    frames = [extract(each[3].round(), RATE, config) for each in found]
    codes = np.concatenate(frames)
    offset = np.full(BANDS, codes.min(), np.float32)
    places = np.concatenate([each[4] for each in found]).astype(np.int32)
    return {
        "frames": np.asfortranarray(np.round((codes - offset) / STEP).astype(np.uint8)),  # bands compress better
        "step": np.full(BANDS, STEP, np.float32),
        "offset": offset,
        "lengths": np.array(list(map(len, frames)), np.int32),
        "names": np.array([each[0] for each in found]),
        "speakers": np.array([each[1] for each in found]),
        "texts": np.array([" ".join(each[2]) for each in found]),
        "lexicon": np.array(LEXICON),
        "word_begins_ms": places[:, 0],
        "word_ends_ms": places[:, 1],
        "settings": np.array(json.dumps(to_mapping(config))),
        "about": np.array(ABOUT.format(version=version())),
    }


def compressed(arrays):
    """Returns an .npz file that is smaller than NumPy's; `numpy.load` reads it."""
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", zipfile.ZIP_LZMA) as archive:
        for name, array in arrays.items():
            content = io.BytesIO()
            np.lib.format.write_array(content, array, allow_pickle=False)
            archive.writestr(zipfile.ZipInfo(f"{name}.npy"), content.getvalue(), zipfile.ZIP_LZMA)  # without a date
    return file.getvalue()


def main():
    parser = argparse.ArgumentParser(description="Make synthetic spoken digits with espeak-ng.")
    parser.add_argument("folder", type=Path)
    folder = parser.parse_args().folder
    voices = divided_voices()
    for seed, (part, count) in enumerate(PARTS.items(), start=1):
        arrays = packed(voices[part], count, seed)
        path = folder / f"synthetic_digits_{part}.npz"
        write_atomically(path, compressed(arrays))
        minutes = arrays["lengths"].sum() / 6000
        print(f"{path}: {count} recordings, {minutes:.1f} minutes, {path.stat().st_size:,} bytes")


if __name__ == "__main__":
    main()

"""Settings of the search for words in what a recognizer has heard."""

from __future__ import annotations

from dataclasses import dataclass

from theano_rnn.settings.base import Section, UserError, setting


@dataclass(frozen=True)
class WordSearchConfig(Section):
    """How words are searched.

    The defaults of weight and bonus are good for AN4, with an n-gram model of its transcripts.
    """

    beam_size: int = setting(
        200, "number of hypotheses that the search keeps after each frame; more are slower and find at most a few "
        "better ones", kind=int, at_least=1,
    )  # fmt: skip
    nbest: int = setting(1, "number of results for each recording, the best first", kind=int, at_least=1)
    lm_weight: float = setting(
        0.5, "multiplies the log-probabilities of the language model; 0: use none", kind=float, at_least=0, at_most=20
    )
    word_bonus: float = setting(
        1.0, "is added to the score for each word, in nats; raise it if words are missing, lower it if there are too "
        "many", kind=float, at_least=-50, at_most=50,
    )  # fmt: skip

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.nbest > self.beam_size:
            raise UserError(f"nbest must be at most beam_size, {self.beam_size}, got {self.nbest}: raise --beam-size")

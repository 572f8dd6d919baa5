"""Turn the types of a file into ids of a vocabulary, with memory that does not grow with the file.

A type is one id, or, of a model of subwords, the ids of its pieces.

>>> lookup = TypeIds(Vocabulary(("to", "be")), ["</s>", "</s>", "be", "or", "to"])
>>> [block.tolist() for block in lookup.blocks(np.array([4, 2, 3, 4, 2, 1], np.int32))]
[[2, 3, 0, 2, 3, 1]]
"""

from __future__ import annotations

from array import array
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from theano_rnn.text.corpus_cache import BLOCK_IDS
from theano_rnn.text.tokenizing import NUM_ENDS
from theano_rnn.text.vocabulary import Vocabulary


class TypeIds:
    """The ids of each type of a file.

    `ids`: those of all types, one after another. `lengths`, `begins`: how many a type has, and where they begin, shape
    (types,).

    Parameters
    ----------
    vocabulary
    types
        The types of the file. The first two are the ends of sentences.
    """

    def __init__(self, vocabulary: Vocabulary, types: Sequence[str]) -> None:
        self.is_one_each = vocabulary.tokenizer is None
        ids, lengths = array("i", [vocabulary.eos_id] * NUM_ENDS), array("i", [1] * NUM_ENDS)
        for word in types[NUM_ENDS:]:
            found = vocabulary.ids_of_token(word)
            ids.extend(found)
            lengths.append(len(found))
        self.ids, self.lengths = np.array(ids, np.int32), np.array(lengths, np.int64)
        self.begins = np.cumsum(self.lengths) - self.lengths

    def blocks(self, numbers: Any) -> Iterator[Any]:
        """Yields the ids of a text, given the numbers of its types, in blocks of limited size."""
        for start in range(0, len(numbers), BLOCK_IDS):
            block = np.asarray(numbers[start : start + BLOCK_IDS])
            if self.is_one_each:
                yield self.ids[block]
                continue
            ends = np.cumsum(self.lengths[block])
            cuts = np.searchsorted(ends, np.arange(BLOCK_IDS, ends[-1], BLOCK_IDS))
            yield from map(self.expanded, np.split(block, cuts))

    def expanded(self, numbers: Any) -> Any:
        """Returns the ids of a text, given the numbers of its types."""
        if self.is_one_each:
            return self.ids[numbers]
        lengths = self.lengths[numbers]
        ends = np.cumsum(lengths)
        places = np.repeat(self.begins[numbers] - (ends - lengths), lengths)
        places += np.arange(len(places))
        return self.ids[places]

    def texts(self, numbers: Any, lengths: Any) -> tuple[Any, Any]:
        """Returns the ids of several texts, given the numbers of their types, and how many ids each text has.

        `lengths`, int (texts,), says how many types each text has; at least one.
        """
        ends = np.append(0, np.cumsum(self.lengths[numbers]))[np.cumsum(lengths)]
        return self.expanded(numbers), np.diff(ends, prepend=0)

"""Files with a state_dict contain their vocabulary and can be imported; unusable files are refused in one line."""

import numpy as np
import pytest
import safetensors
import safetensors.numpy
from exchange_models import VOCAB, VOCABULARY, agrees, config_of, network, opened, same

from theano_rnn.exchange.pytorch_exchange import BIAS
from theano_rnn.exchange.state_dict_files import KEY, export_state_dict, import_state_dict
from theano_rnn.learning.checkpoint import load, save
from theano_rnn.settings.base import UserError
from theano_rnn.settings.network import ModelConfig
from theano_rnn.settings.training import from_checkpoint
from theano_rnn.text.vocabulary import Vocabulary


def test_the_file_alone_says_what_scoring_needs_and_nothing_of_this_machine(tmp_path):
    model = opened(tmp_path / "a.safetensors", config_of(), batching="sentences")
    (tmp_path / "a").write_bytes(export_state_dict(model))
    with safetensors.safe_open(str(tmp_path / "a"), "np") as file:
        metadata = file.metadata()
    assert set(metadata) == {KEY}
    assert str(tmp_path) not in metadata[KEY]
    assert import_state_dict(tmp_path / "a").vocabulary == VOCABULARY
    assert f'"start_id": {VOCABULARY.bos_id}' in metadata[KEY]


def test_files_that_are_none_are_refused_in_one_line(tmp_path):
    model = opened(tmp_path / "a.safetensors", config_of())
    whole = export_state_dict(model)
    pickle = b"\x80\x02}q\x00." + bytes(500)
    header = int.from_bytes(whole[:8], "little")
    broken = whole[:8] + whole[8 : 8 + header].replace(b"format_version", b"formal_version") + whole[8 + header :]
    newer = whole[:8] + whole[8 : 8 + header].replace(b'version\\": 1', b'version\\": 7') + whole[8 + header :]
    words = whole[:8] + whole[8 : 8 + header].replace(b'vocab_size\\": 7', b'vocab_size\\": 8') + whole[8 + header :]
    deep = safetensors.numpy.save({BIAS: np.zeros(3)}, {KEY: "[" * 100_000})
    cases = {"truncated": (whole[: len(whole) // 2], "is damaged or not a safetensors file"),
             "empty": (b"", "is damaged or not a safetensors file"),
             "pickle": (pickle, "is damaged or not a safetensors file .* safetensors.torch.save_model"),
             "ours": ((tmp_path / "a.safetensors").read_bytes(), "is already a checkpoint of theano_rnn"),
             "broken": (broken, "is damaged: its settings cannot be read"),
             "deep": (deep, "is damaged: its settings cannot be read"),
             "newer": (newer, "was written by a newer theano_rnn"),
             "words": (words, "is damaged: it has 7 words, but vocab_size is 8"),
             "wordless": (safetensors.numpy.save({BIAS: np.zeros(3)}),
                          "does not contain its vocabulary .* --like")}  # fmt: skip
    for name, (data, message) in cases.items():
        (tmp_path / name).write_bytes(data)
        with pytest.raises(UserError, match=message) as caught:
            import_state_dict(tmp_path / name)
        assert "\n" not in str(caught.value), name
    with pytest.raises(FileNotFoundError):
        import_state_dict(tmp_path / "nothing")


def test_a_file_tuned_in_pytorch_comes_back_like_the_model_it_was(tmp_path):
    """PyTorch does not keep our metadata, so the vocabulary comes from `like`."""
    torch = pytest.importorskip("torch")
    from safetensors.torch import load_file, save_model

    config = config_of("lstm", 2)
    (tmp_path / "out").write_bytes(export_state_dict(opened(tmp_path / "a.safetensors", config)))
    model = network(config)
    model.load_state_dict(load_file(str(tmp_path / "out")), strict=True)
    optimizer = torch.optim.AdamW(model.parameters(), lr=0.01)
    ids = torch.tensor(np.random.default_rng(2).integers(VOCAB, size=(9, 3)))
    for _ in range(3):
        optimizer.zero_grad()
        scores = model.decoder(model.rnn(model.encoder(ids[:-1]))[0])
        torch.nn.functional.cross_entropy(scores.flatten(0, 1), ids[1:].flatten()).backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 0.25)
        optimizer.step()
    save_model(model, str(tmp_path / "tuned"))
    with pytest.raises(UserError, match="--like"):
        import_state_dict(tmp_path / "tuned")
    like = load(tmp_path / "a.safetensors")
    checkpoint = import_state_dict(tmp_path / "tuned", like=like)
    assert not same(checkpoint.best, like.best)
    assert from_checkpoint(ModelConfig, checkpoint.settings["model"]) == config
    agrees(config, checkpoint.best, model)


def test_an_imported_model_is_no_run_to_resume(tmp_path):
    (tmp_path / "out").write_bytes(export_state_dict(opened(tmp_path / "a.safetensors", config_of())))
    save(tmp_path / "b", import_state_dict(tmp_path / "out"))
    assert load(tmp_path / "b").vocabulary == Vocabulary(VOCABULARY.words, VOCABULARY.text)
    with pytest.raises(UserError, match="was imported, without the optimizer's state .* --init-from"):
        load(tmp_path / "b", resume=True)

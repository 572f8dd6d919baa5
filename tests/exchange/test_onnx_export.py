"""ONNX files give our log-probabilities and states in onnxruntime, for any sequence length and batch size."""

import dataclasses
import json
import sys

import numpy as np
import pytest
from exchange_models import EVERY, NAMES, VOCAB, VOCABULARY, config_of, opened, params_of, predictions

from theano_rnn.exchange.onnx_export import export_onnx, onnx_package, state_names
from theano_rnn.settings.base import UserError
from theano_rnn.settings.network import ModelConfig
from theano_rnn.settings.text import TextConfig
from theano_rnn.text.vocabulary import Vocabulary

MORE = {
    "residual": config_of("gru", 3, residual=True),
    "projection": config_of("gru", embedding_size=4),
    "adaptive tied": config_of(head="adaptive", cutoffs=(2, 5)),
    "adaptive untied": config_of("tanh", 2, False, head="adaptive", cutoffs=(3,)),
    "adaptive projection": config_of(embedding_size=4, head="adaptive", cutoffs=(1, 2, 3)),
}
CONFIGS = {name: config_of(*options) for name, options in zip(NAMES, EVERY)} | MORE


def session_of(data):
    onnxruntime = pytest.importorskip("onnxruntime")
    return onnxruntime.InferenceSession(data, providers=["CPUExecutionProvider"])


@pytest.fixture(autouse=True)
def onnx():
    return pytest.importorskip("onnx")


@pytest.mark.parametrize("name", CONFIGS)
def test_log_probabilities_and_states_are_ours_with_the_state_carried_on(tmp_path, name):
    config = CONFIGS[name]
    params = params_of(config)
    session = session_of(export_onnx(opened(tmp_path / "a.safetensors", config, params)))
    names = [item.name for item in session.get_inputs()]
    assert names == ["ids", *state_names(config)]
    assert [item.name for item in session.get_outputs()] == ["log_probabilities", *(f"{n}_next" for n in names[1:])]
    rng = np.random.default_rng(4)
    ours = [rng.normal(0, 0.5, (3, 6)).astype("float32") for _ in names[1:]]
    theirs = ours
    for time, batch in ((4, 3), (7, 3), (1, 2)):
        ids = rng.integers(VOCAB + 2, size=(time, batch))
        ours, theirs = ([state[:batch] for state in states] for states in (ours, theirs))
        log_p, ours = predictions(config, params, ids, ours)
        log_q, *theirs = session.run(None, {"ids": ids, **dict(zip(names[1:], theirs))})
        np.testing.assert_allclose(log_q, log_p, rtol=0, atol=1e-5)
        np.testing.assert_allclose(theirs, ours, rtol=0, atol=1e-5)
        np.testing.assert_allclose(np.exp(log_q).sum(axis=-1), 1, atol=1e-5)


def test_the_metadata_has_the_vocabulary_and_the_tokenization(tmp_path, onnx):
    vocabulary = Vocabulary(("naïve", "</s>", "a", "\n", "c"), TextConfig(lowercase=True))
    config = config_of()
    model = opened(tmp_path / "a.safetensors", config, vocabulary=vocabulary, batching="sentences")
    onnx_model = onnx.load_from_string(export_onnx(model))
    facts = {item.key: item.value for item in onnx_model.metadata_props}
    assert json.loads(facts["tokens"]) == [vocabulary.id_to_token(number) for number in range(VOCAB + 2)]
    assert TextConfig(**json.loads(facts["text"])) == vocabulary.text
    assert int(facts["start_id"]) == vocabulary.bos_id
    assert (onnx_model.ir_version, onnx_model.opset_import[0].version) == (8, 17)


def test_every_node_has_a_name_of_its_own(tmp_path, onnx):
    for number, config in enumerate(MORE.values()):
        model = opened(tmp_path / f"{number}.safetensors", config)
        names = [node.name for node in onnx.load_from_string(export_onnx(model)).graph.node]
        assert all(names) and len(set(names)) == len(names)


def test_the_same_model_is_the_same_file(tmp_path):
    assert export_onnx(opened(tmp_path / "a", config_of())) == export_onnx(opened(tmp_path / "b", config_of()))


@pytest.mark.parametrize(("tie_weights", "count"), [(True, 1), (False, 2)])
def test_a_tied_matrix_is_in_the_file_once(tmp_path, onnx, tie_weights, count):
    config = config_of("gru", tie_weights=tie_weights, embedding_size=6)
    onnx_model = onnx.load_from_string(export_onnx(opened(tmp_path / "a", config)))
    assert sum(len(weight.dims) == 2 and VOCAB in (d - 2 * (d == VOCAB + 2) for d in weight.dims)
               for weight in onnx_model.graph.initializer if not weight.name.startswith("layer")) == count  # fmt: skip


# How the graph handles each setting of a network; add every new setting here.
REFUSED = {"cell": {"cell": "mogrifier"}, "dtype": {"dtype": "float64"}}
COMPARED = {"cell", "embedding_size", "hidden_size", "num_layers", "residual", "tie_weights", "head", "cutoffs",
            "vocab_size"}  # fmt: skip
OF_TRAINING = {"recurrent_init"}


def test_every_setting_of_a_network_is_decided_on():
    assert {item.name for item in dataclasses.fields(ModelConfig)} == REFUSED.keys() | COMPARED | OF_TRAINING


def test_a_model_of_another_task_is_refused(tmp_path):
    with pytest.raises(UserError, match="is a fill-in model, but a language model is needed"):
        opened(tmp_path / "a.safetensors", config_of(), kind="fill-in model")


@pytest.mark.parametrize(
    ("name", "message"),
    [("cell", "the cell mogrifier has no counterpart among ONNX's operators"),
     ("dtype", "need float32, but the model is float64")],
)  # fmt: skip
def test_what_has_no_counterpart_is_refused_by_name(tmp_path, name, message):
    with pytest.raises(UserError, match=message) as caught:
        export_onnx(opened(tmp_path / "a.safetensors", config_of(**REFUSED[name])))
    assert "\n" not in str(caught.value)


def test_a_model_too_large_for_such_a_file_is_refused(tmp_path, monkeypatch):
    model = opened(tmp_path / "a.safetensors", config_of())
    monkeypatch.setattr("theano_rnn.exchange.onnx_export.MAX_BYTES", 1 << 26)
    with pytest.raises(UserError, match="larger than 2 GiB"):
        export_onnx(model)


def test_without_the_package_the_extra_is_named(monkeypatch):
    monkeypatch.setitem(sys.modules, "onnx.helper", None)
    with pytest.raises(UserError, match=r"pip install 'theano_rnn\[export\]'"):
        onnx_package()


def test_vocabulary_of_the_tests_is_as_large_as_its_models():
    assert len(VOCABULARY) == VOCAB == config_of().vocab_size

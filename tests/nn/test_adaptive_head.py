"""The adaptive softmax: its distribution, exact losses and gradients for any clusters in a batch, and whole runs."""

import functools
import json
import types

import numpy as np
import pytest
from conftest import ENGINES
from tiny_runs import TINY, Stopping, log_of, sentences

from theano_rnn.cli.main import command
from theano_rnn.engine.compiling import compile_function
from theano_rnn.language_model import LanguageModel
from theano_rnn.learning.batching import Stream
from theano_rnn.learning.checkpoint import assign, load, save, values_of
from theano_rnn.learning.evaluation import Evaluation
from theano_rnn.model import RNNLM, gradients
from theano_rnn.nn import adaptive_head
from theano_rnn.nn.adaptive_head import SLOT_FRACTIONS, AdaptiveHead, num_slots
from theano_rnn.settings.base import UserError, to_mapping
from theano_rnn.settings.network import ModelConfig, default_cutoffs
from theano_rnn.settings.training import RegularizationConfig, TrainingConfig, from_checkpoint, resolved_head
from theano_rnn.training import Progress, Run, fit

TIME, BATCH, VOCAB, EMBEDDING, HIDDEN = 5, 32, 40, 3, 12
CUTOFFS = (6, 15)
ENGINE = ENGINES[-1]
WORDS = {
    "every cluster": (0, VOCAB),
    "no cluster": (0, CUTOFFS[0]),
    "the first cluster alone": CUTOFFS,
    "the last cluster alone": (CUTOFFS[-1], VOCAB),
}
SLOTS = {"every cluster": (80, 120), "no cluster": (80, 80), "the first cluster alone": (160, 80),
         "the last cluster alone": (80, 160)}  # fmt: skip


def config_of(**changes):
    settings = {"cell": "tanh", "vocab_size": VOCAB, "embedding_size": EMBEDDING, "hidden_size": HIDDEN,
                "head": "adaptive", "cutoffs": CUTOFFS, "tie_weights": False, "dtype": "float64"}  # fmt: skip
    return ModelConfig(**(settings | changes))


@functools.cache
def built(engine, dtype="float64", *, tied=False):
    """Returns a model with large parameters, its functions and these parameters; `train` is gradient descent."""
    rng = np.random.default_rng(2)
    model = RNNLM(config_of(dtype=dtype, tie_weights=tied), rng=rng)
    functions = model.compile("train", "predict", "loss", engine=engine)
    for parameter in model.params.values():
        parameter.set_value(rng.normal(0, 0.7, parameter.get_value().shape).astype(dtype))
    return model, functions, values_of(model.params)


TIED = pytest.param((ENGINE, True), marks=pytest.mark.slow)


@pytest.fixture(params=[*((engine, False) for engine in ENGINES), TIED], ids=[*ENGINES, f"{ENGINE} tied"])
def case(request):
    return request.param


@pytest.fixture
def engine(case):
    return case[0]


@pytest.fixture
def adaptive(case):
    model, functions, params = built(case[0], tied=case[1])
    assign(model.params, params)
    return model, functions, params


def batch(kind, dtype="float64", *, num_masked=0):
    """Returns tokens, targets in some clusters, the mask and a state; the last `num_masked` sequences end early."""
    rng = np.random.default_rng(1)
    tokens = rng.integers(VOCAB + 2, size=(TIME, BATCH), dtype="int32")
    targets = rng.integers(*WORDS[kind], size=(TIME, BATCH), dtype="int32")
    mask = np.ones((TIME, BATCH), dtype)
    if num_masked:
        mask[2:, -num_masked:] = 0
    return tokens, targets, mask, rng.normal(0, 0.5, (BATCH, HIDDEN)).astype(dtype)


def picked(log_p, targets):
    return np.take_along_axis(np.asarray(log_p), targets[..., None], -1)[..., 0]


def log_softmax(x):
    return x - np.log(np.exp(x).sum(axis=-1, keepdims=True))


def test_its_distribution_is_the_papers(adaptive):
    _, functions, params = adaptive
    tokens, _, mask, state = batch("every cluster")
    log_p, final = map(np.asarray, functions.predict(tokens, mask, state))
    is_tied = "W_cluster" in params
    if is_tied:
        words = params["embedding"]
        final = final @ params["W_he"]
        first = log_softmax(final @ np.vstack([words[: CUTOFFS[0]], params["W_cluster"].T]).T + params["b_y"])
    else:
        first = log_softmax(final @ params["W_hy"] + params["b_y"])
    columns = [*first[:, : CUTOFFS[0]].T]
    for i, (begin, end) in enumerate(zip(CUTOFFS, (*CUTOFFS[1:], VOCAB))):
        matrix = words[begin:end].T if is_tied else params[f"tail{i}.W_down"] @ params[f"tail{i}.W_up"]
        scores = final @ matrix + params[f"tail{i}.b_y"]
        assert scores.shape == (BATCH, end - begin)
        columns.extend((first[:, CUTOFFS[0] + i] + log_softmax(scores).T[v]) for v in range(end - begin))
    np.testing.assert_allclose(log_p[-1], np.stack(columns, axis=1), rtol=1e-10)
    np.testing.assert_allclose(np.exp(log_p).sum(axis=-1), 1, rtol=1e-9)


@pytest.mark.parametrize("kind", WORDS)
def test_the_loss_of_a_token_is_minus_its_log_probability(adaptive, kind):
    model, functions, _ = adaptive
    for num_masked in (0, 4):
        tokens, targets, mask, state = batch(kind, num_masked=num_masked)
        if not num_masked:
            assert tuple(slots.shape[1] for slots in model.head.prepare(targets, mask)) == SLOTS[kind]
        log_p, _ = functions.predict(tokens, mask, state)
        losses = np.asarray(functions.loss(tokens, targets, mask, state)[0])
        np.testing.assert_allclose(losses, -picked(log_p, targets) * mask, rtol=1e-10, atol=0)
        mean = float(np.asarray(functions.train(tokens, targets, mask, state, 0.0)[0]))
        np.testing.assert_allclose(mean, losses.sum() / mask.sum(), rtol=1e-10)


@pytest.mark.slow
def test_in_float32_it_sums_to_1_and_gives_the_same_losses():
    _, functions, _ = built(ENGINE, "float32")
    for kind in WORDS:
        tokens, targets, mask, state = batch(kind, "float32", num_masked=4)
        log_p, _ = functions.predict(tokens, mask, state)
        losses, _ = functions.loss(tokens, targets, mask, state)
        np.testing.assert_allclose(np.exp(log_p).sum(axis=-1), 1, rtol=1e-5)
        np.testing.assert_allclose(losses, -picked(log_p, targets) * mask, rtol=1e-5, atol=1e-6)
        assert losses.dtype == "float32"


def test_a_fresh_model_finds_all_words_equally_likely(adaptive):
    model, functions, _ = adaptive
    fresh = RNNLM(config_of(tie_weights=model.config.tie_weights), rng=np.random.default_rng(4))
    assign(model.params, values_of(fresh.params))
    tokens, targets, mask, state = batch("every cluster")
    losses, _ = functions.loss(tokens, targets, mask, 0 * state)
    np.testing.assert_allclose(losses, np.log(VOCAB), rtol=0.1 if model.config.tie_weights else 0.01)
    for name in {"W_hy", "tail0.W_up", "tail1.W_up", "embedding", "W_cluster"} & model.params.keys():
        if name != "embedding" or model.config.tie_weights:
            model.params[name].set_value(0 * model.params[name].get_value())
    np.testing.assert_allclose(functions.predict(tokens, mask, state)[0], -np.log(VOCAB), rtol=1e-12)


def updates(model, functions, params, inputs):
    """Returns the gradients, from a step of gradient descent with learning rate 1, which is then undone."""
    functions.train(*inputs, 1.0)
    after = values_of(model.params)
    assign(model.params, params)
    return {name: params[name] - after[name] for name in params}


@pytest.mark.parametrize("kind", WORDS)
def test_the_gradients_are_central_differences(adaptive, kind):
    model, functions, params = adaptive
    inputs, rng = batch(kind, num_masked=4), np.random.default_rng(6)
    for name, gradient in updates(model, functions, params, inputs).items():
        for _ in range(2):
            direction, loss = rng.normal(size=gradient.shape), {}
            for sign in (1, -1):
                model.params[name].set_value(params[name] + sign * 1e-5 * direction)
                loss[sign] = float(np.asarray(functions.train(*inputs, 0.0)[0]))
            model.params[name].set_value(params[name])
            slope = (loss[1] - loss[-1]) / 2e-5
            np.testing.assert_allclose((gradient * direction).sum(), slope, rtol=1e-6, atol=1e-9, err_msg=name)


def test_clusters_without_a_target_are_left_as_they_are(adaptive):
    model, functions, params = adaptive
    found = updates(model, functions, params, batch("the first cluster alone", num_masked=4))
    assert all(not found[name].any() for name in found if name.startswith("tail1."))
    assert all(found[name].any() for name in found if not name.startswith("tail1."))


def test_empty_slots_change_nothing(adaptive, monkeypatch):
    model, functions, params = adaptive
    inputs = batch("every cluster", num_masked=4)
    inputs[2][0, 0] = 0  # the row that empty slots name is itself masked
    few, least = updates(model, functions, params, inputs), np.asarray(functions.loss(*inputs)[0])
    monkeypatch.setattr(adaptive_head, "num_slots", lambda needed, num_rows: 2 * num_rows)
    many = updates(model, functions, params, inputs)
    np.testing.assert_allclose(functions.loss(*inputs)[0], least, rtol=1e-12)
    for name, gradient in few.items():
        np.testing.assert_allclose(many[name], gradient, rtol=1e-9, atol=1e-15, err_msg=name)


def test_a_target_that_is_no_word_is_not_scored_as_one(adaptive, engine):
    """As with the softmax head, C raises an error; XLA cannot, and returns nan."""
    _, functions, _ = adaptive
    tokens, targets, mask, state = batch("every cluster")
    targets[1, 2] = VOCAB
    if engine == "c":
        with pytest.raises(IndexError, match="targets must be in 0 .. 24"):
            functions.loss(tokens, targets, mask, state)
    else:
        losses = np.asarray(functions.loss(tokens, targets, mask, state)[0])
        assert np.argwhere(np.isnan(losses)).tolist() == [[1, 2]]


def test_losses_and_gradients_are_those_of_pytorch():
    """PyTorch's clusters have no biases; ours are zero, as in a new model."""
    torch = pytest.importorskip("torch")
    import aesara.tensor as T

    hidden, vocab, cutoffs, num_rows = 128, 60, [10, 25], 90
    rng = np.random.default_rng(3)
    head = AdaptiveHead(hidden, vocab, cutoffs, rng=rng, dtype="float64")
    for name, param in head.params.items():
        if not name.endswith("b_y") or name == "b_y":
            param.set_value(rng.normal(0, 0.3, param.get_value().shape))
    h, targets = rng.normal(size=(num_rows, hidden)), rng.integers(vocab, size=num_rows, dtype="int32")
    symbols = T.dmatrix("h"), T.ivector("targets")
    losses = head.losses(*symbols)
    grads = gradients(losses.mean(), {"h": symbols[0], **head.params})
    function = compile_function([*symbols, *head.inputs], [losses, *grads.values()], engine=ENGINE)
    ours, *found = map(np.asarray, function(h, targets, *head.prepare(targets, np.ones(num_rows))))
    theirs = torch.nn.AdaptiveLogSoftmaxWithLoss(hidden, vocab, cutoffs, div_value=4.0, head_bias=True).double()
    roles = {"W_hy": theirs.head.weight, "b_y": theirs.head.bias}
    for i, tail in enumerate(theirs.tail):
        roles |= {f"tail{i}.W_down": tail[0].weight, f"tail{i}.W_up": tail[1].weight}
    with torch.no_grad():
        for name, parameter in roles.items():
            parameter.copy_(torch.tensor(head.params[name].get_value().T))
    x = torch.tensor(h, requires_grad=True)
    output, loss = theirs(x, torch.tensor(targets.astype("int64")))
    loss.backward()
    np.testing.assert_allclose(ours, -output.detach().numpy(), rtol=1e-9)
    by_name = dict(zip(grads, found))
    np.testing.assert_allclose(by_name["h"], x.grad.numpy(), rtol=1e-9, atol=1e-12)
    for name, parameter in roles.items():
        np.testing.assert_allclose(by_name[name], parameter.grad.numpy().T, rtol=1e-9, atol=1e-12, err_msg=name)


# What is found on the host


def slots_of(cutoffs, targets, mask):
    head = types.SimpleNamespace(cutoffs=np.array(cutoffs, "int32"))
    return AdaptiveHead.prepare(head, targets, mask)


@pytest.mark.parametrize("share", [0.0, 0.1, 0.3, 1.0])
@pytest.mark.parametrize("shape", [(35, 20), (7, 3), (1, 1), (256, 40)])
def test_every_target_of_a_cluster_that_is_not_masked_has_one_slot(shape, share):
    rng = np.random.default_rng(int(100 * share))
    cutoffs = (20, 100, 300)
    rare = rng.random(shape) < share
    targets = np.where(rare, rng.integers(20, 1000, size=shape), rng.integers(20, size=shape)).astype("int32")
    mask = (rng.random(shape) < 0.8).astype("float32")
    arrays, flat = slots_of(cutoffs, targets, mask), targets.ravel()
    taken = []
    for array, begin, end in zip(arrays, cutoffs, (*cutoffs[1:], 1000)):
        rows, words, is_used = array
        assert array.dtype == "int32" and set(np.unique(is_used)) <= {0, 1}
        used = is_used == 1
        assert (begin + words[used] == flat[rows[used]]).all() and (words < end - begin).all()
        assert not rows[~used].any() and not words[~used].any()
        assert array.shape[1] in {-(-targets.size * sixteenths // 16) for sixteenths in SLOT_FRACTIONS}
        taken.extend(rows[used])
    assert sorted(taken) == np.flatnonzero((flat >= cutoffs[0]) & (mask.ravel() == 1)).tolist()


def test_slots_depend_on_the_batch_alone():
    model = RNNLM(config_of(), rng=np.random.default_rng(0))
    batches = [batch(kind, num_masked=4)[1:3] for kind in WORDS]
    first = [model.head.prepare(*arrays) for arrays in batches]
    again = [model.head.prepare(*arrays) for arrays in reversed(batches)][::-1]
    for ours, theirs in zip(first, again):
        assert [array.tobytes() for array in ours] == [array.tobytes() for array in theirs]


def test_there_are_always_slots_enough_and_few_numbers_of_them():
    for num_rows in [*range(1, 200), 700, 10240]:
        sizes = {num_slots(needed, num_rows) for needed in range(num_rows + 1)}
        assert len(sizes) <= len(SLOT_FRACTIONS) and max(sizes) == num_rows
        assert all(needed <= num_slots(needed, num_rows) for needed in range(num_rows + 1))


# Settings


@pytest.mark.parametrize("vocab_size", [2, 3, 4, 20, 51])
def test_a_tiny_vocabulary_works(vocab_size):
    import aesara.tensor as T

    cutoffs = default_cutoffs(vocab_size)
    config = config_of(vocab_size=vocab_size, cutoffs=())
    model = RNNLM(config, rng=np.random.default_rng(0))
    assert model.config.cutoffs == cutoffs == tuple(sorted(set(cutoffs)))
    assert cutoffs[0] >= 1 and cutoffs[-1] < vocab_size
    h = T.dmatrix("h")
    log_p = compile_function([h], [model.head.log_probabilities(h)], engine=ENGINE)(np.ones((3, HIDDEN)))[0]
    assert np.shape(log_p) == (3, vocab_size)
    np.testing.assert_allclose(np.exp(log_p).sum(axis=-1), 1, rtol=1e-9)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"vocab_size": 1, "cutoffs": ()}, "head adaptive needs a vocabulary of at least 2 words, got 1"),
        ({"cutoffs": (15, 6)}, "cutoffs must increase and be from 1 to 39, got 15 6"),
        ({"cutoffs": (6, 6)}, "cutoffs must increase"),
        ({"cutoffs": (0, 6)}, "cutoffs must increase"),
        ({"cutoffs": (6, 40)}, "cutoffs must increase"),
        ({"cutoffs": (6.0,)}, r"cutoffs must be a list of whole numbers, got \(6.0,\)"),
        ({"cutoffs": (True,)}, "cutoffs must be a list of whole numbers"),
        ({"head": "softmax"}, "cutoffs needs head adaptive"),
        ({"head": "hierarchical"}, "head must be one of auto, softmax, adaptive"),
    ],
)
def test_settings_that_do_not_go_together_are_refused(changes, message):
    with pytest.raises(UserError, match=message):
        config_of(**changes)


def test_what_it_cannot_be_trained_with_is_refused_before_anything_is_compiled():
    model = RNNLM(config_of(), rng=np.random.default_rng(0))
    with pytest.raises(UserError, match="label_smoothing cannot be used with head adaptive"):
        model.compile("train", regularization=RegularizationConfig(label_smoothing=0.1))
    with pytest.raises(UserError, match="num_devices must be 1 with head adaptive"):
        model.compile("train", engine=ENGINE, num_devices=2)


# Runs


@pytest.mark.slow
def test_a_run_resumed_in_the_middle_ends_with_the_same_bytes():
    config = TrainingConfig(optimizer="adam", epochs=2, batch_size=20, bptt_steps=5, dropout=0.2, clip_norm=0.5)
    model = RNNLM(config_of(dtype="float32", cutoffs=()), rng=np.random.default_rng(1))
    options = {"optimizer": "adam", "clip_norm": 0.5, "regularization": config, "engine": ENGINE}
    train = model.compile("train", **options).train
    ids = (VOCAB * np.random.default_rng(0).random(1500) ** 3).astype("int32")
    beginning = values_of(model.params), values_of(model.optimizer_state)

    def go_on(run, stop_at=None):
        source = Stream(ids, batch_size=20, bptt_steps=5, start_id=1, pad_id=VOCAB)
        fit(run, train, lambda epoch: source, lambda: Evaluation({"loss": 3.0}, 1), config, callback=Stopping(stop_at))
        return {name: array.tobytes() for name, array in values_of(model.params | model.optimizer_state).items()}

    run = Run(model, Progress(learning_rate=0.01), beginning[0])
    expected = go_on(run)
    assert run.progress.step == 30 and run.progress.records[1]["train_loss"] < run.progress.records[0]["train_loss"]
    assign(model.params, beginning[0])
    assign(model.optimizer_state, beginning[1])
    run = Run(model, Progress(learning_rate=0.01), beginning[0])
    assert go_on(run, 7) != expected
    resumed = Run(model, Progress(**run.progress.to_json()), dict(run.best), [np.array(v) for v in run.carried])
    assert go_on(resumed) == expected


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("adaptive")
    (folder / "text.txt").write_text(" ".join(sentences(60)))
    return folder


@pytest.fixture
def run(folder, monkeypatch, capsys):
    """Runs a command. Returns its status, standard output and standard error."""
    monkeypatch.setenv("OPENBLAS_NUM_THREADS", "1")
    monkeypatch.chdir(folder)

    def run(name, *arguments):
        engine = [] if name == "info" else ["--engine", ENGINE, "--device", "auto"]
        status = command(name, [*arguments, *engine], prog=f"theano-rnn {name}")
        return status, *capsys.readouterr()

    return run


ADAPTIVE = ["train", *TINY, "--head", "adaptive", "--checkpoint", "adaptive.safetensors"]


@pytest.mark.slow
@pytest.mark.learns
def test_the_commands_train_score_and_generate(run, folder):
    status, _, err = run(*ADAPTIVE, "--test", "text.txt", "--learning-rate", "0.05")
    assert status == 0, err
    log = log_of(folder / "adaptive.safetensors")
    checkpoint = load(folder / "adaptive.safetensors")
    vocab_size = checkpoint.vocabulary.vocab_size
    assert checkpoint.settings["model"]["cutoffs"] == list(default_cutoffs(vocab_size))
    assert log[1]["valid_loss"] < log[0]["valid_loss"] < np.log(vocab_size)
    columns = ["--columns", str(checkpoint.settings["training"]["batch_size"])]
    status, out, _ = run("score", "adaptive.safetensors", "text.txt", "--stream", *columns)
    assert status == 0 and json.loads(out)["loss"] == pytest.approx(log[-1]["test_loss"], rel=1e-6)
    status, out, _ = run("score", "adaptive.safetensors", "text.txt")
    assert status == 0 and len(out.splitlines()) == 60
    trained = LanguageModel(folder / "adaptive.safetensors", engine=ENGINE)
    step, predict = trained.function("step"), trained.function("predict")
    ids = [trained.start_id, *trained.vocabulary.encode(["Emma", "saw"])]
    state, tokens = trained.model.initial_state(1), np.array(ids, "int32")[:, None]
    whole, *_ = predict(tokens, np.ones(tokens.shape, "float32"), *state)
    for token, expected in zip(tokens, np.asarray(whole)):
        log_p, *state = step(token, *state)
        np.testing.assert_allclose(log_p, expected, rtol=1e-4)
    status, out, _ = run("generate", "adaptive.safetensors", "--num-samples", "3", "--prompt", "Emma")
    assert status == 0 and len(out.splitlines()) == 3


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--cutoffs", "9", "3"], "--cutoffs must increase and be from 1 to 9999, got 9 3"),
        (["--cutoffs", "5", "9999"], "--cutoffs must increase and be from 1 to"),  # of the words that the text has
        (["--cutoffs", "5.5"], "argument --cutoffs: invalid int value: '5.5'"),
        (["--head", "softmax", "--cutoffs", "5"], "--cutoffs needs head adaptive"),
        (["--label-smoothing", "0.1"], "--label-smoothing cannot be used with head adaptive"),
    ],
)
def test_what_does_not_go_together_is_one_line_and_status_2(run, folder, arguments, message):
    line = [*ADAPTIVE[:-1], "refused.safetensors", *arguments]
    status, _, err = run(*line)
    assert (status, err.count("\n")) == (2, 1) and message in err
    assert not (folder / "refused.safetensors").exists()


def test_several_devices_are_refused_in_one_line(run, monkeypatch):
    from theano_rnn.cli import machine

    monkeypatch.setattr(machine, "count_devices", lambda config: 2)
    status, _, err = run(*ADAPTIVE, "--num-devices", "2")
    assert (status, err.count("\n")) == (2, 1) and "--num-devices must be 1 with head adaptive" in err


def test_a_checkpoint_from_before_there_was_a_choice_has_a_softmax(folder):
    """A missing setting means the only choice that existed then, also when a run resumes."""
    settings = to_mapping(config_of(head="softmax", cutoffs=()))
    del settings["head"], settings["cutoffs"], settings["tie_weights"]
    config = from_checkpoint(ModelConfig, settings)
    assert config == config_of(head="softmax", cutoffs=())
    before = from_checkpoint(TrainingConfig, {"optimizer": "adam", "learning_rate": 0.001})
    assert (before.dropout, before.schedule) == (0.0, "plateau")
    assert set(RNNLM(config, rng=np.random.default_rng(0)).params) >= {"W_hy", "b_y"}


@pytest.mark.slow
def test_the_head_of_an_older_run_cannot_be_changed_on_the_way(run, folder):
    status, _, err = run("train", *TINY, "--checkpoint", "older.safetensors", "--max-seconds", "1e-6")
    assert status == 0, err
    checkpoint = load(folder / "older.safetensors", resume=True)
    del checkpoint.settings["model"]["head"], checkpoint.settings["model"]["cutoffs"]
    save(folder / "older.safetensors", checkpoint)
    line = ["train", "--resume", "--checkpoint", "older.safetensors"]
    status, _, err = run(*line, "--head", "adaptive")
    assert (status, err.count("\n")) == (2, 1) and "--head adaptive conflicts with older.safetensors" in err
    status, _, err = run(*line)
    assert status == 0, err


@pytest.mark.parametrize(
    ("vocab_size", "training", "num_devices", "head"),
    [
        (10_000, {}, 1, "adaptive"),
        (4_999, {}, 1, "softmax"),
        (10_000, {}, 2, "softmax"),
        (10_000, {"label_smoothing": 0.1}, 1, "softmax"),
        (10_000, {"batching": "sentences"}, 1, "softmax"),
    ],
)
def test_auto_is_adaptive_where_that_is_faster_and_can_be(vocab_size, training, num_devices, head):
    found = resolved_head(ModelConfig(vocab_size=vocab_size), TrainingConfig(**training), num_devices)
    assert (found.head, found.cutoffs) == (head, default_cutoffs(vocab_size) if head == "adaptive" else ())
    chosen = ModelConfig(vocab_size=vocab_size, head="softmax")
    assert resolved_head(chosen, TrainingConfig(**training), num_devices) == chosen

"""Perplexity of a text by PyTorch: python score_in_pytorch.py MODEL.pytorch.safetensors TEXT
MODEL: of `theano-rnn export`. TEXT: a sentence on each line, tokens between blanks, unknown words as <unk>, like PTB's.
The same as `theano-rnn score --stream` where training had such text (--sentences line --tokens whitespace)."""
import functools, json, math, pathlib, sys, safetensors, torch  # noqa: E401, I001
from adaptive_decoder import AdaptiveDecoder, nn  # in the same folder; nn is torch.nn
with safetensors.safe_open(sys.argv[1], "pt") as file:
    weights = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    facts = json.loads(file.metadata()["theano_rnn_export"])
size, start = facts["settings"]["model"], facts["start_id"]
words = {word: number for number, word in enumerate(facts["vocabulary"]["words"], 2)}  # 0 is <unk>, 1 is </s>
kind = {"lstm": nn.LSTM, "gru": nn.GRU}.get(size["cell"]) or functools.partial(nn.RNN, nonlinearity=size["cell"])
model = nn.Module()
model.encoder = nn.Embedding(*weights["encoder.weight"].shape)
model.rnn = kind(size["embedding_size"], size["hidden_size"], size["num_layers"])
decoder = weights.get("decoder.weight")  # missing in the default model, which has an adaptive softmax
model.decoder = AdaptiveDecoder(weights) if decoder is None else nn.Linear(*decoder.mT.shape)
model.load_state_dict(weights, strict=True)
lines = filter(None, map(str.split, pathlib.Path(sys.argv[2]).read_text("utf-8-sig").split("\n")))
ids = torch.tensor([number for line in lines for number in [*(words.get(word, 0) for word in line), 1]])
columns = max(1, min(facts["settings"]["training"]["batch_size"], len(ids) // 2000))  # each from a zero state
targets = nn.functional.pad(ids, (0, blank := -len(ids) % columns), value=-100).reshape(columns, -1).T
before = nn.functional.pad(ids[:-1], (1, blank), value=1)
inputs = before.where(before != 1, start).reshape(columns, -1).T  # before a sentence </s>, or <s> as in training
state, nats = None, 0.0
with torch.no_grad():
    for tokens, wanted in zip(inputs.split(100), targets.split(100)):  # 100 steps at a time, the state carried on
        h, state = model.rnn(model.encoder(tokens), state)
        log_p = model.decoder(h) if decoder is None else model.decoder(h).log_softmax(-1)
        nats += nn.functional.nll_loss(log_p.flatten(0, 1), wanted.flatten(), reduction="none").double().sum().item()
print(math.exp(nats / len(ids)))

"""The package's decoder with attention (`theano_rnn.nn.attention_decoder`) in PyTorch, as fast as it can be.

Everything that does not depend on the step before is computed for all steps at once. The parameters are the package's
own, transposed, with gates in PyTorch's order. Its memory is (batch, positions, size), so that `bmm` reads it as it is.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import torch
from torch import nn

from theano_rnn.nn.cells import CELLS

GATES = {"gru": "rzn", "lstm": "ifgo"}  # of PyTorch


def fill(module: Any, kind: str, suffix: str, params: Mapping[str, Any], place: str, extra: Any = None) -> None:
    """Give a layer or cell the package's parameters `place`.W_xh and so on; `extra` are further rows of W_xh.

    We have one bias, so PyTorch's second one is zero and not trained; but a GRU needs it.
    """
    own = "".join("g" if name[0] == "c" else name[0] for name in CELLS[kind].GATES)
    order = [own.index(gate) for gate in GATES[kind]]

    def reordered(value: Any) -> Any:
        blocks = value.chunk(len(order), dim=-1)
        return torch.cat([blocks[i] for i in order], dim=-1)

    W_xh = params[f"{place}.W_xh"] if extra is None else torch.cat([params[f"{place}.W_xh"], extra])
    values = {"weight_ih": reordered(W_xh).T, "weight_hh": reordered(params[f"{place}.W_hh"]).T,
              "bias_ih": reordered(params[f"{place}.b_h"])}  # fmt: skip
    bias = torch.zeros(len(values["bias_ih"]))
    if kind == "gru":
        bias[-len(params[f"{place}.b_hn"]) :] = params[f"{place}.b_hn"]
    for name, value in {**values, "bias_hh": bias}.items():
        getattr(module, name + suffix).data.copy_(value)
    for name, param in module.named_parameters():
        param.requires_grad_(kind == "gru" or not name.startswith("bias_hh"))


def linear(W: Any, b: Any = None) -> Any:
    """Returns x -> x W + b."""
    found = nn.Linear(*W.shape, bias=b is not None)
    found.weight.data.copy_(W.T)
    if b is not None:
        found.bias.data.copy_(b)
    return found


class PyTorchDecoder:
    """The decoder of a translator or captioner.

    Parameters
    ----------
    p : mapping
        Tensors by the package's names.
    sizes : mapping
        ``cell``, ``vocab_size``.
    """

    def __init__(self, p: Mapping[str, Any], sizes: Mapping[str, Any]) -> None:
        self.kind, self.vocab_size = sizes["cell"], sizes["vocab_size"]
        self.embedding = nn.Embedding.from_pretrained(p["embedding"], freeze=False)
        hidden_size = len(p["decoder.layer0.W_hh"])
        cell = nn.GRUCell if self.kind == "gru" else nn.LSTMCell
        self.cell = cell(len(p["decoder.layer0.W_xh"]) + len(p["decoder.layer0.W_ch"]), hidden_size)
        fill(self.cell, self.kind, "", p, "decoder.layer0", p["decoder.layer0.W_ch"])
        self.hidden_size = hidden_size
        self.first, self.keys = linear(p["W_s"], p["b_s"]), linear(p["decoder.layer0.W_k"])
        self.query = linear(p["decoder.layer0.W_q"])
        self.reads_word = "W_ry" in p
        self.joined = linear(torch.cat([p[name] for name in ("W_ry", "W_rh", "W_rc") if name in p]), p["b_r"])
        self.energy, self.output_bias = nn.Parameter(p["decoder.layer0.v_a"]), nn.Parameter(p["b_y"])
        modules = [self.embedding, self.cell, self.first, self.keys, self.query, self.joined]
        self.params = [param for module in modules for param in module.parameters() if param.requires_grad]
        self.params += [self.energy, self.output_bias]

    def start(self, mean: Any, memory: Any) -> tuple[list[Any], Any]:
        """Returns the first state, given the mean of the memory, and the keys of the memory."""
        return list(torch.tanh(self.first(mean)).split(self.hidden_size, dim=1)), self.keys(memory)

    def attend(self, y_t: Any, state: Sequence[Any], keys: Any, memory: Any, bias: Any = None) -> tuple[Any, Any]:
        """One step. `bias` (batch, positions), of padding, is added to the energies. Returns the state, and c_t."""
        energies = torch.tanh(keys + self.query(state[0])[:, None]) @ self.energy
        weights = torch.softmax(energies if bias is None else energies + bias, dim=1)
        c = torch.bmm(weights[:, None], memory)[:, 0]
        x_t = torch.cat([y_t, c], dim=1)
        return (self.cell(x_t, tuple(state)) if self.kind == "lstm" else (self.cell(x_t, state[0]),)), c

    def scores(self, *parts: Any) -> Any:
        """Returns the logits (rows, vocab) after vectors of words, states and contexts (..., size)."""
        r = torch.tanh(self.joined(torch.cat(parts if self.reads_word else parts[1:], dim=-1)))
        return nn.functional.linear(r.flatten(0, -2), self.embedding.weight[: self.vocab_size], self.output_bias)

    def loss(self, tokens: Any, targets: Any, mask: Any, state: Any, *context: Any) -> Any:
        """Returns the mean loss in nats per token; `context` is that of `attend`."""
        y = self.embedding(tokens)
        states, contexts = [], []
        for y_t in y:
            state, c = self.attend(y_t, state, *context)
            states.append(state[0])
            contexts.append(c)
        scores = self.scores(y, torch.stack(states), torch.stack(contexts))
        losses = nn.functional.cross_entropy(scores, targets.flatten(), reduction="none")
        return (losses * mask.flatten()).sum() / mask.sum()

    def search_step(self, num_top: int) -> Callable[..., list[Any]]:
        """Returns the function `search_step` of `tasks.attending_model`."""

        @torch.inference_mode()
        def step(tokens: Any, parents: Any, *others: Any) -> list[Any]:
            *state, banned, keys, memory, bias = map(torch.from_numpy, others)
            keys, memory, bias = (each.transpose(0, 1) for each in (keys, memory, bias))
            y_t = self.embedding(torch.from_numpy(tokens.astype("int64")))
            rows = torch.from_numpy(parents.astype("int64"))
            state, c = self.attend(y_t, [each[rows] for each in state], keys, memory, bias)
            scores = self.scores(y_t, state[0], c)
            values, words = (scores.log_softmax(1) + banned).topk(num_top, dim=1)
            return [values.numpy(), words.numpy().astype(np.int32), *(each.numpy() for each in state)]

        return step


def trainer(params: Sequence[Any], loss_of: Callable[[Any], Any], rate: float, clip_norm: float) -> Any:
    """Returns a function that makes one update by Adam with a batch, and returns the loss before it."""
    optimizer = torch.optim.Adam(params, lr=rate, fused=True)

    def train(batch: Any) -> float:
        optimizer.zero_grad()
        loss = loss_of(batch)
        loss.backward()
        nn.utils.clip_grad_norm_(params, clip_norm)
        optimizer.step()
        return float(loss.item())

    return train

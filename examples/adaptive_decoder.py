"""The adaptive softmax of an exported model as a PyTorch module: log-probabilities (..., words) of all words.

`AdaptiveDecoder(weights)` takes the shapes from the tensors of `theano-rnn export`; then use `load_state_dict`."""
import torch
from torch import nn


class AdaptiveDecoder(nn.Module):
    def __init__(self, weights):
        super().__init__()
        def layer(name, bias=True):
            rows, inputs = weights[f"decoder.{name}.weight"].shape
            return nn.Linear(inputs, rows, bias=bias)
        self.project = layer("project", bias=False) if "decoder.project.weight" in weights else nn.Identity()
        self.head, self.tails = layer("head"), nn.ModuleList()
        while f"decoder.tails.{len(self.tails)}.weight" in weights:
            name = f"tails.{len(self.tails)}"
            self.tails.append(layer(name))
            if f"decoder.{name}.down.weight" in weights:
                self.tails[-1].down = layer(f"{name}.down", bias=False)

    def forward(self, h):
        h = self.project(h)
        sizes = [self.head.out_features - len(self.tails), len(self.tails)]
        frequent, clusters = self.head(h).log_softmax(-1).split(sizes, -1)
        parts = [tail(tail.down(h) if hasattr(tail, "down") else h).log_softmax(-1) + clusters[..., i : i + 1]
                 for i, tail in enumerate(self.tails)]
        return torch.cat([frequent, *parts], -1)

"""The same training step in idiomatic PyTorch: nn.Embedding; nn.RNN, nn.LSTM or nn.GRU; nn.Linear; SGD.

PyTorch's recurrent layers add two biases. Here the second one is zero and not trained: otherwise the bias would count
twice in the global norm. (The exception is the last third of a GRU's second bias, which is an independent parameter.)
Nothing else differs from the package's model.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import nn

GATES = "ifgo"  # the order in nn.LSTM's matrices: input, forget, candidate, output


def make_step(
    cell: str,
    sizes: Mapping[str, int],
    weights: Mapping[str, Any] | None,
    gates: str,
    *,
    sparse: bool,
    device: str,
    precision: str,
    learning_rate: float,
    clip_norm: float,
) -> Callable[[Any, Any], float]:
    """A function (tokens, targets) -> loss in nats per token, that keeps parameters and state from call to call.

    Parameters
    ----------
    weights : mapping of arrays by the package's names, or None for PyTorch's own
    gates : str
        The order of the LSTM's gates in `weights`, in PyTorch's letters.
    sparse : bool
        Whether the embedding's gradient holds only the rows that a batch uses. PyTorch then has no fused update.
    precision : str
        "float32", or "bfloat16" for that of ``torch.autocast``.
    """
    hidden_size = sizes["hidden_size"]
    embedding = nn.Embedding(sizes["vocab_size"] + 2, sizes["embedding_size"], sparse=sparse)
    layers = {"num_layers": sizes["num_layers"]}
    if cell in ("lstm", "gru"):
        recurrent: Any = {"lstm": nn.LSTM, "gru": nn.GRU}[cell](sizes["embedding_size"], hidden_size, **layers)
    else:
        recurrent = nn.RNN(sizes["embedding_size"], hidden_size, nonlinearity=cell, **layers)
    output = nn.Linear(hidden_size, sizes["vocab_size"])
    if weights is not None:
        copy_weights(embedding, recurrent, output, weights, gates if cell == "lstm" else "")
    for layer in range(sizes["num_layers"]):
        freeze_second_bias(getattr(recurrent, f"bias_hh_l{layer}"), cell, hidden_size)
    model = nn.ModuleList([embedding, recurrent, output]).to(device)
    params = [p for p in model.parameters() if p.requires_grad]
    optimizer = torch.optim.SGD(params, lr=learning_rate, fused=not sparse)
    clip = clip_sparse if sparse else nn.utils.clip_grad_norm_
    loss_of = nn.CrossEntropyLoss()
    state: Any = None  # zeros

    def step(tokens: Any, targets: Any) -> float:
        nonlocal state
        optimizer.zero_grad()
        with torch.autocast(device, torch.bfloat16, enabled=precision == "bfloat16"):
            hidden, final = recurrent(embedding(tokens), state)  # (time, batch, hidden)
            loss = loss_of(output(hidden).flatten(0, 1), targets.flatten())
        loss.backward()
        clip(params, clip_norm)
        optimizer.step()
        state = tuple(s.detach() for s in final) if cell == "lstm" else final.detach()
        return loss.item()

    return step


def freeze_second_bias(bias: Any, cell: str, hidden_size: int) -> None:
    """Keep at zero what of the second bias is one with the first."""
    if cell != "gru":
        with torch.no_grad():
            bias.zero_().requires_grad_(False)
        return
    shared = slice(2 * hidden_size)
    with torch.no_grad():
        bias[shared] = 0

    def without_shared(gradient: Any) -> Any:
        gradient = gradient.clone()
        gradient[shared] = 0
        return gradient

    bias.register_hook(without_shared)


def clip_sparse(params: list[Any], clip_norm: float) -> None:
    """Clip by the global norm as `clip_grad_norm_` does, which refuses sparse gradients."""
    gradients = []
    for p in params:
        if p.grad.is_sparse:
            p.grad = p.grad.coalesce()  # a token that occurs twice has one row
        gradients.append(p.grad.values() if p.grad.is_sparse else p.grad)
    scale = torch.clamp(clip_norm / (nn.utils.get_total_norm(gradients) + 1e-6), max=1.0)
    for gradient in gradients:
        gradient.mul_(scale)


def copy_weights(embedding: Any, recurrent: Any, output: Any, weights: Mapping[str, Any], gates: str) -> None:
    """Give PyTorch's layers the package's parameters: transposed, gates reordered."""
    targets = {"embedding": embedding.weight, "W_hy": output.weight, "b_y": output.bias}
    for layer in range(recurrent.num_layers):
        names = {"W_xh": "weight_ih", "W_hh": "weight_hh", "b_h": "bias_ih"}
        targets |= {f"layer{layer}.{ours}": getattr(recurrent, f"{theirs}_l{layer}") for ours, theirs in names.items()}
        if isinstance(recurrent, nn.GRU):
            targets[f"layer{layer}.b_hn"] = getattr(recurrent, f"bias_hh_l{layer}")[2 * recurrent.hidden_size :]
    if set(targets) != set(weights):
        raise ValueError(f"torch_peer knows the parameters {sorted(targets)}, the model has {sorted(weights)}")
    with torch.no_grad():
        for name, target in targets.items():
            value = torch.from_numpy(weights[name])
            if gates and name.startswith("layer"):
                blocks = dict(zip(gates, value.chunk(len(gates), dim=-1)))
                value = torch.cat([blocks[gate] for gate in GATES], dim=-1)
            target.copy_(value if name == "embedding" or value.ndim == 1 else value.T)

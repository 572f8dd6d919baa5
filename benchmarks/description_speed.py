"""Speed of training a captioner and of describing pictures, compared with the same network in PyTorch.

    python benchmarks/description_speed.py --checkpoint runs/scenes.safetensors

Both do the same work on the same batches of drawn scenes, from the same initial parameters: 3x3 convolutions with batch
normalization, an LSTM with additive attention over the regions, readout, a softmax with tied weights; Adam, clipping by
global norm, float32, no dropout; each fetches the loss of every step. First the losses of the first steps and some
captions are compared. Each runs in its own process, and they take turns: in each round, each makes the same training
steps, and describes the same pictures, by the likeliest words and with a beam of 3.

PyTorch is run at its best: with one and two threads, its pictures and kernels in the format channels_last and not. Its
pictures are in its own order before the clock starts. Its beam search is the package's own, with PyTorch's step.
"""

from __future__ import annotations

import argparse
import dataclasses
import itertools
import json
import sys
import tempfile
import time
from pathlib import Path
from typing import Any
from unittest import mock

import numpy as np

LEARNING_RATE, CLIP_NORM, BEAM_SIZES = 0.002, 1.0, (1, 3)
NUM_CHECKED, NUM_CAPTIONS = 3, 16  # steps and captions that are compared
TITLES = ("training, pictures per second", *(f"describing with a beam of {size}, pictures per second"
                                             for size in BEAM_SIZES))  # fmt: skip


def prepare(args: argparse.Namespace, path: Path) -> dict[str, Any]:
    """Write the batches, pictures and initial parameters for everybody. Returns sizes and settings of the search."""
    from theano_rnn.learning.checkpoint import load
    from theano_rnn.settings.base import to_mapping
    from theano_rnn.settings.network import DescriptionConfig
    from theano_rnn.tasks.caption_batches import CaptionBatches
    from theano_rnn.tasks.describe import Describe
    from theano_rnn.tasks.registry import stored_sections
    from theano_rnn.tasks.scenes import NUM_SCENES

    task = Describe()
    sections = {name: section() for name, section in task.sections.items()}
    sections["text"] = dataclasses.replace(sections["text"], sentences="line")
    checkpoint = load(args.checkpoint) if args.checkpoint else None
    config = DescriptionConfig(cell=args.cell)
    if checkpoint is not None:
        config = stored_sections(task, checkpoint.settings)["model"]
    counts = {"train": args.batches * args.batch_size, "valid": args.pictures, "test": 1}
    with mock.patch.dict(NUM_SCENES, counts):
        data = task.read(sections, known=None if checkpoint is None else checkpoint.facts)
    model = task.make_model({**sections, "model": config}, data.facts, rng=np.random.default_rng(1))
    arrays = {f"param/{name}": param.get_value() for name, param in model.params.items()}
    if checkpoint is None:
        arrays["param/embedding"] = 5 * arrays["param/embedding"]  # or the losses would hardly depend on the rest
    else:
        arrays |= {f"param/{name}": value for name, value in checkpoint.best.items()}
    vocabulary, images = data.facts["vocabulary"], data.facts["images"]
    batches = CaptionBatches(data.parts["train"], images, batch_size=args.batch_size, start_id=vocabulary.bos_id,
                             pad_id=vocabulary.pad_id, rng=np.random.default_rng(1))  # fmt: skip
    whole = [batch for batch in map(batches.batch, range(len(batches))) if batch.mask[0].all()]
    for number, batch in enumerate(whole):
        arrays |= {f"batch{number}/{i}": array for i, array in enumerate(batch.arrays)}
    arrays["images"] = data.parts["valid"].images
    np.savez(path, **arrays)
    search = {"start_id": vocabulary.bos_id, "end_id": vocabulary.eos_id, "vocab_size": vocabulary.vocab_size,
              "banned_ids": [vocabulary.unk_id], "longest": images["longest"]}  # fmt: skip
    scale = {name: images[name] for name in ("mean", "scale")}
    return {"config": to_mapping(model.config), "search": search, "images": scale, "num_batches": len(whole)}


def describer(compiled: Any, prepared: Any, search: dict[str, Any]) -> Any:
    """Returns a function that describes pictures with a beam of a given size and returns the ids of each caption.

    `compiled` returns the functions `encode` and `search_step`, given their name and the size of the beam.
    """
    from theano_rnn.generation.describing import describe
    from theano_rnn.generation.hypotheses import SearchRules

    def described(images: Any, beam_size: int) -> list[tuple[int, ...]]:
        found = describe(lambda name: compiled(name, beam_size), images, prepared, rules=SearchRules(beam_size),
                         dtype="float32", **search)  # fmt: skip
        return [each[0].ids for each in found]

    return described


def ours(spec: dict[str, Any], params: dict[str, Any]) -> tuple[Any, Any]:
    """Returns the package's functions: train, of the arrays of a batch, and one that describes."""
    from theano_rnn.engine.allocator import keep_freed_memory
    from theano_rnn.generation.batched_search import num_proposals
    from theano_rnn.learning.checkpoint import assign
    from theano_rnn.settings.base import from_mapping
    from theano_rnn.settings.network import DescriptionConfig
    from theano_rnn.tasks.caption_batches import scaled
    from theano_rnn.tasks.caption_model import CaptionModel

    keep_freed_memory()  # as the commands do
    model = CaptionModel(from_mapping(DescriptionConfig, spec["config"]), rng=np.random.default_rng(1))
    assign(model.params, params)
    functions = model.compile("train", "encode", engine=spec["engine"], optimizer="adam", clip_norm=CLIP_NORM)
    steps = {}
    for size in BEAM_SIZES:
        model.num_top = num_proposals(size)
        steps[size] = model.compile("search_step", engine=spec["engine"]).search_step
    rate = np.float32(LEARNING_RATE)
    described = describer(lambda name, size: functions.encode if name == "encode" else steps[size],
                          lambda part: scaled(part, spec["images"], "float32"), spec["search"])  # fmt: skip
    return lambda batch: float(functions.train(*batch, rate)[0]), described


def pytorch(spec: dict[str, Any], params: dict[str, Any]) -> tuple[Any, Any, Any]:
    """Returns PyTorch's functions: train, of a batch, one that describes, and one that puts a batch in its order."""
    import torch
    from attending_peer import PyTorchDecoder, trainer
    from torch import nn

    from theano_rnn.generation.batched_search import num_proposals
    from theano_rnn.nn.batch_normalization import MOMENTUM, NORM_EPSILON
    from theano_rnn.nn.image_encoder import strides_of

    config = spec["config"]
    order = torch.channels_last if spec["is_last"] else torch.contiguous_format
    p = {name: torch.from_numpy(value.copy()) for name, value in params.items()}
    layers: list[Any] = []
    before = 3
    for number, (channels, stride) in enumerate(zip(config["channels"], strides_of(config["channels"]))):
        convolution = nn.Conv2d(before, channels, 3, stride=stride, padding=1, bias=False)
        convolution.weight.data.copy_(p[f"encoder.conv{number}.W"].permute(3, 2, 0, 1))
        normalization = nn.BatchNorm2d(channels, eps=NORM_EPSILON, momentum=MOMENTUM)
        names = {"weight": "gain", "bias": "bias", "running_mean": "mean", "running_var": "variance"}
        for name, own in names.items():
            getattr(normalization, name).data.copy_(p[f"encoder.conv{number}.{own}"])
        layers += [convolution, normalization, nn.ReLU(inplace=True)]
        before = channels
    encoder, places = nn.Sequential(*layers).to(memory_format=order), nn.Parameter(p["encoder.places"])
    decoder = PyTorchDecoder(p, config)

    def read(images: Any) -> tuple[Any, ...]:
        """Returns the first state, keys and memory."""
        memory = encoder(images).flatten(2).transpose(1, 2) + places  # (batch, regions, channels)
        state, keys = decoder.start(memory.mean(1), memory)
        return state, keys, memory

    def loss_of(batch: Any) -> Any:
        images, *rest = batch
        return decoder.loss(*rest, *read(images))

    def in_order(batch: Any) -> Any:
        images, tokens, targets, mask = map(torch.from_numpy, batch)
        return images.permute(1, 3, 0, 2).contiguous(memory_format=order), tokens.long(), targets.long(), mask

    mean, scale = (torch.tensor(spec["images"][name], dtype=torch.float32) for name in ("mean", "scale"))

    def prepared(part: Any) -> Any:
        return ((torch.from_numpy(part).float() - mean) / scale).permute(0, 3, 1, 2).contiguous(memory_format=order)

    @torch.inference_mode()
    def encode(images: Any, columns: Any) -> list[Any]:
        encoder.eval()
        state, keys, memory = read(images)
        encoder.train()
        rows = torch.from_numpy(columns.astype("int64"))
        bias = torch.zeros(memory.shape[:2])
        context = (each[rows].transpose(0, 1) for each in (keys, memory, bias))
        return [each.numpy() for each in (*(each[rows] for each in state), *context)]

    steps = {size: decoder.search_step(num_proposals(size)) for size in BEAM_SIZES}
    described = describer(lambda name, size: encode if name == "encode" else steps[size], prepared, spec["search"])
    train = trainer([*encoder.parameters(), places, *decoder.params], loss_of, LEARNING_RATE, CLIP_NORM)
    return train, described, in_order


def worker(spec: dict[str, Any]) -> None:
    """Run one contender."""
    from taking_turns import answer

    with np.load(spec["file"]) as loaded:
        file = {name: loaded[name] for name in loaded}
    params = {name.removeprefix("param/"): value for name, value in file.items() if name.startswith("param/")}
    batches: list[Any] = [[file[f"batch{number}/{i}"] for i in range(4)] for number in range(spec["num_batches"])]
    images, num_pictures = file["images"], sum(batch[1].shape[1] for batch in batches)
    if spec["kind"] == "ours":
        train, described = ours(spec, params)
    else:
        import torch

        torch.set_num_threads(spec["threads"])
        train, described, in_order = pytorch(spec, params)
        batches = list(map(in_order, batches))

    def check() -> Any:
        captions = described(images[:NUM_CAPTIONS], BEAM_SIZES[-1])
        return [[train(batch) for batch in batches[:NUM_CHECKED]], captions]

    def work() -> list[float]:
        speeds, began = [], time.perf_counter()
        for batch in batches:
            train(batch)
        speeds.append(num_pictures / (time.perf_counter() - began))
        for size in BEAM_SIZES:
            began = time.perf_counter()
            described(images, size)
            speeds.append(len(images) / (time.perf_counter() - began))
        return speeds

    answer({"check": check, "warm": work, "round": work})


def main() -> None:
    from taking_turns import Contenders, print_rounds

    parser = argparse.ArgumentParser(description="Speed of training a captioner and describing, against PyTorch.")
    parser.add_argument("--checkpoint", help="start from the parameters of this captioner of scenes: an untrained one "
                        "writes captions of other lengths")  # fmt: skip
    parser.add_argument("--cell", choices=("lstm", "gru"), default="lstm", help="without a checkpoint")
    parser.add_argument("--batch-size", type=int, default=32)
    parser.add_argument("--batches", type=int, default=48, help="of a round")
    parser.add_argument("--pictures", type=int, default=512, help="that are described in a round")
    parser.add_argument("--engine", choices=("jax", "c"), default="jax")
    parser.add_argument("--threads", type=int, nargs="+", default=[1, 2], help="of PyTorch; the fastest counts")
    parser.add_argument("--rounds", type=int, default=5)
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder, "data.npz")
        common = {**prepare(args, file), "file": str(file)}
        specs = {f"theano_rnn {args.engine}": {**common, "kind": "ours", "engine": args.engine}}
        for threads, is_last in itertools.product(args.threads, (True, False)):
            name = f"PyTorch, {threads} threads" + (", channels_last" if is_last else "")
            specs[name] = {**common, "kind": "torch", "threads": threads, "is_last": is_last}
        contenders = Contenders(__file__, specs)
        checks = contenders.ask("check")
        losses, captions = next(iter(checks.values()))
        for name, (values, found) in checks.items():
            same = sum(a == b for a, b in zip(captions, found))
            if not np.allclose(values, losses, rtol=5e-4, atol=5e-4) or same < len(captions) - 1:
                raise SystemExit(f"{name} does not do the same work: losses {values}, the first has {losses}; "
                                 f"{same} of {len(captions)} captions are the same")  # fmt: skip
        print(f"losses of {NUM_CHECKED} steps agree: {[round(v, 4) for v in losses]}; so do {len(captions)} captions")
        rounds = contenders.rounds(args.rounds)
        contenders.close()
    print_rounds(rounds, TITLES)


if __name__ == "__main__":
    if sys.argv[1:2] == ["--worker"]:
        import theano_rnn  # noqa: F401 - sets Aesara's flags before NumPy is used

        worker(json.loads(sys.argv[2]))
    else:
        main()

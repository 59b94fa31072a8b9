"""Let the encoder read more tweets before it is taught: masked-language training on the training texts (extra `torch`).

`python -m enrich.pretraining --texts TRAIN.tsv.gz --out ENCODER`, then `python -m enrich.training --encoder ENCODER`.
Labels are not looked at (Gururangan et al. 2020, task-adaptive pretraining; Devlin et al. 2019, masking).
"""

from __future__ import annotations

import argparse
import math
import random
import shutil
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import nn
from torch.nn.functional import cross_entropy
from transformers import BertModel

from enrich.engine import Passage
from enrich.labelled import read_labelled
from enrich.training import length_batches, packaged_encoder, schedule
from enrich.word_pieces import WordPieces, question_of

MASK_ID = 103
# Pieces up to here have a meaning of their own; words begin some hundreds later.
_LAST_SPECIAL, _FIRST_WORD = 103, 1_000


@dataclass(frozen=True, slots=True, kw_only=True)
class PretrainingSettings:
    """What steers the run."""

    epochs: int = 2
    learning_rate: float = 2e-4
    warmup_share: float = 0.06
    batch_size: int = 32
    bucket_batches: int = 50
    max_tokens: int = 96
    # Of all pieces are guessed; of these most are hidden, some are another piece, the rest stay as they are.
    guessed_share: float = 0.15
    hidden_share: float = 0.8
    other_share: float = 0.1
    bf16: bool = False
    seed: int = 5


class _Guesser(nn.Module):  # type: ignore[misc]  # torch is an extra, unknown to the type checker
    """An encoder with the head of masked-language training; the words' own embeddings are the last layer."""

    def __init__(self, bert: BertModel) -> None:
        super().__init__()
        hidden = bert.config.hidden_size
        self.bert = bert
        self.head = nn.Sequential(nn.Linear(hidden, hidden), nn.GELU(), nn.LayerNorm(hidden))
        self.bias = nn.Parameter(torch.zeros(bert.config.vocab_size))

    def forward(self, ids: torch.Tensor, mask: torch.Tensor, guessed: torch.Tensor) -> torch.Tensor:
        """Give logits of the guessed pieces. Shapes: (batch, length) three times -> (guessed, vocabulary)."""
        states = self.bert(input_ids=ids, attention_mask=mask).last_hidden_state[guessed]
        logits: torch.Tensor = self.head(states) @ self.bert.embeddings.word_embeddings.weight.T + self.bias
        return logits


def _hidden(ids: torch.Tensor, guessed: torch.Tensor, settings: PretrainingSettings, words: int) -> torch.Tensor:
    """Give what the encoder sees in place of `ids`."""
    dice = torch.rand(ids.shape)
    seen = ids.masked_fill(guessed & (dice < settings.hidden_share), MASK_ID)
    other = guessed & (dice >= settings.hidden_share) & (dice < settings.hidden_share + settings.other_share)
    seen[other] = torch.randint(_FIRST_WORD, words, (int(other.sum()),))
    return seen


def pretrain(texts: Path, encoder: Path, out: Path, settings: PretrainingSettings) -> Path:
    """Train `encoder` on to guess pieces of the texts, and write it with its tokenizer's files.

    Args:
        texts: see `read_labelled`; the labels are not used.
        encoder: local folder of a BERT-like model in safetensors, with its `tokenizer.json`.
        out: folder to write.
        settings: see there.

    Returns:
        `out`.
    """
    torch.manual_seed(settings.seed)
    rng = random.Random(settings.seed)  # noqa: S311 -- shuffles rows, guards nothing
    pieces = WordPieces(encoder / "tokenizer.json", settings.max_tokens)
    rows = [row.ids for row in pieces.rows([question_of(Passage(row.text)) for row in read_labelled(texts)])]
    model = _Guesser(BertModel.from_pretrained(encoder, local_files_only=True, use_safetensors=True).float())
    steps = settings.epochs * math.ceil(len(rows) / settings.batch_size)
    optimiser = torch.optim.AdamW(model.parameters(), lr=settings.learning_rate, weight_decay=0.01, fused=True)
    warmup = int(steps * settings.warmup_share)
    scheduler = torch.optim.lr_scheduler.LambdaLR(optimiser, lambda step: schedule(step, steps, warmup))
    lengths = [len(row) for row in rows]
    model.train()
    step, started = 0, time.monotonic()
    for _ in range(settings.epochs):
        for batch in length_batches(lengths, settings.batch_size, settings.bucket_batches, rng):
            ids = torch.zeros((len(batch), max(lengths[place] for place in batch)), dtype=torch.long)
            for at, place in enumerate(batch):
                ids[at, : lengths[place]] = torch.tensor(rows[place])
            guessed = (torch.rand(ids.shape) < settings.guessed_share) & (ids > _LAST_SPECIAL)
            if guessed.any():
                seen = _hidden(ids, guessed, settings, model.bert.config.vocab_size)
                with torch.autocast("cpu", dtype=torch.bfloat16, enabled=settings.bf16):
                    logits = model(seen, (ids != 0).long(), guessed)
                loss = cross_entropy(logits.float(), ids[guessed])
                loss.backward()
                torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
                optimiser.step()
                optimiser.zero_grad(set_to_none=True)
            scheduler.step()
            step += 1
            if guessed.any() and step % 200 == 0:
                pace = (time.monotonic() - started) / step
                print(f"step {step}/{steps} loss {loss.item():.3f} {pace:.3f} s/step", flush=True)
    model.bert.save_pretrained(out)
    for name in ("tokenizer.json", "tokenizer_config.json"):
        shutil.copyfile(encoder / name, out / name)
    return out


def main(argv: Sequence[str]) -> int:
    """Train and write the encoder; 0 when done."""
    parser = argparse.ArgumentParser(prog="python -m enrich.pretraining", description=__doc__)
    parser.add_argument("--texts", type=Path, required=True, help="gzipped TSV: id, label, text")
    parser.add_argument("--encoder", type=Path, default=None, help="local encoder folder (default: MiniLM)")
    parser.add_argument("--out", type=Path, required=True, help="folder for the encoder")
    parser.add_argument("--epochs", type=int, default=PretrainingSettings().epochs)
    parser.add_argument("--bf16", action="store_true", help="autocast to bfloat16 (faster where the CPU has it)")
    args = parser.parse_args(argv)
    settings = PretrainingSettings(epochs=args.epochs, bf16=args.bf16)
    pretrain(args.texts, args.encoder or packaged_encoder(), args.out, settings)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

"""The brand-directed sentiment model in PyTorch, for training and for checks (extra `torch`)."""

from __future__ import annotations

import json
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any, TypeAlias

import torch
from safetensors.torch import load_file, save_file
from torch import nn
from transformers import BertConfig, BertModel

from domain.records import SENTIMENTS
from enrich.engine import POINTS
from enrich.word_pieces import Row

# Key of `config.json`: after how many layers a text may be answered early.
EARLY = "early_layers"
CHECKPOINT_FILES = ("config.json", "model.safetensors", "tokenizer.json", "tokenizer_config.json")


# Logits of whole texts, shape (batch, 3), and of brands, shape (batch, brands, 5).
Logits: TypeAlias = tuple[torch.Tensor, torch.Tensor]


class _Head(nn.Module):  # type: ignore[misc]  # torch is an extra, unknown to the type checker
    """Two states side by side, mixed once, then classified."""

    def __init__(self, hidden: int, classes: int) -> None:
        super().__init__()
        self.dense = nn.Linear(2 * hidden, hidden)
        self.classifier = nn.Linear(hidden, classes)
        self.dropout = nn.Dropout(0.1)

    def forward(self, states: torch.Tensor, beside: torch.Tensor) -> torch.Tensor:
        """Give logits, shape (..., classes), of two tensors of shape (..., hidden)."""
        both = self.dropout(torch.cat([states, beside], dim=-1))
        found: torch.Tensor = self.classifier(self.dropout(torch.tanh(self.dense(both))))
        return found


class _EarlyHeads(nn.Module):  # type: ignore[misc]  # see _Head
    """The same two questions asked of the states half-way: easy texts are answered there (`enrich.graph`).

    The text is read from its first token beside the mean of all: half-way the first token has not gathered everything.
    """

    def __init__(self, hidden: int) -> None:
        super().__init__()
        self.text = _Head(hidden, len(SENTIMENTS))
        self.brand = _Head(hidden, len(POINTS))

    def forward(self, states: torch.Tensor, mask: torch.Tensor, shares: torch.Tensor) -> Logits:
        """Give logits; arguments as for `BrandSentimentModel.forward`, states of shape (batch, length, hidden)."""
        first = states[:, 0]
        weights = (mask / mask.sum(dim=1, keepdim=True)).to(states.dtype)
        mean = (weights.unsqueeze(1) @ states).squeeze(1)
        named = shares.to(states.dtype) @ states
        return self.text(mean, first), self.brand(named, first.unsqueeze(1).expand_as(named))


class BrandSentimentModel(nn.Module):  # type: ignore[misc]  # see _Head
    """A BERT-like encoder with two heads: of the whole text, and of each place where a brand stands.

    The text's head reads the first token, as `BertForSequenceClassification` does and under the same names, so that a
    checkpoint loads there too. The brand's head reads the mean of the brand's markers beside the first token: what is
    said near the brand, beside how the post feels. `early` holds the heads after some of the layers before the last,
    by the number of layers below them.
    """

    def __init__(self, bert: BertModel, early: Sequence[int] = ()) -> None:
        super().__init__()
        hidden = bert.config.hidden_size
        self.bert = bert
        self.dropout = nn.Dropout(0.1)
        self.classifier = nn.Linear(hidden, len(SENTIMENTS))
        self.brand = _Head(hidden, len(POINTS))
        self.early = nn.ModuleDict({str(layers): _EarlyHeads(hidden) for layers in early})

    def forward(self, ids: torch.Tensor, mask: torch.Tensor, shares: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Give the logits after the last layer.

        Args:
            ids: int64, shape (batch, length).
            mask: int64, same shape: 1 where a piece stands.
            shares: float32, shape (batch, brands, length): how much of each token a brand is read from.

        Returns:
            Shapes (batch, 3) and (batch, brands, 5).
        """
        return self.after_layers(ids, mask, shares)[self.bert.config.num_hidden_layers]

    def after_layers(self, ids: torch.Tensor, mask: torch.Tensor, shares: torch.Tensor) -> dict[int, Logits]:
        """Give the logits of every pair of heads, by the number of layers below it; arguments as for `forward`."""
        found = self.bert(input_ids=ids, attention_mask=mask, output_hidden_states=True)
        states = found.last_hidden_state
        named = shares.to(states.dtype) @ states
        towards = self.brand(named, states[:, :1].expand_as(named))
        logits = self.classifier(self.dropout(found.pooler_output))
        early = {
            int(layers): heads(found.hidden_states[int(layers)], mask, shares) for layers, heads in self.early.items()
        }
        return early | {self.bert.config.num_hidden_layers: (logits, towards)}

    def save(self, folder: Path, tokenizer: Path, report: dict[str, Any]) -> None:
        """Write a checkpoint: Hugging Face names, `training.json` and the tokenizer's files."""
        folder.mkdir(parents=True, exist_ok=True)
        save_file(self.state_dict(), folder / "model.safetensors", metadata={"format": "pt"})
        config = self.bert.config.to_dict() | {
            "architectures": ["BertForSequenceClassification"],
            "id2label": dict(enumerate(SENTIMENTS)),
            "label2id": {label: place for place, label in enumerate(SENTIMENTS)},
            EARLY: [int(layers) for layers in self.early],
        }
        (folder / "config.json").write_text(json.dumps(config, indent=2, default=str) + "\n", encoding="utf-8")
        for name in ("tokenizer.json", "tokenizer_config.json"):
            shutil.copyfile(tokenizer / name, folder / name)
        (folder / "training.json").write_text(json.dumps(report, indent=2) + "\n", encoding="utf-8")


def fresh(encoder: Path, early: Sequence[int] = ()) -> BrandSentimentModel:
    """Give a model over a pretrained encoder's folder, its heads at random; no network."""
    bert = BertModel.from_pretrained(encoder, local_files_only=True, use_safetensors=True).float()
    return BrandSentimentModel(bert, early)


def load(folder: Path) -> BrandSentimentModel:
    """Give the model of a checkpoint that `save` wrote, ready to predict."""
    config = BertConfig.from_pretrained(folder, local_files_only=True)
    model = BrandSentimentModel(BertModel(config), getattr(config, EARLY, ()))
    model.load_state_dict(load_file(folder / "model.safetensors"))
    model.float().eval()
    return model


def padded(rows: Sequence[Row]) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Pad rows for `BrandSentimentModel.forward`; a brand that is not named is read from the first token."""
    longest, brands = max(len(row.ids) for row in rows), max(1, *(len(row.places) for row in rows))
    ids = torch.zeros((len(rows), longest), dtype=torch.long)
    mask = torch.zeros_like(ids)
    shares = torch.zeros((len(rows), brands, longest))
    for place, row in enumerate(rows):
        ids[place, : len(row.ids)] = torch.tensor(row.ids)
        mask[place, : len(row.ids)] = 1
        for brand, found in enumerate(row.places):
            for at in found or (0,):
                shares[place, brand, at] = 1 / max(1, len(found))
    return ids, mask, shares


def predict(
    model: BrandSentimentModel, rows: Sequence[Row], *, batch: int = 64, layers: int | None = None
) -> tuple[torch.Tensor, torch.Tensor]:
    """Give logits of every row, and of every brand of every row, in order. Shapes: (N, 3) and (M, 5).

    `layers` asks the heads after so many layers; None: those after the last.
    """
    model.eval()
    device = next(model.parameters()).device
    logits = torch.empty((len(rows), len(SENTIMENTS)))
    towards: list[torch.Tensor] = [torch.empty((0, len(POINTS)))] * len(rows)
    order = sorted(range(len(rows)), key=lambda place: len(rows[place].ids))
    last = model.bert.config.num_hidden_layers
    with torch.inference_mode():
        for start in range(0, len(order), batch):
            chosen = order[start : start + batch]
            batched = padded([rows[place] for place in chosen])
            answers = model.after_layers(*(part.to(device) for part in batched))
            whole, brands = (found.float().cpu() for found in answers[layers or last])
            logits[chosen] = whole
            for at, place in enumerate(chosen):
                towards[place] = brands[at, : len(rows[place].places)]
    return logits, torch.cat(towards) if towards else torch.empty((0, len(POINTS)))

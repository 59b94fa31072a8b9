"""The brand-directed sentiment model in PyTorch, for training and for checks (extra `torch`)."""

from __future__ import annotations

import json
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file, save_file
from torch import nn
from transformers import BertConfig, BertModel

from domain.records import SENTIMENTS
from enrich.engine import POINTS
from enrich.word_pieces import Row

CHECKPOINT_FILES = ("config.json", "model.safetensors", "tokenizer.json", "tokenizer_config.json")


class BrandSentimentModel(nn.Module):  # type: ignore[misc]  # torch is an extra, unknown to the type checker
    """A BERT-like encoder with two heads: of the whole text, and of each place where a brand stands.

    The text's head reads the first token, as `BertForSequenceClassification` does and under the same names, so that a
    checkpoint loads there too. The brand's head reads the mean of the brand's markers beside the first token: what is
    said near the brand, beside how the post feels.
    """

    def __init__(self, bert: BertModel) -> None:
        super().__init__()
        hidden = bert.config.hidden_size
        self.bert = bert
        self.dropout = nn.Dropout(0.1)
        self.classifier = nn.Linear(hidden, len(SENTIMENTS))
        self.brand = nn.ModuleDict(
            {"dense": nn.Linear(2 * hidden, hidden), "classifier": nn.Linear(hidden, len(POINTS))}
        )

    def forward(self, ids: torch.Tensor, mask: torch.Tensor, shares: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Give logits.

        Args:
            ids: int64, shape (batch, length).
            mask: int64, same shape: 1 where a piece stands.
            shares: float32, shape (batch, brands, length): how much of each token a brand is read from.

        Returns:
            Shapes (batch, 3) and (batch, brands, 5).
        """
        found = self.bert(input_ids=ids, attention_mask=mask)
        states = found.last_hidden_state
        whole = states[:, :1].expand(-1, shares.shape[1], -1)
        both = self.dropout(torch.cat([shares.to(states.dtype) @ states, whole], dim=-1))
        felt = self.dropout(torch.tanh(self.brand["dense"](both)))
        logits: torch.Tensor = self.classifier(self.dropout(found.pooler_output))
        towards: torch.Tensor = self.brand["classifier"](felt)
        return logits, towards

    def save(self, folder: Path, tokenizer: Path, report: dict[str, Any]) -> None:
        """Write a checkpoint: Hugging Face names, `training.json` and the tokenizer's files."""
        folder.mkdir(parents=True, exist_ok=True)
        save_file(self.state_dict(), folder / "model.safetensors", metadata={"format": "pt"})
        config = self.bert.config.to_dict() | {
            "architectures": ["BertForSequenceClassification"],
            "id2label": dict(enumerate(SENTIMENTS)),
            "label2id": {label: place for place, label in enumerate(SENTIMENTS)},
        }
        (folder / "config.json").write_text(json.dumps(config, indent=2, default=str) + "\n", encoding="utf-8")
        for name in ("tokenizer.json", "tokenizer_config.json"):
            shutil.copyfile(tokenizer / name, folder / name)
        (folder / "training.json").write_text(json.dumps(report, indent=2) + "\n", encoding="utf-8")


def fresh(encoder: Path) -> BrandSentimentModel:
    """Give a model over a pretrained encoder's folder, its heads at random; no network."""
    return BrandSentimentModel(BertModel.from_pretrained(encoder, local_files_only=True, use_safetensors=True).float())


def load(folder: Path) -> BrandSentimentModel:
    """Give the model of a checkpoint that `save` wrote, ready to predict."""
    model = BrandSentimentModel(BertModel(BertConfig.from_pretrained(folder, local_files_only=True)))
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


def predict(model: BrandSentimentModel, rows: Sequence[Row], *, batch: int = 64) -> tuple[torch.Tensor, torch.Tensor]:
    """Give logits of every row, and of every brand of every row, in order. Shapes: (N, 3) and (M, 5)."""
    model.eval()
    device = next(model.parameters()).device
    logits = torch.empty((len(rows), len(SENTIMENTS)))
    towards: list[torch.Tensor] = [torch.empty((0, len(POINTS)))] * len(rows)
    order = sorted(range(len(rows)), key=lambda place: len(rows[place].ids))
    with torch.inference_mode():
        for start in range(0, len(order), batch):
            chosen = order[start : start + batch]
            batched = padded([rows[place] for place in chosen])
            whole, brands = (found.float().cpu() for found in model(*(part.to(device) for part in batched)))
            logits[chosen] = whole
            for at, place in enumerate(chosen):
                towards[place] = brands[at, : len(rows[place].places)]
    return logits, torch.cat(towards) if towards else torch.empty((0, len(POINTS)))

"""What a label in three classes teaches a model of five points."""

from __future__ import annotations

import torch

from enrich.training import strength_kept


def test_a_label_in_three_classes_moves_both_points_of_a_side_by_as_much_and_changes_no_probability() -> None:
    said = torch.tensor([[-3.0, -1.0, 0.0, 1.0, -2.0], [2.0, 0.5, 0.0, 0.0, 4.0]], requires_grad=True)
    kept = strength_kept(said)
    assert torch.allclose(kept, said, atol=1e-6)
    negative = kept.log_softmax(-1)[:, :2].logsumexp(-1)
    (-negative.sum()).backward()
    assert said.grad is not None
    moved = said.grad
    assert torch.allclose(moved[:, 0], moved[:, 1])
    assert torch.allclose(moved[:, 3], moved[:, 4])
    assert (moved[:, 0] < 0).all()
    # As much in all as if it were learnt plainly.
    plain = said.detach().clone().requires_grad_()
    (-plain.log_softmax(-1)[:, :2].logsumexp(-1).sum()).backward()
    assert plain.grad is not None
    assert torch.allclose(moved[:, :2].sum(1), plain.grad[:, :2].sum(1), atol=1e-6)
    assert torch.allclose(moved[:, 2], plain.grad[:, 2], atol=1e-6)

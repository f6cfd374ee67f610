"""Attention of a line that folds into rows is that of each row by itself."""

import torch
import torch.nn.functional as F

from prm.scoring.folded_attention import Fold, attend


def test_a_line_attends_as_its_rows_do():
    torch.manual_seed(0)
    lengths, heads, dim, context = [3, 1, 5], 2, 4, 6
    fold = Fold.of(lengths, torch.device("cpu"))
    query = torch.randn(1, heads, sum(lengths), dim)
    key, value = torch.randn(2, len(lengths), heads, context, dim)
    mask = torch.zeros(len(lengths), 1, max(lengths), context)
    mask[:, :, :, 4:] = torch.finfo(mask.dtype).min
    output, _ = attend(torch.nn.Module(), query, key, value, mask, fold=fold)
    assert output.shape == (1, sum(lengths), heads, dim)
    for row, part in enumerate(query[0].split(lengths, dim=1)):
        alone = F.scaled_dot_product_attention(part, key[row, :, :4], value[row, :, :4])
        found = output[0].split(lengths)[row].transpose(0, 1)
        torch.testing.assert_close(found, alone)


def test_without_a_fold_it_is_the_fused_attention():
    torch.manual_seed(0)
    query, key, value = torch.randn(3, 2, 2, 5, 4)
    output, _ = attend(torch.nn.Module(), query, key, value, None)
    expected = F.scaled_dot_product_attention(query, key, value, is_causal=True).transpose(1, 2)
    torch.testing.assert_close(output, expected)

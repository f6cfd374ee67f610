"""Packed products are the plain ones, and plain ones take their place where torch cannot pack."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest
import torch
from torch import nn

from reason.engine import packed_linear
from reason.engine.packed_linear import PackedLinear, can_pack, pack_linears


@pytest.fixture(autouse=True)
def asked_anew() -> Iterator[None]:
    """`can_pack` remembers."""
    can_pack.cache_clear()
    yield
    can_pack.cache_clear()


def model() -> nn.Sequential:
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(24, 40), nn.Sequential(nn.ReLU(), nn.Linear(40, 8, bias=False)))


@pytest.mark.skipif(not torch.backends.mkldnn.is_available(), reason="torch without oneDNN")
def test_the_torch_in_use_packs() -> None:
    assert can_pack()


@torch.inference_mode()
def test_products_are_those_of_plain_layers() -> None:
    plain, packed = model(), model()
    pack_linears(packed)
    layers = [layer for layer in packed.modules() if not [*layer.children()] and not isinstance(layer, nn.ReLU)]
    assert [type(layer) for layer in layers] == [PackedLinear if can_pack() else nn.Linear] * 2
    for x in (torch.randn(1, 24), torch.randn(3, 5, 24)):
        assert torch.allclose(packed(x), plain(x), atol=1e-5)


def missing(*_: object) -> torch.Tensor:
    raise AttributeError("'_OpNamespace' 'mkldnn' object has no attribute '_reorder_linear_weight'")


@pytest.mark.parametrize(
    ("name", "replaced"),
    [("pack", missing), ("product", missing), ("product", lambda x, packed, bias: x.new_zeros(len(x), 3))],
)
@torch.inference_mode()
def test_layers_stay_where_the_operators_are_missing_or_wrong(
    name: str, replaced: Callable[..., torch.Tensor], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(packed_linear, name, replaced)
    plain, left = model(), model()
    pack_linears(left)
    assert type(left[0]) is nn.Linear
    x = torch.randn(2, 24)
    assert torch.equal(left(x), plain(x))

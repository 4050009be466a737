"""Memory for packed weights, and products joined of several layers."""

import psutil
import pytest
import torch

from neuromas_env.agents.engines.forward import products
from neuromas_env.agents.engines.forward.products import Product, fits, free_bytes


@pytest.mark.parametrize("packed", [False, True])
@pytest.mark.parametrize("bias", [(False, False), (True, False), (True, True)])
def test_layers_side_by_side(monkeypatch, packed, bias):
    monkeypatch.setattr(products, "_LARGE", 1)
    layers = [torch.nn.Linear(8, width, bias=b) for width, b in zip((5, 3), bias, strict=True)]
    with torch.inference_mode():
        product = Product(layers, packed)
        for rows in (1, 4, 70):
            x, plus = torch.randn(rows, 8), torch.randn(rows, 8)
            expected = torch.cat([layer(x) for layer in layers], 1)
            assert torch.allclose(product(x), expected, atol=1e-6)
            assert torch.allclose(product(x, plus), expected + plus, atol=1e-6)


def test_memory_is_what_a_container_leaves(monkeypatch, tmp_path):
    monkeypatch.setattr(products, "_CGROUP", tmp_path)
    (tmp_path / "memory.max").write_text("1000\n")
    (tmp_path / "memory.current").write_text("400\n")
    assert free_bytes() == 600
    assert fits(300) and not fits(301)
    (tmp_path / "memory.max").write_text("max\n")
    assert 600 < free_bytes() <= psutil.virtual_memory().total

"""Memory for packed weights, and products joined of several layers."""

import psutil
import pytest
import torch

from neuromas_env.agents.engines.forward import products
from neuromas_env.agents.engines.forward.products import (
    Product,
    TwoWay,
    fits,
    free_bytes,
    pack_layers,
)


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


@pytest.mark.parametrize("packed", [False, True])
@pytest.mark.parametrize("bias", [False, True])
@pytest.mark.parametrize("wide", [False, True])
def test_outputs_and_gradients_are_those_of_the_layer(monkeypatch, packed, bias, wide):
    monkeypatch.setattr(products, "_LARGE", 1)
    layer = torch.nn.Linear(8, 5, bias=bias).requires_grad_(False)
    product = TwoWay(layer, packed, wide)
    for shape in ((3, 8), (1, 40, 8)):
        x = torch.randn(shape, requires_grad=True)
        slope = torch.randn(5, *shape[:-1]).movedim(0, -1)  # not contiguous
        expected = torch.autograd.grad(layer(x), x, slope)[0]
        out = product(x)
        assert torch.allclose(out, layer(x), atol=1e-6)
        assert torch.allclose(torch.autograd.grad(out, x, slope)[0], expected, atol=1e-6)


@pytest.mark.parametrize("packed", [False, True])
def test_logits_that_bfloat16_would_make_equal_stay_apart(monkeypatch, packed):
    monkeypatch.setattr(products, "_LARGE", 1)
    layer = torch.nn.Linear(2, 2, bias=False, dtype=torch.bfloat16).requires_grad_(False)
    layer.weight.copy_(torch.tensor([[20.0, 0.0], [20.0, 1.0]]))
    x = torch.tensor([[1.0, 0.01]], dtype=torch.bfloat16, requires_grad=True)
    assert layer(x).diff().item() == 0
    logits = TwoWay(layer, packed, wide=True)(x)
    assert logits.dtype == torch.float32
    assert logits.diff().item() == pytest.approx(0.01, rel=1e-2)
    [gradient] = torch.autograd.grad(logits[0, 1], x)
    assert gradient.dtype == torch.bfloat16 and gradient.tolist() == [[20.0, 1.0]]


def test_layers_are_packed_where_memory_allows(monkeypatch):
    monkeypatch.setattr(products, "_LARGE", 1)
    if not products.packable(torch.zeros(2, 2)):
        pytest.skip("this processor gains nothing from packed weights")
    model = torch.nn.Sequential(torch.nn.Linear(8, 8), torch.nn.ReLU(), torch.nn.Linear(8, 4))
    model.requires_grad_(False)
    x = torch.randn(6, 8)
    expected = model(x)
    monkeypatch.setattr(products, "free_bytes", lambda: 1000)
    with pytest.warns(UserWarning, match="not packed for prompts and training"):
        pack_layers(model)
    assert "forward" not in vars(model[0])
    monkeypatch.setattr(products, "free_bytes", lambda: 1 << 20)
    pack_layers(model)
    assert "forward" in vars(model[0]) and torch.allclose(model(x), expected, atol=1e-6)


def test_memory_is_what_a_container_leaves(monkeypatch, tmp_path):
    monkeypatch.setattr(products, "_CGROUP", tmp_path)
    (tmp_path / "memory.max").write_text("1000\n")
    (tmp_path / "memory.current").write_text("400\n")
    assert free_bytes() == 600
    assert fits(300) and not fits(301)
    (tmp_path / "memory.max").write_text("max\n")
    assert 600 < free_bytes() <= psutil.virtual_memory().total

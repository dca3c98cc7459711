import pytest
import torch
from torch.nn import functional

from emofuse.errors import EmofuseError
from emofuse.models.conditioning import OPERATORS, Add, conditioned_stages

BATCH, CHANNELS, DIM = 3, 6, 5


def formula(name: str, operator: torch.nn.Module, x: torch.Tensor, text: torch.Tensor) -> torch.Tensor:
    """The operator at every place by its plain formula, on x (batch, channels, frames, mels)."""
    projected = operator.project(text @ operator.narrow.weight.T if name == "shift_narrow" else text)
    if name == "shift_norm":
        spread = projected.var(dim=1, keepdim=True, correction=0).add(1e-5).sqrt()
        projected = 0.1 * (projected - projected.mean(dim=1, keepdim=True)) / spread
    if name == "film":
        scale, shift = projected[:, :CHANNELS, None, None], projected[:, CHANNELS:, None, None]
        return x * (1 + scale) + shift
    projected = projected[:, :, None, None].expand_as(x)
    if name == "concat":
        both = torch.cat([x, projected.relu()], dim=1)
        return functional.conv2d(both, operator.mix.weight[:, :, None, None], operator.mix.bias)
    return {
        **dict.fromkeys(["shift", "shift_norm", "shift_narrow"], lambda: x + projected.relu()),
        "scale": lambda: x * (1 + projected),
        "gate": lambda: x / (1 + torch.exp(-projected)),
    }[name]()


@pytest.mark.parametrize("name", OPERATORS)
def test_operator_is_its_formula_on_maps_and_vectors(name):
    torch.manual_seed(0)
    operator = OPERATORS[name](DIM, CHANNELS)
    x, text = torch.randn(BATCH, CHANNELS, 4, 7), torch.randn(BATCH, DIM)
    expected = formula(name, operator, x, text)
    torch.testing.assert_close(operator(x, text), expected)
    torch.testing.assert_close(operator(x[:, :, 0, 0], text), expected[:, :, 0, 0])
    last = operator(x.contiguous(memory_format=torch.channels_last), text)
    torch.testing.assert_close(last, expected)
    assert last.is_contiguous(memory_format=torch.channels_last)


@pytest.mark.parametrize("name", OPERATORS)
def test_text_changes_the_map_and_gets_gradients(name):
    torch.manual_seed(0)
    operator = OPERATORS[name](DIM, CHANNELS)
    x, text = torch.randn(BATCH, CHANNELS, 4, 7), torch.randn(BATCH, DIM, requires_grad=True)
    assert not torch.allclose(operator(x, text), operator(x, text + 1))
    operator(x, text).square().sum().backward()
    assert text.grad.abs().sum() > 0
    assert all(parameter.grad.abs().sum() > 0 for parameter in operator.parameters())


@pytest.mark.parametrize(("name", "factor"), [("scale", 1.0), ("film", 1.0), ("gate", 0.88)])
def test_starts_near_the_identity(name, factor):
    torch.manual_seed(0)
    operator = OPERATORS[name](384, CHANNELS)
    x = torch.randn(BATCH, CHANNELS)
    difference = (operator(x, torch.randn(BATCH, 384)) - factor * x).abs()
    assert 0 < difference.mean() < 0.4


@pytest.mark.parametrize("name", OPERATORS)
def test_keeps_the_precision_of_the_map(name):
    operator = OPERATORS[name](DIM, CHANNELS)
    with torch.autocast("cpu", torch.bfloat16):
        x = torch.randn(BATCH, CHANNELS, 4, 7).bfloat16()
        assert operator(x, torch.randn(BATCH, DIM)).dtype == torch.bfloat16


@pytest.mark.parametrize(("stages", "expected"), [("all", [1, 2, 3, 4]), ("last", [4]), ([3, 1], [1, 3]), ([4], [4])])
def test_stages(stages, expected):
    assert conditioned_stages(stages, 4) == expected


@pytest.mark.parametrize("stages", [[0], [5], [-1], [2, 2], []])
def test_stages_that_are_not_there(stages):
    with pytest.raises(EmofuseError, match=r"model.stages = .* from 1 to 4"):
        conditioned_stages(stages, 4)


def test_operators_that_start_near_the_identity():
    """Weights are small and not zero; a gate starts open at sigmoid(2), whatever the text."""
    torch.manual_seed(0)
    for name in ("scale", "film", "gate"):
        operator = OPERATORS[name](200, 100)
        assert operator.project.weight.std().item() == pytest.approx(0.01, rel=0.05)
        x, text = torch.randn(BATCH, 100), torch.zeros(BATCH, 200)
        factor = 0.8808 if name == "gate" else 1.0
        torch.testing.assert_close(operator(x, text), factor * x, atol=1e-3, rtol=1e-3)
    norm = OPERATORS["shift_norm"](200, 100)
    assert norm.read(torch.randn(BATCH, 200)).square().mean().item() == pytest.approx(0.1**2 / 2, rel=0.15)


def test_the_additive_merge_adds_a_linear_map_of_the_text():
    torch.manual_seed(0)
    operator, x, text = Add(DIM, CHANNELS), torch.randn(BATCH, CHANNELS), torch.randn(BATCH, DIM)
    torch.testing.assert_close(operator(x, text), x + text @ operator.weight.T + operator.bias)

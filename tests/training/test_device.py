"""Training on a device that is not the CPU, without having one.

`OnCard` is a tensor that says it lies on another device ("meta"), computes on the CPU, refuses to meet tensors of the
CPU, and gives no numbers to NumPy before it is copied to the CPU: as a tensor on a GPU does.
"""

from pathlib import Path

import lightning
import pandas as pd
import pytest
import torch
from lightning.pytorch.strategies import SingleDeviceStrategy
from torch.overrides import TorchFunctionMode
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves, tree_map

from emofuse.config import load_recipe
from emofuse.training import run as running
from emofuse.training.run import train

TOY = Path(__file__).parents[2] / "recipes" / "toy.toml"
CARD = torch.device("meta")
_COPIES = (torch.ops.aten._to_copy.default, torch.ops.aten.copy_.default)


class OnCard(torch.Tensor):
    @staticmethod
    def __new__(cls, inner):
        return torch.Tensor._make_wrapper_subclass(
            cls, inner.shape, strides=inner.stride(), dtype=inner.dtype, device=CARD, requires_grad=inner.requires_grad
        )

    def __init__(self, inner):
        self.inner = inner

    def numpy(self, **_):
        raise TypeError("can't convert a tensor on a card to numpy. Use Tensor.cpu()")

    def __reduce_ex__(self, protocol):  # a checkpoint that is read with map_location="cpu" has tensors of the CPU
        return self.inner.__reduce_ex__(protocol)

    @classmethod
    def __torch_dispatch__(cls, function, types, arguments=(), options=None):
        return compute(function, arguments, options or {})


class Card(TorchDispatchMode):
    """While it is on, tensors that are made on the card are `OnCard`."""

    def __torch_dispatch__(self, function, types, arguments=(), options=None):
        return compute(function, arguments, options or {})


class NumbersToCard(TorchFunctionMode):
    """`torch.tensor` fills its result where no dispatch mode sees it: on the CPU first, then."""

    def __torch_function__(self, function, types, arguments=(), options=None):
        options = options or {}
        if function is torch.tensor and torch.device(options.get("device") or "cpu") == CARD:
            return torch.tensor(*arguments, **options | {"device": "cpu"}).to(CARD)
        return function(*arguments, **options)


def compute(function, arguments, options):
    tensors = [leaf for leaf in tree_leaves((arguments, options)) if isinstance(leaf, torch.Tensor)]
    on_card = [isinstance(tensor, OnCard) for tensor in tensors]
    strangers = [t for t, there in zip(tensors, on_card, strict=True) if not there and t.dim()]
    if any(on_card) and strangers and function not in _COPIES:
        raise RuntimeError(f"{function}: expected all tensors to be on the same device")
    device = options.get("device")
    stays = any(on_card) if device is None else torch.device(device) == CARD
    if device is not None and stays:
        options = {**options, "device": torch.device("cpu")}
    plain, plain_options = tree_map(lambda leaf: leaf.inner if isinstance(leaf, OnCard) else leaf, (arguments, options))
    result = function(*plain, **plain_options)
    if function is torch.ops.aten.copy_.default:
        return arguments[0]
    return tree_map(lambda leaf: OnCard(leaf) if isinstance(leaf, torch.Tensor) else leaf, result) if stays else result


class CardAccelerator(lightning.pytorch.accelerators.Accelerator):
    def setup_device(self, device):
        assert device == CARD

    def teardown(self):
        pass

    @staticmethod
    def parse_devices(devices):
        return devices

    @staticmethod
    def get_parallel_devices(devices):
        return [CARD] * devices

    @staticmethod
    def auto_device_count():
        return 1

    @staticmethod
    def is_available():
        return True

    @staticmethod
    def name():
        return "meta"

    def get_device_stats(self, device):
        return {}


@pytest.fixture
def card(monkeypatch):
    """Recipes train on the made-up card."""
    trainer = lightning.Trainer

    def make(**options):
        assert options.pop("accelerator") == CARD.type
        return trainer(**options | {"strategy": SingleDeviceStrategy(CARD, accelerator=CardAccelerator())})

    monkeypatch.setattr(running.lightning, "Trainer", make)
    monkeypatch.setattr(torch.__future__, "get_swap_module_params_on_conversion", lambda: True)
    monkeypatch.setattr(running, "choose_device", lambda accelerator: CARD)
    with Card(), NumbersToCard():
        yield


@pytest.fixture(autouse=True)
def words(tmp_path, monkeypatch, length_encoder):
    monkeypatch.setenv("EMOFUSE_CACHE", str(tmp_path / "cache"))


def toy(fusion):
    options = [f"model.fusion={fusion}", "model.width=0.0625", "model.late_weight=dev"]
    return load_recipe(TOY, [*options, "training.epochs=1", "training.precision=fp32"])


def test_a_tensor_on_the_card_is_as_one_on_a_gpu(card):
    there = torch.ones(3).to(CARD)
    with pytest.raises(TypeError, match="to numpy"):
        there.numpy()
    with pytest.raises(RuntimeError, match="same device"):
        there + torch.ones(3)
    assert (there + 1).device == CARD and (there + 1).cpu().numpy().tolist() == [2, 2, 2]


@pytest.mark.slow
@pytest.mark.parametrize("fusion", ["multistage", "late"])
def test_a_run_on_another_device_is_as_one_on_the_cpu(tmp_path, request, fusion):
    """It trains, validates, keeps the best weights, adapts and predicts there; the numbers are the CPU's."""
    on_cpu = train(toy(fusion), tmp_path / "cpu", tmp_path)
    request.getfixturevalue("card")
    on_card = train(toy(fusion), tmp_path / "card", tmp_path)
    for part in ("dev", "test", "test-adapted"):
        paths = [run / f"predictions-{part}.parquet" for run in (on_cpu, on_card)]
        assert paths[0].exists() == paths[1].exists()
        if paths[0].exists():
            pd.testing.assert_frame_equal(*map(pd.read_parquet, paths), rtol=1e-4, atol=1e-5)
    assert '"device": "meta"' in (on_card / "environment.json").read_text()

import pytest
import torch

from emofuse.errors import EmofuseError
from emofuse.models.cnn import CNNS, CnnEncoder, load_panns, mask_frames

WIDTH = 0.0625


def make(name: str, width: float = WIDTH) -> CnnEncoder:
    """An encoder whose normalisation is not the identity."""
    torch.manual_seed(0)
    encoder = CNNS[name](width)
    for module in encoder.modules():
        if isinstance(module, torch.nn.BatchNorm1d | torch.nn.BatchNorm2d):
            module.running_mean.normal_()
            module.running_var.uniform_(0.5, 2)
            torch.nn.init.normal_(module.bias)
    return encoder.eval()


def embed(encoder: CnnEncoder, log_mel: torch.Tensor, n_frames: torch.Tensor | None) -> torch.Tensor:
    x, n_frames = encoder.start(log_mel, n_frames)
    for block in encoder.blocks:
        x, n_frames = block(x, n_frames)
    return encoder.embed(encoder.pool(x, n_frames))


def panns_checkpoint(encoder: CnnEncoder) -> dict:
    foreign = {"spectrogram_extractor.stft.conv_real.weight": torch.zeros(2), "logmel_extractor.melW": torch.zeros(2)}
    return {"iteration": 1, "model": encoder.state_dict() | foreign | {"fc_audioset.weight": torch.zeros(2)}}


@pytest.mark.parametrize("name", CNNS)
def test_clip_alone_equals_clip_in_a_padded_batch(name):
    encoder = make(name)
    lengths = [11, 31, 32, 33, 63, 97, 150, 200]
    clips = [torch.randn(n, 64) * 10 - 40 for n in lengths]
    batch = torch.full((len(clips), 200, 64), 77.0)
    for row, clip in zip(batch, clips, strict=True):
        row[: len(clip)] = clip
    with torch.no_grad():
        together = embed(encoder, batch, torch.tensor(lengths))
        alone = torch.cat([embed(encoder, clip[None], torch.tensor([len(clip)])) for clip in clips])
        unmasked = torch.cat([embed(encoder, clip[None], None) for clip in clips])
    scale = alone.abs().max()
    assert alone.std(dim=0).max() > 0.01 * scale  # the clips do differ
    torch.testing.assert_close(together, alone, atol=1e-5, rtol=1e-5)
    # Without mask nothing but the extension of the shortest clips may differ.
    torch.testing.assert_close(unmasked[2:], alone[2:], atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("name", CNNS)
def test_padding_may_hold_anything(name):
    encoder = make(name)
    log_mel = torch.randn(2, 80, 64)
    n_frames = torch.tensor([80, 40])
    broken = log_mel.clone()
    broken[1, 40:] = torch.nan
    with torch.no_grad():
        torch.testing.assert_close(embed(encoder, broken, n_frames), embed(encoder, log_mel, n_frames))


def test_input_statistics_ignore_padding():
    torch.manual_seed(0)
    encoder = CNNS["cnn6"](WIDTH).train()
    log_mel = torch.randn(2, 80, 64) - 40
    log_mel[1, 40:] = 1000.0
    x, _ = encoder.start(log_mel, torch.tensor([80, 40]))
    assert encoder.bn0.running_mean.max() < 0
    assert x[1, 0, 40:].abs().max() == 0
    assert x[0].mean().abs() < 0.1


def test_lengths_halve_and_padding_stays_zero():
    encoder = make("cnn14")
    x, n_frames = encoder.start(torch.randn(2, 70, 64), torch.tensor([70, 11]))
    assert n_frames.tolist() == [70, 32]
    seen = []
    for block in encoder.blocks:
        x, n_frames = block(x, n_frames)
        seen.append(n_frames.tolist())
        assert x[1, :, n_frames[1] :].abs().sum() == 0
    assert seen == [[35, 16], [17, 8], [8, 4], [4, 2], [2, 1], [2, 1]]


def test_pool_is_mean_over_mel_then_max_plus_mean_over_valid_time():
    encoder = make("cnn6")
    x = torch.tensor([[-4.0, -2.0, 0.0], [-3.0, -1.0, -5.0]])[:, None, :, None].expand(2, 1, 3, 4)
    n_frames = torch.tensor([2, 3])
    pooled = encoder.pool(mask_frames(x, n_frames), n_frames)
    torch.testing.assert_close(pooled, torch.tensor([[-2.0 - 3.0], [-1.0 - 3.0]]))


@pytest.mark.parametrize("masked", [False, True])
def test_bf16_channels_last_stays_close(masked):
    encoder = make("cnn10", 0.25)
    log_mel = torch.randn(2, 100, 64)
    n_frames = torch.tensor([100, 60]) if masked else None
    with torch.no_grad():
        plain = embed(encoder, log_mel, n_frames)
        encoder.to(memory_format=torch.channels_last)
        torch.testing.assert_close(embed(encoder, log_mel, n_frames), plain, atol=1e-4, rtol=1e-4)
        with torch.autocast("cpu", torch.bfloat16):
            half = embed(encoder, log_mel, n_frames).float()
    assert torch.nn.functional.cosine_similarity(half, plain).min() > 0.99


@pytest.mark.parametrize("name", ["cnn6", "cnn10", pytest.param("cnn14", marks=pytest.mark.slow)])
def test_panns_checkpoint_loads(name, tmp_path):
    theirs, ours = make(name, 1.0), CNNS[name]()
    torch.save(panns_checkpoint(theirs), tmp_path / "panns.pth")
    load_panns(ours, tmp_path / "panns.pth")
    for key, value in theirs.state_dict().items():
        assert torch.equal(ours.state_dict()[key], value), key


@pytest.mark.parametrize(
    ("checkpoint", "message"),
    [
        (lambda: panns_checkpoint(CNNS["cnn10"](WIDTH)), "'conv_block5"),
        (lambda: panns_checkpoint(CNNS["cnn14"](2 * WIDTH)), r"'conv_block1.conv1.weight' has shape \(8, 1, 3, 3\)"),
        (lambda: {"model": CNNS["cnn14"](WIDTH).state_dict() | {"x": torch.zeros(1)}}, "'x'"),
        (lambda: {"state_dict": {}}, 'state dict under "model"'),
        (lambda: [1, 2], 'state dict under "model"'),
    ],
)
def test_checkpoint_of_another_model(checkpoint, message, tmp_path):
    path = tmp_path / "panns.pth"
    torch.save(checkpoint(), path)
    with pytest.raises(EmofuseError, match=message) as caught:
        load_panns(CNNS["cnn14"](WIDTH), path)
    assert str(path) in str(caught.value)


def test_more_blocks_than_the_encoder_has(tmp_path):
    state = CNNS["cnn10"](WIDTH).state_dict() | {"conv_block5.conv1.weight": torch.zeros(1)}
    torch.save({"model": state}, tmp_path / "panns.pth")
    with pytest.raises(EmofuseError, match="'conv_block5"):
        load_panns(CNNS["cnn10"](WIDTH), tmp_path / "panns.pth")


class _Untrusted:
    pass


@pytest.mark.parametrize("kind", ["absent", "folder", "text", "empty", "pickle"])
def test_no_checkpoint(kind, tmp_path):
    path = tmp_path / "panns.pth"
    if kind == "folder":
        path.mkdir()
    elif kind == "text":
        path.write_text("this is no checkpoint")
    elif kind == "empty":
        path.touch()
    elif kind == "pickle":
        torch.save({"model": _Untrusted()}, path)
    with pytest.raises(EmofuseError, match=r"panns\.pth"):
        load_panns(CNNS["cnn6"](WIDTH), path)

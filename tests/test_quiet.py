"""What libraries say is silenced for as long as they work for us, and nothing else is."""

import logging
import warnings

import pytest

from emofuse.console import quiet_lightning, quiet_loading, quiet_onnx_export


@pytest.mark.parametrize(
    ("quiet", "logger", "level", "message"),
    [
        (quiet_lightning, "lightning.pytorch", logging.WARNING, "`isinstance(treespec, LeafSpec)` is deprecated, use"),
        (quiet_onnx_export, "torch.onnx", logging.ERROR, "# The axis name: batch will not be used, since it shares"),
    ],
)
def test_notes_of_libraries_are_silent_within_the_block_only(quiet, logger, level, message):
    before = logging.getLogger(logger).level
    with quiet():
        assert logging.getLogger(logger).level == level
        warnings.warn(message, FutureWarning, stacklevel=1)
        with pytest.raises(UserWarning, match="something else"):
            warnings.warn("something else", UserWarning, stacklevel=1)
    assert logging.getLogger(logger).level == before
    with pytest.raises(FutureWarning):
        warnings.warn(message, FutureWarning, stacklevel=1)


def test_the_bar_of_loading_is_off_and_that_of_downloads_stays():
    bars = pytest.importorskip("transformers.utils.logging")
    from huggingface_hub.utils import are_progress_bars_disabled

    shown, downloads_hidden = bars.is_progress_bar_enabled(), are_progress_bars_disabled()
    with quiet_loading():
        assert not bars.is_progress_bar_enabled() and are_progress_bars_disabled() == downloads_hidden
    assert (bars.is_progress_bar_enabled(), are_progress_bars_disabled()) == (shown, downloads_hidden)


@pytest.mark.slow
def test_training_and_export_only_say_on_stderr_where_the_table_is(tmp_path, capfd, monkeypatch, request):
    from emofuse.config import load_recipe
    from emofuse.training.export import export_run
    from emofuse.training.run import train

    monkeypatch.setenv("EMOFUSE_CACHE", str(tmp_path / "cache"))
    toy = request.config.rootpath / "recipes" / "toy.toml"
    recipe = load_recipe(toy, ["model.fusion=audio_only", "model.width=0.0625", "training.epochs=1"])
    export_run(train(recipe, tmp_path / "run", tmp_path), tmp_path / "bundle")
    (line,) = capfd.readouterr().err.splitlines()
    assert line.startswith("toy: prepared the table ") and line.endswith(".parquet")

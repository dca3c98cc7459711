"""Train, resume and evaluate a recipe; all its results are in one run folder.

`recipe.toml` (resolved), `audit.json`, `split.json`, `environment.json`, `checkpoints/` (last.ckpt, best.ckpt,
model.safetensors), `history.csv`, TensorBoard events, `predictions-PART.parquet` for each part, `metrics.json`;
`adapter.npz` and `adapter.json` where the model can adapt to a speaker, `calibration.json` where folds calibrated it.
"""

from __future__ import annotations

import os
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import lightning
import numpy as np
import pandas as pd
import torch
from lightning.pytorch.callbacks import Callback, EarlyStopping, ModelCheckpoint, TQDMProgressBar
from lightning.pytorch.loggers import TensorBoardLogger
from lightning.pytorch.utilities import rank_zero_only
from safetensors.torch import load_file, save_file

from emofuse.config import MODALITIES, Recipe, dump_toml, load_recipe
from emofuse.console import quiet_lightning
from emofuse.corpora.audit import render_audit
from emofuse.data.prepare import Encoders, Prepared, identify, prepare
from emofuse.data.rows import select_rows
from emofuse.data.utterances import Utterances
from emofuse.errors import EmofuseError
from emofuse.files import atomic, read_json, write_json, write_text
from emofuse.hardware import Precision, choose_device, choose_precision, describe_device
from emofuse.labels import DIMENSIONS, PROTOTYPES
from emofuse.models.adapter import SpeakerAdapter
from emofuse.models.ser import LateModel, build_model
from emofuse.training.module import SCORE, SerModule, members_of, monitored, predict_rows, score_rows
from emofuse.training.predictions import ADAPTED, part_metrics, read_predictions
from emofuse.training.run_folder import (
    ENVIRONMENT_FILE,
    LAST_CHECKPOINT,
    METRICS_FILE,
    RECIPE_FILE,
    check_identity,
    check_recipe,
    describe_environment,
    open_run_folder,
    remove,
)
from emofuse.training.speakers import (
    MIN_SPEAKERS,
    discriminant_of,
    estimate_offsets,
    fit_adapter,
    labelled_clips,
    load_run_adapter,
    save_run_adapter,
)


@dataclass
class LoadedRun:
    """A finished run.

    Attributes:
        recipe: as resolved.
        model: in evaluation mode, on the CPU.
        labels: category names in the order of the outputs.
        speech_encoder: identity of the frozen speech encoder, or None for a CNN.
        text_encoder: identity of the summary embedding's encoder, or None where the model reads no text.
        adapter: estimates the offset of a speaker; None if the run has none.
        calibration: contents of calibration.json; empty if the run has none.
        metrics: contents of metrics.json.
        corpora: facts on the training corpora.
    """

    recipe: Recipe
    model: torch.nn.Module
    labels: list[str]
    speech_encoder: dict[str, Any] | None
    text_encoder: dict[str, Any] | None
    adapter: SpeakerAdapter | None
    calibration: dict[str, Any]
    metrics: dict[str, Any]
    corpora: list[dict[str, Any]]

    @property
    def reads(self) -> list[str]:
        """The modalities that the model reads: "audio", "text" or both."""
        return {"audio_only": ["audio"], "text_only": ["text"]}.get(self.recipe.model.fusion, ["audio", "text"])


def train(
    recipe: Recipe,
    out: Path | None = None,
    data: Path | None = None,
    *,
    unimodal: Path | None = None,
    fresh: bool = False,
) -> Path:
    """Train a recipe to its end, resuming after the last finished epoch if the run folder has one.

    A finished run of the same recipe, data and encoders is returned as it is. A finished run of fewer epochs is trained
    for the epochs that it lacks, unless its schedule is one_cycle.

    Args:
        recipe: the recipe to train.
        out: run folder; runs/<name> if None.
        data: folder that relative corpus roots start from.
        unimodal: folder of the unimodal runs of a late fusion, each named by `Recipe.run_id`; finished ones are not
            trained again. If None, they are trained in the run folder, as audio_only and text_only.
        fresh: whether to remove an earlier run from the folder first.

    Returns:
        The run folder. The test part was read once.

    Raises:
        EmofuseError: the folder holds a run of another recipe or of other data, or the recipe or its data have errors.
    """
    run = out or Path("runs") / recipe.name
    if fresh and _is_first_process():
        remove(run)
    folder = open_run_folder(run)
    more = check_recipe(folder, recipe)
    rows = select_rows(recipe, data=data)
    encoders = Encoders(recipe)
    identity = identify(recipe, rows, encoders)
    check_identity(folder, identity)
    if folder.finished and not more:
        if "identity" not in folder.environment:
            print(f"{run}: an earlier version made this run without hashes of its data, which may have changed since.")
        return run
    device = choose_device(recipe.training.accelerator)
    precision = recipe.training.precision
    if precision == "auto":  # a resumed run keeps the precision that it began with
        precision = folder.precision or choose_precision(device)
    prepared = prepare(recipe, rows=rows, encoders=encoders, device=device)
    del encoders  # training does without their memory
    if _is_first_process():
        for corpus, audit in prepared.rows.audits.items():
            print(f"{corpus}\n{render_audit(audit, brief=True)}")
        print(*prepared.rows.notes, sep="\n", end="\n" if prepared.rows.notes else "")
        print(f"Training on {describe_device(device)}, in {precision}.")
        environment = describe_environment(recipe, prepared, identity, device, precision)
        epochs = folder.environment.get("finished_before", [])
        if more and folder.finished and folder.recipe is not None:
            epochs = [*epochs, folder.recipe.training.epochs]
        if epochs:
            environment["finished_before"] = epochs  # numbers of epochs at which the test part was read already
        if more:
            (run / METRICS_FILE).unlink(missing_ok=True)
        write_text(run / RECIPE_FILE, dump_toml(recipe))
        write_json(run / ENVIRONMENT_FILE, environment)
        write_json(run / "audit.json", {corpus: audit.to_dict() for corpus, audit in prepared.rows.audits.items()})
    model: torch.nn.Module
    if recipe.model.fusion == "late":
        model = _train_late(recipe, run, prepared, device, data=data, unimodal=unimodal)
    else:
        model = _fit(recipe, run, prepared, device, precision)
    if _is_first_process():
        _finish(recipe, run, prepared, model.to(device))
    if torch.distributed.is_available() and torch.distributed.is_initialized():
        torch.distributed.barrier()  # the other processes may read the run only when it is written
    return run


def _is_first_process() -> bool:
    """Whether this is the only process of the training, or the one of several that writes."""
    return not getattr(rank_zero_only, "rank", 0)


def evaluate(run: Path, recipe: Recipe | None = None) -> dict[str, Any]:
    """Compute the metrics of a finished run from its predictions; its recipe is read if it is not given."""
    recipe = recipe or load_recipe(run / RECIPE_FILE)
    return {part: part_metrics(table, recipe, part) for part, table in read_predictions(run).items()}


def load_run(run: Path) -> LoadedRun:
    """Read a finished run back.

    Raises:
        EmofuseError: the folder is not a finished run, or its weights belong to another model.
    """
    weights = run / "checkpoints" / "model.safetensors"
    if not weights.exists():
        raise EmofuseError(f"{run}: not a finished run ({weights.relative_to(run)} is absent). Train it first.")
    recipe = load_recipe(run / RECIPE_FILE)
    facts = read_json(run / ENVIRONMENT_FILE)
    text = facts["text_encoder"]
    audio = facts["speech_encoder"]
    names = recipe.data.labels.names
    model = build_model(recipe.model, len(names), text["dim"] if text else 1, audio["dim"] if audio else 0)
    try:
        model.load_state_dict(load_file(weights))
    except RuntimeError as error:
        raise EmofuseError(f"{weights}: the weights do not fit the model of {run / RECIPE_FILE}: {error}") from None
    metrics, calibration = (
        read_json(path) if (path := run / f"{name}.json").exists() else {} for name in ("metrics", "calibration")
    )
    adapter = load_run_adapter(run)
    return LoadedRun(recipe, model.eval(), names, audio, text, adapter, calibration, metrics, facts["corpora"])


@quiet_lightning()
def _fit(recipe: Recipe, run: Path, prepared: Prepared, device: torch.device, precision: Precision) -> torch.nn.Module:
    config = recipe.training
    lightning.seed_everything(recipe.seed, verbose=False)
    text_dim = prepared.text_encoder["dim"] if prepared.text_encoder else 1
    state_dim = prepared.speech_encoder["dim"] if prepared.speech_encoder else 0
    model = build_model(recipe.model, len(recipe.data.labels.names), text_dim, state_dim, pretrained=True)
    _fill_buffers(model, recipe, prepared)
    model = model.to(memory_format=torch.channels_last)  # type: ignore[call-overload] # the fast format for CNNs
    module = SerModule(model, recipe, prepared.parts["train"], prepared.parts["dev"])
    best = ModelCheckpoint(run / "checkpoints", "best", monitor=SCORE, mode="max", enable_version_counter=False)
    newest = ModelCheckpoint(run / "checkpoints", "last", enable_version_counter=False)
    callbacks: list[Callback] = [History(run / "history.csv"), best, newest]
    if shown := sys.stderr.isatty():
        callbacks.append(TQDMProgressBar(leave=False))
    if config.patience:
        callbacks.append(EarlyStopping(SCORE, patience=config.patience, mode="max"))
    trainer = lightning.Trainer(
        max_epochs=config.epochs,
        accelerator=device.type,
        devices=config.devices,
        strategy="ddp_find_unused_parameters_true" if config.devices > 1 else "auto",
        precision="bf16-mixed" if precision == "bf16" else "32-true",
        gradient_clip_val=config.gradient_clip or None,
        callbacks=callbacks,
        logger=TensorBoardLogger(run, name="", version="tensorboard"),
        reload_dataloaders_every_n_epochs=1,
        use_distributed_sampler=False,
        num_sanity_val_steps=0,
        enable_model_summary=False,
        enable_progress_bar=shown,
        log_every_n_steps=1,
    )
    last = run / LAST_CHECKPOINT
    trainer.fit(module, ckpt_path=str(last) if last.exists() else None, weights_only=True)
    checkpoint = last if "dev" in config.fitted_parts else best.best_model_path
    weights = torch.load(checkpoint, map_location="cpu", weights_only=True)["state_dict"]
    model.load_state_dict({k.removeprefix("model."): v for k, v in weights.items() if k.startswith("model.")})
    return model


def _fill_buffers(model: torch.nn.Module, recipe: Recipe, prepared: Prepared) -> None:
    """Give all members of a model their discriminants, fitted on the training rows, and prototypes of categories."""
    if recipe.model.fusion == "text_only":
        return
    names = recipe.data.labels.names
    members: list[Any] = members_of(model)
    if recipe.model.expected_dimensions:
        for member in members:
            member.prototypes.copy_(torch.tensor([PROTOTYPES[name] for name in names]))
    if recipe.model.discriminants:
        clips = labelled_clips(prepared.parts["train"])
        if clips is None:
            raise EmofuseError(
                f"recipe {recipe.name}: model.discriminants need training clips of at least {MIN_SPEAKERS} speakers "
                "with two or more categories each. Add a corpus, or leave the discriminants out."
            )
        fitted = discriminant_of(recipe.model, clips, len(names))
        for member in members:
            member.discriminant.fill(fitted.centre, fitted.weight, fitted.bias)


def _train_late(
    recipe: Recipe,
    run: Path,
    prepared: Prepared,
    device: torch.device,
    *,
    data: Path | None,
    unimodal: Path | None,
) -> LateModel:
    """Train both unimodal models as separate runs, then weight them (equally, or by the development part)."""
    models: list[torch.nn.Module] = []
    for modality in MODALITIES:
        alone = recipe.unimodal(modality)
        folder = unimodal / alone.run_id if unimodal else run / modality
        models.append(load_run(train(alone, folder, data)).model)
    audio, text = models
    model = LateModel(audio, text, weight=0.5)
    model.to(device)
    if recipe.model.late_weight == "dev":
        model.set_weight(_best_weight(model, prepared, recipe))
    return model


def _best_weight(model: LateModel, prepared: Prepared, recipe: Recipe) -> float:
    """The weight of the audio model among 0, 0.1 .. 1 with the best monitored score; of ties, nearest to 0.5."""
    predictions = []
    for weight in (1.0, 0.0):
        model.set_weight(weight)
        predictions.append(predict_rows(model, prepared.parts["dev"]))
    audio, text = predictions
    shared = [name for name in map(str, audio) if name in DIMENSIONS or name.startswith("probability_")]

    def dev_score(weight: float) -> float:
        mixed = audio.assign(**{name: weight * audio[name] + (1 - weight) * text[name] for name in shared})
        return monitored(score_rows(mixed, recipe), recipe.training.monitor)

    candidates = sorted((i / 10 for i in range(11)), key=lambda w: abs(w - 0.5))
    return max(candidates, key=dev_score)


def _finish(recipe: Recipe, run: Path, prepared: Prepared, model: torch.nn.Module) -> None:
    """Write weights, predictions and metrics; metrics.json last, so that it marks a finished run."""
    weights = {name: value.cpu().contiguous() for name, value in model.state_dict().items()}
    with atomic(run / "checkpoints" / "model.safetensors") as temporary:
        save_file(weights, temporary)
    prepared.rows.split.save(run / "split.json")
    unseen = {part: prepared.parts[part] for part in ("dev", "test") if part not in recipe.training.fitted_parts}
    unseen = {part: rows for part, rows in unseen.items() if len(rows)}
    for part, rows in unseen.items():
        with atomic(run / f"predictions-{part}.parquet") as temporary:
            predict_rows(model, rows).to_parquet(temporary)
    clips = labelled_clips(prepared.parts["train"]) if prepared.speech_encoder else None
    if clips is not None:
        adapter = fit_adapter(recipe.model, clips, len(recipe.data.labels.names))
        save_run_adapter(adapter, run)
        if "test" in unseen:
            _predict_adapted(recipe, run, unseen["test"], model, adapter)
    scores = evaluate(run) if unseen else {}
    earlier = read_json(run / ENVIRONMENT_FILE).get("finished_before", [])
    notes = [f"Trained on after its test part had been read at {epochs} epochs." for epochs in earlier]
    write_json(run / METRICS_FILE, scores | {"notes": prepared.rows.notes + notes})


def _predict_adapted(
    recipe: Recipe, run: Path, test: Utterances, model: torch.nn.Module, adapter: SpeakerAdapter
) -> None:
    """Write the predictions for test rows minus the offset of their speaker; the column adapted is False if it is 0.

    The offset is estimated from all other clips of the speaker; where a whole corpus is tested, in each of `ADAPTED`.
    """
    for suffix, options in ADAPTED.items():
        if options and not recipe.tests_whole_corpus:
            continue
        offsets = estimate_offsets(test, adapter, **options)
        predictions = predict_rows(model, test, shift=offsets)
        predictions["adapted"] = np.asarray(offsets.any(axis=1))
        with atomic(run / f"predictions-test{suffix}.parquet") as temporary:
            predictions.to_parquet(temporary)


class History(Callback):
    """Writes history.csv, one row per epoch; the checkpoint holds the rows too, so that a resumed run has them all."""

    def __init__(self, path: Path):
        self.path = path
        self.rows: list[dict[str, float]] = []
        self.rate = float("nan")

    def on_train_epoch_start(self, trainer: lightning.Trainer, pl_module: lightning.LightningModule) -> None:
        """Note the learning rate at the start of the epoch."""
        self.rate = trainer.optimizers[0].param_groups[0]["lr"]

    def on_train_epoch_end(self, trainer: lightning.Trainer, pl_module: lightning.LightningModule) -> None:
        """Add the figures of the epoch and write the file again."""
        figures = {name: float(value) for name, value in trainer.callback_metrics.items()}
        self.rows.append({"epoch": trainer.current_epoch, "learning_rate": self.rate, **figures})
        if trainer.is_global_zero:
            write_text(self.path, pd.DataFrame(self.rows).to_csv(index=False))

    def on_load_checkpoint(
        self, trainer: lightning.Trainer, pl_module: lightning.LightningModule, checkpoint: dict[str, Any]
    ) -> None:
        """Correct the paths of the best weights if the run folder was moved: Lightning stores absolute paths."""
        folder = os.path.realpath(self.path.parent / "checkpoints")
        for state in checkpoint["callbacks"].values():
            if "best_k_models" not in state:
                continue
            state["dirpath"] = folder
            for name in ("best_model_path", "kth_best_model_path", "last_model_path"):
                state[name] = _moved(state[name], folder)
            state["best_k_models"] = {_moved(path, folder): score for path, score in state["best_k_models"].items()}

    def state_dict(self) -> dict[str, Any]:
        """Rows so far."""
        return {"rows": self.rows}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Restore the rows of a checkpoint."""
        self.rows = list(state_dict["rows"])


def _moved(path: str, folder: str) -> str:
    """The path of a file after its folder was moved; an empty path stays empty."""
    return os.path.join(folder, os.path.basename(path)) if path else path

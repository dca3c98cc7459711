"""The Lightning module of one run: training step, development score, optimiser and schedule."""

from __future__ import annotations

from typing import Any

import lightning
import numpy as np
import pandas as pd
import torch
from torch import nn

from emofuse.config import Recipe
from emofuse.data.batch import Batch
from emofuse.data.utterances import Utterances, eval_loader, seed_of, train_loader
from emofuse.hardware import full_precision
from emofuse.labels import DIMENSIONS
from emofuse.metrics import scores as metrics
from emofuse.models.conditioning import ConditioningOperator
from emofuse.models.ladder import TopLayers
from emofuse.models.ser import Ensemble
from emofuse.training.losses import JointLoss
from emofuse.training.speakers import RandomOffsets

SCORE = "dev_score"


class SerModule(lightning.LightningModule):
    """Trains one model by one recipe.

    Args:
        model: a `SerModel`.
        recipe: resolved recipe of the model.
        train: training rows.
        dev: development rows, whole utterances.
    """

    def __init__(self, model: nn.Module, recipe: Recipe, train: Utterances, dev: Utterances):
        super().__init__()
        self.model = model
        self.config = recipe.training
        self.recipe = recipe
        self.train_rows, self.dev_rows = train, dev
        self.loss = JointLoss(self.config.loss_weights, self.config.label_smoothing)
        config = self.config
        self.offsets = None
        if config.other_clips or config.borrow_rooms:
            self.offsets = RandomOffsets(
                train.means(),
                train.table["speaker"].tolist(),
                other_clips=config.other_clips,
                borrow=config.borrow_rooms,
            )
        self._outputs = Outputs(len(dev))

    def train_dataloader(self) -> Any:
        """The batches of the current epoch, which depend only on seed and epoch, also in a resumed run."""
        return train_loader(
            self.train_rows,
            self.config,
            seed=self.recipe.seed,
            epoch=self.current_epoch,
            rank=self.global_rank,
            world=self.trainer.world_size,
            offsets=self.offsets,
            device=self.device,
        )

    def val_dataloader(self) -> Any:
        """The development part; with DDP every process scores all of it."""
        return eval_loader(self.dev_rows, self.config.batch_size)

    def training_step(self, batch: Batch, step: int) -> torch.Tensor:
        """Loss of one batch; dropout is seeded by epoch and step, so that a resumed run repeats an unbroken one."""
        torch.manual_seed(seed_of(self.recipe.seed, self.current_epoch, step, self.global_rank))
        losses = member_losses(self.model, self.loss, batch)
        self.log("train_loss", losses.mean(), on_step=False, on_epoch=True, batch_size=len(batch.rows), prog_bar=True)
        return losses.sum()  # the members of an ensemble are trained independently

    def configure_gradient_clipping(
        self, optimizer: Any, gradient_clip_val: float | None = None, gradient_clip_algorithm: str | None = None
    ) -> None:
        """Clip the gradient of each network of an ensemble separately, as if it were trained alone."""
        if gradient_clip_val:
            for member in members_of(self.model):
                torch.nn.utils.clip_grad_norm_(member.parameters(), gradient_clip_val)

    def validation_step(self, batch: Batch, _: int) -> None:
        """Collect the outputs of one batch."""
        self._outputs.add(batch, self.model(*batch.inputs()))

    def on_validation_epoch_end(self) -> None:
        """Score the whole development part at once, because UAR and CCC are not means over batches."""
        scores = score_rows(self._outputs.table(self.dev_rows), self.recipe)
        self._outputs = Outputs(len(self.dev_rows))
        logged = {f"dev_{name}": value for name, value in scores.items()}
        self.log_dict(logged | {SCORE: monitored(scores, self.config.monitor)}, prog_bar=True)

    def _parameter_groups(self) -> list[dict[str, Any]]:
        """Parameter groups with their learning rates; the first holds all parameters without a special rate."""
        config = self.config
        rates: dict[type[nn.Module], float] = {TopLayers: config.encoder_learning_rate}
        if config.operator_rate != 1:
            rates[ConditioningOperator] = config.learning_rate * config.operator_rate
        groups = [(_parameters(self.model, kind), rate) for kind, rate in rates.items()]
        grouped = {p for parameters, _ in groups for p in parameters}
        groups.insert(0, ([p for p in self.parameters() if p.requires_grad and p not in grouped], config.learning_rate))
        return [{"params": parameters, "lr": rate} for parameters, rate in groups if parameters]

    def configure_optimizers(self) -> Any:
        """SGD or AdamW; one cycle (Smith & Topin 2018), or a lower rate after epochs without a better score."""
        config = self.config
        parameters = self._parameter_groups()
        optimizer: torch.optim.Optimizer
        if config.optimizer == "sgd":
            optimizer = torch.optim.SGD(parameters, momentum=config.momentum, weight_decay=config.weight_decay)
        else:
            optimizer = torch.optim.AdamW(parameters, weight_decay=config.weight_decay)
        if config.schedule == "none":
            return optimizer
        if config.schedule == "plateau":
            plateau = torch.optim.lr_scheduler.ReduceLROnPlateau(
                optimizer, mode="max", factor=config.plateau_factor, patience=config.plateau_patience
            )
            return {"optimizer": optimizer, "lr_scheduler": {"scheduler": plateau, "monitor": SCORE}}
        # trainer.estimated_stepping_batches would keep the loader of epoch 0 for the first epoch after a resume.
        steps = len(self.train_dataloader()) * config.epochs
        cycle = torch.optim.lr_scheduler.OneCycleLR(
            optimizer, max_lr=[group["lr"] for group in parameters], total_steps=steps, cycle_momentum=False
        )
        return {"optimizer": optimizer, "lr_scheduler": {"scheduler": cycle, "interval": "step"}}


def _parameters(model: nn.Module, kind: type[nn.Module]) -> list[nn.Parameter]:
    """The parameters of all modules of one type."""
    return [p for module in model.modules() if isinstance(module, kind) for p in module.parameters()]


def member_losses(model: nn.Module, loss: JointLoss, batch: Batch) -> torch.Tensor:
    """The loss of each network of an ensemble, or of the single network, (members,)."""
    outputs = (member(*batch.inputs()) for member in members_of(model))
    return torch.stack([loss(out, batch.target, batch.dimensions) for out in outputs])


def members_of(model: nn.Module) -> list[nn.Module]:
    """The networks of an ensemble, or the single network."""
    return list(model.members) if isinstance(model, Ensemble) else [model]


@torch.inference_mode()
def predict_rows(
    model: nn.Module, data: Utterances, batch_size: int = 32, *, shift: np.ndarray | None = None
) -> pd.DataFrame:
    """Predictions of whole utterances in fp32, in the order of the table; columns as in `Outputs.table`.

    Args:
        model: takes `Batch.inputs`.
        data: the rows to predict.
        batch_size: number of rows at a time; it does not change the predictions.
        shift: (rows, width), subtracted from every frame of each row.
    """
    model.eval()
    device = next(model.parameters()).device
    outputs = Outputs(len(data))
    with full_precision():
        for batch in eval_loader(data, batch_size, shift=shift):
            outputs.add(batch, model(*batch.to(device).inputs()))
    return outputs.table(data)


class Outputs:
    """Collects the outputs of a model for the `count` rows of a part, on the CPU.

    Each output has one array: small arrays for each batch would fragment the memory that the frames of the batches use.
    """

    def __init__(self, count: int):
        self._seen = np.zeros(count, bool)
        self._arrays: dict[str, np.ndarray] = {}

    def add(self, batch: Batch, out: dict[str, torch.Tensor]) -> None:
        """Add the outputs for a batch, which may be on another device."""
        rows = batch.rows.cpu().numpy()
        self._seen[rows] = True
        outputs = {name: value.float() for name, value in out.items()}
        for name, value in {"has_audio": batch.has_audio, "has_text": batch.has_text, **outputs}.items():
            values = value.cpu().numpy()
            if name not in self._arrays:
                self._arrays[name] = np.zeros((len(self._seen), *values.shape[1:]), values.dtype)
            self._arrays[name][rows] = values

    def table(self, data: Utterances) -> pd.DataFrame:
        """The outputs and the truth, one row per utterance, in the order of the table.

        Columns: key, corpus, speaker, has_audio, has_text, weak_dimensions (where the corpora have weak targets), truth
        (category number, -1 without label) and probability_0.., true_arousal.. (NaN without label) and arousal.. . Rows
        that were not added are left out.
        """
        rows = np.flatnonzero(self._seen)
        arrays = {name: values[rows] for name, values in self._arrays.items()}
        columns: dict[str, Any] = {name: data.table[name].to_numpy()[rows] for name in ("key", "corpus", "speaker")}
        columns |= {name: arrays[name] for name in ("has_audio", "has_text")}
        if "weak_dimensions" in data.table:
            columns["weak_dimensions"] = data.table["weak_dimensions"].to_numpy()[rows] == True  # noqa: E712 - NaN is False
        columns["truth"] = data.label[rows]
        if "logits" in arrays:
            probabilities = torch.from_numpy(arrays["logits"]).softmax(dim=1).numpy()
            columns |= {f"probability_{k}": probabilities[:, k] for k in range(probabilities.shape[1])}
        if "dimensions" in arrays:
            for i, name in enumerate(DIMENSIONS):
                columns[f"true_{name}"] = data.dimensions[rows, i].numpy()
                columns[name] = arrays["dimensions"][:, i]
        return pd.DataFrame(columns)


def monitored(scores: dict[str, float], monitor: str) -> float:
    """The score that training monitors: "uar", "ccc" or their "mean", from those of `score_rows`; 0 if undefined."""
    wanted = ["uar", "ccc"] if monitor == "mean" else [monitor]
    return float(np.nan_to_num(np.mean([scores[name] for name in wanted])))


def score_rows(table: pd.DataFrame, recipe: Recipe) -> dict[str, float]:
    """UAR and mean CCC of predictions (`Outputs.table`), for the heads of the recipe; all corpora weigh the same."""
    by_corpus = pd.DataFrame([_score(rows, recipe) for _, rows in table.groupby("corpus")])
    return {str(name): float(value) for name, value in by_corpus.mean().items()}  # mean of those where it is defined


def _score(table: pd.DataFrame, recipe: Recipe) -> dict[str, float]:
    scores = {}
    if "categories" in recipe.model.heads:
        names = recipe.data.labels.names
        guess = table[[f"probability_{i}" for i in range(len(names))]].to_numpy().argmax(axis=1)
        scores["uar"] = metrics.uar(table["truth"].to_numpy(), guess, labels=names)
    if "dimensions" in recipe.model.heads:
        values = [metrics.ccc(table[f"true_{name}"].to_numpy(), table[name].to_numpy()) for name in DIMENSIONS]
        scores["ccc"] = float(np.mean(values))
    return scores

"""Find checkpoints for transformers: in a folder, or on the Hugging Face hub at a revision."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from emofuse.errors import EmofuseError
from emofuse.files import file_hashes, hash_of

_WANTED = ["*.json", "*.txt", "*.model", "model.safetensors", "model-*-of-*.safetensors"]


@dataclass(frozen=True)
class Checkpoint:
    """A folder with a configuration and safetensors.

    Attributes:
        folder: the folder of the checkpoint.
        weights: the safetensors file, or its parts in order.
        revision: commit of the hub's repository; None if unknown.
    """

    folder: Path
    weights: tuple[Path, ...]
    revision: str | None

    @property
    def weights_hash(self) -> str:
        """SHA-256 of the safetensors file, or of the list of hashes of its parts."""
        hashes = list(file_hashes(self.weights).values())
        return hashes[0] if len(hashes) == 1 else hash_of(hashes)


def find_checkpoint(name: str, what: str) -> Checkpoint:
    """Find a checkpoint in a folder, in the hub's local cache, or by download, in this order.

    Args:
        name: a folder, or a hub name such as `bert-base-uncased`, optionally with a commit, branch or tag:
            `bert-base-uncased@86b5e09`.
        what: kind of model for error messages, such as "text encoder".

    Raises:
        EmofuseError: there is no such checkpoint, it cannot be downloaded, or it has no safetensors. Pickles are
            refused, because loading one can run arbitrary code.
    """
    folder = Path(name) if Path(name).is_dir() else _download(name, what)
    if not (weights := _weights(folder)):
        raise EmofuseError(
            f"{what} {name!r}: {folder} has no model*.safetensors. Pickled weights (pytorch_model.bin) are not read, "
            "because loading them can run arbitrary code: convert them, or name a revision that has safetensors."
        )
    snapshot = folder.absolute()
    return Checkpoint(folder, weights, snapshot.name if snapshot.parent.name == "snapshots" else None)


def _weights(folder: Path) -> tuple[Path, ...]:
    """The weight files that transformers would load from a folder."""
    whole = folder / "model.safetensors"
    return (whole,) if whole.is_file() else tuple(sorted(folder.glob("model-*-of-*.safetensors")))


def _download(name: str, what: str) -> Path:
    from huggingface_hub import snapshot_download

    repository, _, revision = name.partition("@")

    def snapshot(*, local: bool) -> Path:
        return Path(
            snapshot_download(
                repository,
                revision=revision or None,
                allow_patterns=_WANTED,
                ignore_patterns=["*/*"],
                local_files_only=local,
            )
        )

    try:
        folder = snapshot(local=True)
        if _weights(folder):
            return folder
    except Exception:  # errors for bad names and missing files have no common base class
        pass
    try:
        return snapshot(local=False)
    except Exception as error:  # nor do network errors
        raise EmofuseError(
            f"{what} {name!r}: there is no such folder, the local hub cache does not have it, and its download failed "
            f"({str(error).splitlines()[0]}). Check the name, or give a folder that holds it."
        ) from error

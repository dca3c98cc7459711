"""Studies of the toy corpus."""

from pathlib import Path

import pytest

TOY = Path(__file__).parents[2] / "recipes" / "toy.toml"


@pytest.fixture
def study_file(tmp_path):
    """A study of the toy corpus with the given systems (name to changes), two epochs long; its path."""

    def written(systems: dict[str, list[str]], *more: str) -> Path:
        lines = [
            'name = "small"',
            'protocol = "Made-up corpus, hold-out."',
            *more,
            f'tasks.joint = {{ recipe = "{TOY.as_posix()}", set = ["training.epochs=2", "model.width=0.0625"] }}',
            *(f"systems.{name} = {changes}" for name, changes in systems.items()),
        ]
        path = tmp_path / "study.toml"
        path.write_text("\n".join(lines))
        return path

    return written

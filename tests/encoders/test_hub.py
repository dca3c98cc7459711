"""Checkpoints in folders and in the hub's local cache; nothing is downloaded."""

import pytest

from emofuse.encoders.weights import find_checkpoint
from emofuse.errors import EmofuseError
from emofuse.files import hash_of, sha256

OLD, NEW = "a" * 40, "b" * 40


@pytest.fixture
def hub(tmp_path, monkeypatch):
    """The repository org/model with two commits in the local cache, and no network."""
    folder = tmp_path / "hub" / "models--org--model"
    for commit, content in ((OLD, b"old"), (NEW, b"new")):
        (folder / "snapshots" / commit).mkdir(parents=True)
        (folder / "snapshots" / commit / "config.json").write_text("{}")
        (folder / "snapshots" / commit / "model.safetensors").write_bytes(content)
    (folder / "refs").mkdir()
    (folder / "refs" / "main").write_text(NEW)
    (folder / "refs" / "v1").write_text(OLD)
    monkeypatch.setenv("EMOFUSE_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path / "hub"))
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    return folder / "snapshots"


@pytest.mark.parametrize(("name", "commit"), [("", NEW), (f"@{OLD}", OLD), ("@v1", OLD), ("@main", NEW)])
def test_revisions(hub, name, commit):
    found = find_checkpoint(f"org/model{name}", "text encoder")
    assert found.revision == commit and found.folder == hub / commit
    assert found.weights_hash == sha256(hub / commit / "model.safetensors")


@pytest.mark.parametrize("name", ["org/model@v2", "org/absent", "no name at all", "/no/such/folder"])
def test_what_is_absent(hub, name):
    with pytest.raises(EmofuseError, match=f"text encoder '{name}'"):
        find_checkpoint(name, "text encoder")


def test_pickles_are_refused(hub, tmp_path):
    (tmp_path / "pytorch_model.bin").write_bytes(b"pickle")
    with pytest.raises(EmofuseError, match=r"speech encoder .*safetensors"):
        find_checkpoint(str(tmp_path), "speech encoder")


def test_weights_in_parts_and_in_other_precisions(hub, tmp_path):
    parts = [tmp_path / f"model-0000{i}-of-00002.safetensors" for i in (1, 2)]
    for path in (*parts, tmp_path / "model.fp32-00001-of-00002.safetensors"):
        path.write_bytes(path.name.encode())
    found = find_checkpoint(str(tmp_path), "text encoder")
    assert found.weights == tuple(parts) and found.revision is None
    assert found.weights_hash == hash_of([sha256(path) for path in parts])
    (tmp_path / "model.safetensors").write_bytes(b"whole")
    assert find_checkpoint(str(tmp_path), "text encoder").weights_hash == sha256(tmp_path / "model.safetensors")


def test_encoders_note_the_commit(hub):
    transformers = pytest.importorskip("transformers")
    from emofuse.encoders.speech import load_speech_encoder

    small = {"hidden_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 16}
    transformers.HubertModel(transformers.HubertConfig(**small)).save_pretrained(hub / NEW)
    encoder = load_speech_encoder("org/model")
    weights = sha256(hub / NEW / "model.safetensors")
    assert encoder.identity == {"name": "org/model", "weights_hash": weights, "dim": 16, "revision": NEW}

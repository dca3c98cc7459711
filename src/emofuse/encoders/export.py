"""Export speech and text encoders to ONNX, without traces of this machine, with weights as fp16 or int8.

ONNX Runtime decodes such weights when it loads the graph; the arithmetic stays fp32.
"""

from __future__ import annotations

import copy
import shutil
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any, Literal, get_args

import numpy as np
import onnx
import torch
from onnx import TensorProto, helper, numpy_helper
from torch import Tensor, nn

from emofuse.audio import MIN_SECONDS, SAMPLE_RATE, WHISPER, WHISPER_SECONDS
from emofuse.console import quiet_onnx_export
from emofuse.encoders.onnx import OnnxSpeechEncoder, OnnxTextEncoder, require_text_encoder
from emofuse.encoders.speech import SpeechEncoder, layer_states, pool_time
from emofuse.encoders.text import TextEncoder, load_text_encoder, pool
from emofuse.encoders.weights import MINILM_SHA256
from emofuse.errors import EmofuseError
from emofuse.files import atomic, cache_dir, hash_of, sha256, write_json

BLOCK = 32
"""Number of int8 weights that share a scale."""

_MIN_COSINE = 0.999  # between embeddings or hidden states before and after export

_Stored = tuple[dict[str, np.ndarray], list[onnx.NodeProto]]  # tensors by name, and nodes that decode them


def to_onnx(
    module: nn.Module,
    examples: tuple[Tensor, ...],
    *,
    inputs: Sequence[str],
    outputs: Sequence[str],
    dynamic_shapes: tuple[Any, ...],
) -> onnx.ModelProto:
    """Export a module in evaluation mode, from examples of its arguments, with names of its inputs and outputs.

    `dynamic_shapes` has one entry per argument, as `torch.export.export` takes them, in a tuple for `forward(*values)`.
    """
    with quiet_onnx_export():
        program = torch.onnx.export(
            module.eval(),
            examples,
            input_names=list(inputs),
            output_names=list(outputs),
            dynamic_shapes=dynamic_shapes,
            dynamo=True,
            verbose=False,
        )
    assert program is not None  # only the old exporter returns None
    model = program.model_proto
    for node in model.graph.node:
        node.ClearField("metadata_props")  # stack traces with paths of this machine
    return model


def store_as_fp16(graph: onnx.GraphProto) -> None:
    """Store every large fp32 tensor of the graph as fp16, except those with values beyond fp16's range."""
    _store(graph, lambda name, values: _as_fp16(name, values) if values.size >= 1024 else None)


def store_as_int8(graph: onnx.GraphProto) -> None:
    """Store matrices as int8 in blocks with an fp16 scale each; square matrices, positions and convolutions as fp16.

    Square matrices are the projections of attention: 16 % of the weights in MiniLM, but half of the error if stored as
    int8. Whisper's positional encodings, which are sliced to the clip, are 4 % of its weights and cause most of the
    largest errors. Blocks run along the inputs of a layer; along its outputs the error would be twice as large.
    """
    layers = {node.input[1] for node in graph.node if node.op_type == "MatMul"}  # (inputs, outputs)
    sliced = {node.input[0] for node in graph.node if node.op_type == "Slice"}

    def stored(name: str, values: np.ndarray) -> _Stored | None:
        if values.size < 1024 or values.ndim not in (2, 3):
            return None
        if values.ndim == 3 or values.shape[0] == values.shape[1] or name in sliced:
            return _as_fp16(name, values)
        axis = 0 if name in layers else 1
        return _as_int8(name, values, axis=axis) if values.shape[axis] % BLOCK == 0 else None

    _store(graph, stored)


def lowest_cosine(first: np.ndarray, second: np.ndarray) -> float:
    """The lowest cosine between vectors of two arrays (..., dim)."""
    norms = np.linalg.norm(first, axis=-1) * np.linalg.norm(second, axis=-1)
    return float(((first * second).sum(axis=-1) / norms).min())


def _store(graph: onnx.GraphProto, encode: Callable[[str, np.ndarray], _Stored | None]) -> None:
    """Replace fp32 tensors by what `encode` returns for their name and values; None leaves a tensor as it is."""
    decoding = []
    for tensor in list(graph.initializer):
        if tensor.data_type != TensorProto.FLOAT:
            continue
        if (encoded := encode(tensor.name, numpy_helper.to_array(tensor))) is None:
            continue
        parts, nodes = encoded
        graph.initializer.remove(tensor)
        graph.initializer.extend(numpy_helper.from_array(part, key) for key, part in parts.items())
        decoding += nodes
    nodes = [*decoding, *graph.node]
    del graph.node[:]
    graph.node.extend(nodes)


def _as_fp16(name: str, values: np.ndarray) -> _Stored | None:
    if np.abs(values).max() > np.finfo(np.float16).max:
        return None
    stored = {f"{name}.fp16": values.astype(np.float16)}
    return stored, [helper.make_node("Cast", list(stored), [name], to=TensorProto.FLOAT)]


def _as_int8(name: str, values: np.ndarray, *, axis: int) -> _Stored:
    names = [f"{name}.{part}" for part in ("int8", "scales", "shape")]
    stored = dict(zip(names, [*_quantise(values, axis), np.array(values.shape)], strict=True))
    numbers, scales, shape = names
    return stored, [
        helper.make_node("Cast", [numbers], [f"{numbers}.fp32"], to=TensorProto.FLOAT),
        helper.make_node("Cast", [scales], [f"{scales}.fp32"], to=TensorProto.FLOAT),
        helper.make_node("Mul", [f"{numbers}.fp32", f"{scales}.fp32"], [f"{name}.blocks"]),
        helper.make_node("Reshape", [f"{name}.blocks", shape], [name]),
    ]


def _quantise(values: np.ndarray, axis: int) -> tuple[np.ndarray, np.ndarray]:
    """Quantise a matrix to int8 values and fp16 scales, with `axis` split into (blocks, BLOCK) and (blocks, 1)."""
    rows, columns = values.shape
    blocks = values.reshape((-1, BLOCK, columns) if axis == 0 else (rows, -1, BLOCK))
    scales = (np.abs(blocks).max(axis=axis + 1, keepdims=True) / 127).astype(np.float16)
    divisors = np.where(scales > 0, scales, 1).astype(np.float32)  # scales of blocks that are (nearly) zero are 0
    return np.clip(np.round(blocks / divisors), -127, 127).astype(np.int8), scales


Weights = Literal["fp32", "fp16", "int8"]


class _PooledStates(nn.Module):
    """Maps one clip to the concatenated hidden states of some layers, averaged over every `pool` steps."""

    def __init__(self, encoder: SpeechEncoder, layers: Sequence[int], pool: int):
        super().__init__()
        self.model = _cut(encoder, max(layers))
        self.layers = list(layers)
        self.pool = pool

    def forward(self, clip: Tensor) -> Tensor:
        states = layer_states(self.model, clip)
        chosen = torch.cat([states[layer] for layer in self.layers], dim=1)  # (steps, layers * dim)
        means = nn.functional.avg_pool1d(chosen.T[None], self.pool, ceil_mode=True)
        return means[0].T  # (ceil(steps / pool), layers * dim)


def export_speech_encoder(
    encoder: SpeechEncoder, path: Path | str, *, layers: Sequence[int], pool: int = 4, weights: Weights = "int8"
) -> dict[str, Any]:
    """Write an ONNX file for `OnnxSpeechEncoder`, without the layers above the highest one in `layers`.

    The graph takes one clip, Whisper's log-Mel (80, frames) or samples (n,), and returns float32
    (ceil(steps / pool), len(layers) * dim), averaged as by `pool_time`.

    Args:
        encoder: as `load_speech_encoder` returns it.
        path: the file to write; an existing one is replaced.
        layers: numbers of layers, 0 for the input of the first, in the order of the output.
        pool: number of steps that are averaged to one.
        weights: how weights are stored.

    Returns:
        The facts that `OnnxSpeechEncoder` needs, ready for JSON: `name` and `weights_hash` of the encoder, `layers`,
        `pool`, `dim` of a layer, `rate` (states per second), `input` ("log_mel" or "samples"), `front_end` (empty for
        samples), `weights`, and `sha256` of the file.

    Raises:
        EmofuseError: the encoder has no such layer, PyTorch cannot export it, the exported graph differs from it, or
            the file cannot be written.
    """
    _check(encoder, layers, pool, weights)
    graph = _speech_graph(encoder, layers, pool)
    if weights == "int8":
        store_as_int8(graph.graph)
    elif weights == "fp16":
        store_as_fp16(graph.graph)
    with atomic(path) as temporary:
        onnx.save(graph, temporary)
        facts = {
            "name": encoder.name,
            "weights_hash": encoder.weights_hash,
            "layers": list(layers),
            "pool": pool,
            "dim": encoder.dim,
            "rate": encoder.rate / pool,
            "input": "log_mel" if encoder.reads_log_mel else "samples",
            "front_end": WHISPER.to_dict() if encoder.reads_log_mel else {},
            "weights": weights,
            "sha256": sha256(temporary),
        }
        cosine = _lowest_cosine(encoder, OnnxSpeechEncoder(temporary, facts), layers, pool)
        if not cosine >= _MIN_COSINE:
            raise EmofuseError(
                f"speech encoder {encoder.name!r}: the exported graph gives other hidden states (cosine {cosine:.4f}, "
                f"expected at least {_MIN_COSINE}). "
                + ("Try another version of PyTorch." if weights == "fp32" else "Export fp32 weights.")
            )
    return facts


def _check(encoder: SpeechEncoder, layers: Sequence[int], pool: int, weights: str) -> None:
    if not layers or len(set(layers)) < len(layers) or not all(0 <= layer < encoder.layers for layer in layers):
        raise EmofuseError(
            f"layers {list(layers)}: expected different numbers from 0 (the input of the first layer) to "
            f"{encoder.layers - 1}, the last layer of {encoder.name}."
        )
    if pool < 1:
        raise EmofuseError(f"pool {pool}: expected 1 or more steps.")
    if weights not in get_args(Weights):
        raise EmofuseError(f"weights {weights!r}: expected one of {', '.join(get_args(Weights))}.")


def _cut(encoder: SpeechEncoder, highest: int) -> nn.Module:
    """Copy the model without the layers above `highest`."""
    model: Any = copy.deepcopy(encoder.model)
    blocks = model if encoder.reads_log_mel else model.encoder
    blocks.layers = blocks.layers[: max(highest, 1)]
    if encoder.reads_log_mel and highest < encoder.layers - 1:
        model.layer_norm = nn.Identity()  # only the output of the last layer is normalised
    return model


def _speech_graph(encoder: SpeechEncoder, layers: Sequence[int], pool: int) -> onnx.ModelProto:
    if encoder.reads_log_mel:
        clip, axis, rate = torch.zeros(WHISPER.n_mels, 300), 1, SAMPLE_RATE // WHISPER.hop
    else:
        clip, axis, rate = torch.randn(3 * SAMPLE_RATE, generator=torch.Generator().manual_seed(0)), 0, SAMPLE_RATE
    length = torch.export.Dim("length", min=int(MIN_SECONDS * rate), max=int(WHISPER_SECONDS * rate))
    module = _PooledStates(encoder, layers, pool)
    try:
        return to_onnx(module, (clip,), inputs=["clip"], outputs=["states"], dynamic_shapes=({axis: length},))
    except Exception as error:  # the exporter raises many kinds
        reason = next(iter(str(error).strip().splitlines()), type(error).__name__)
        raise EmofuseError(
            f"speech encoder {encoder.name!r}: PyTorch {torch.__version__} cannot export it to ONNX ({reason})."
        ) from error


def _lowest_cosine(encoder: SpeechEncoder, exported: OnnxSpeechEncoder, layers: Sequence[int], pool: int) -> float:
    """The lowest cosine between hidden states of encoder and export, over layers and steps of three synthetic clips."""
    rng = np.random.default_rng(0)
    lowest = 1.0
    for seconds in (MIN_SECONDS, 0.837, 3.3):
        n = int(seconds * SAMPLE_RATE)
        tone = 0.2 * np.sin(2 * np.pi * 180 * np.arange(n) / SAMPLE_RATE) * np.linspace(0, 1, n)
        samples = (tone + rng.normal(0, 0.01, n)).astype(np.float32)
        expected = pool_time(encoder.hidden_states(samples)[list(layers)].numpy(), pool)  # (layers, steps, dim)
        states = exported.states(samples).reshape(expected.shape[1], len(layers), -1).transpose(1, 0, 2)
        lowest = min(lowest, lowest_cosine(expected, states))
    return lowest


_VERSION = 2  # of the exported files; raise it with every change, so that cached exports are not used
_LICENCE = Path(__file__).parent / "APACHE-2.0.txt"
_PROBES = (
    "Yes.",
    "I did not expect to see you here again!",
    "The meeting was moved to Tuesday because of the strike. " * 8,
)
_MINILM_ORIGIN = """\
[sentence-transformers/all-MiniLM-L6-v2](https://huggingface.co/sentence-transformers/all-MiniLM-L6-v2)
(vocabulary of bert-base-uncased), Apache License 2.0, see `LICENSE` in this folder. Changed from it:"""
_INT8_STORAGE = """\
  Matrices are stored as int8 in blocks of 32 with an fp16 scale each, those of attention as fp16; the
  graph computes in fp32.
"""


class _Summary(nn.Module):
    """Maps the tokens of one text to its summary embedding."""

    def __init__(self, encoder: TextEncoder):
        super().__init__()
        self.model = encoder.model
        self.inputs = encoder.inputs
        self.pooling = encoder.pooling

    def forward(self, *values: torch.Tensor) -> torch.Tensor:
        fields = dict(zip(self.inputs, values, strict=True))
        hidden = self.model(**fields).last_hidden_state  # (1, tokens, dim)
        return pool(hidden, fields["attention_mask"], self.pooling)  # (1, dim)


def exported_text_encoder(name: str, identity: Mapping[str, Any]) -> Path:
    """Export a text encoder, unless `cache_dir()` has its export already, and return the folder. Copy it.

    Args:
        name: as `load_text_encoder` takes it; not used if the encoder is in the cache.
        identity: `TextEncoder.identity` as stored with a trained model.

    Raises:
        EmofuseError: `name` is missing or another encoder, or as `export_text_encoder`.
    """
    made_of = [identity.get(key) for key in ("weights_hash", "pooling", "tokenizer_hash", "max_tokens")]
    key = hash_of([*made_of, _VERSION])[:16]
    folder = cache_dir() / "text-encoders" / key
    with suppress(EmofuseError):  # missing or damaged
        OnnxTextEncoder(folder)
        return folder
    encoder = load_text_encoder(name, identity["pooling"])
    require_text_encoder(encoder, identity, f"text encoder {name!r}")
    export_text_encoder(encoder, folder)
    return folder


def export_text_encoder(encoder: TextEncoder, folder: Path | str) -> float:
    """Write `model.onnx` (pooling included), `tokenizer.json` and `encoder.json`, for `OnnxTextEncoder(folder)`.

    `README.md` names the origin of the encoder; MiniLM and encoders fine-tuned from it get its `LICENSE`. Weights are
    stored as int8, a third of the space, or as fp32 if int8 changes the embeddings too much. An existing folder is
    replaced.

    Returns:
        The lowest cosine between embeddings before and after export of three texts, from short to long.

    Raises:
        EmofuseError: the tokenizer has no `tokenizer.json` form, the cosine is below 0.999 with fp32 too, or the
            folder cannot be written.
    """
    backend = getattr(encoder.tokenizer, "backend_tokenizer", None)
    if backend is None:
        raise EmofuseError(f"text encoder {encoder.name!r} has no fast tokenizer, so it cannot be exported.")
    exact = _text_graph(encoder)
    small = onnx.ModelProto()
    small.CopyFrom(exact)
    store_as_int8(small.graph)
    with atomic(folder) as temporary:
        temporary.mkdir()
        backend.save(str(temporary / "tokenizer.json"), pretty=False)
        expected = encoder.encode(_PROBES)
        for weights, model in (("int8", small), ("fp32", exact)):
            onnx.save(model, temporary / "model.onnx")
            facts = {
                "weights": weights,
                "model_sha256": sha256(temporary / "model.onnx"),
                "tokenizer_sha256": sha256(temporary / "tokenizer.json"),
            }
            write_json(temporary / "encoder.json", {**encoder.identity, **facts})
            cosine = lowest_cosine(expected, OnnxTextEncoder(temporary).encode(_PROBES))
            if cosine >= _MIN_COSINE:
                break
        else:
            raise EmofuseError(
                f"text encoder {encoder.name!r}: the exported graph gives other embeddings (cosine {cosine:.4f}, "
                f"expected at least {_MIN_COSINE}). Try another version of PyTorch."
            )
        (temporary / "README.md").write_text(_about(encoder, weights), encoding="utf-8")
        if MINILM_SHA256 in _ancestry(encoder):
            shutil.copyfile(_LICENCE, temporary / "LICENSE")
    return cosine


def _ancestry(encoder: TextEncoder) -> Iterator[str]:
    """Hashes of the weights, of the weights they were fine-tuned from, and so on."""
    yield encoder.weights_hash
    start = encoder.finetuning.get("start")
    while start:
        yield start["weights_hash"]
        start = start.get("start")


def _about(encoder: TextEncoder, weights: str) -> str:
    """README.md: origin and changes, as the Apache License requires."""
    origin = "Its licence is that of the original. Changed from it:"
    if MINILM_SHA256 in _ancestry(encoder):
        origin = _MINILM_ORIGIN
    changes = ""
    if encoder.finetuning:
        corpora = ", ".join(encoder.finetuning.get("corpora", [])) or "of unknown corpora"
        by = "`emofuse.training.text_finetune`"
        changes = f"- The weights were fine-tuned on sentences with emotions ({corpora}) by {by}.\n"
    pooling = "mean pooling over the tokens" if encoder.pooling == "mean" else "the state of the first token as output"
    changes += f"- `model.onnx` holds the weights as an ONNX graph with {pooling} and without the pooler.\n"
    made = f"Made by `emofuse.encoders.export` from weights with SHA-256 {encoder.weights_hash}.\n"
    storage = _INT8_STORAGE if weights == "int8" else ""
    return f"# Text encoder {encoder.name}\n\n{origin}\n\n{changes}{storage}\n{made}"


def _text_graph(encoder: TextEncoder) -> onnx.ModelProto:
    tokens = {name: torch.zeros(1, 7, dtype=torch.int64) for name in encoder.inputs}
    tokens["input_ids"] += 1
    tokens["attention_mask"] += 1
    return to_onnx(
        _Summary(encoder),
        tuple(tokens[name] for name in encoder.inputs),
        inputs=encoder.inputs,
        outputs=["summary"],
        dynamic_shapes=(tuple({1: torch.export.Dim("tokens", min=2, max=encoder.max_tokens)} for _ in tokens),),
    )

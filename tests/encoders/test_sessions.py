import numpy as np
import onnx
import onnxruntime
import pytest
from onnx import TensorProto, helper

from emofuse.encoders.onnx import open_session
from emofuse.errors import EmofuseError


def tensor(*, external=False, name="w"):
    made = helper.make_tensor(name, TensorProto.FLOAT, [2], np.array([1, 2], np.float32).tobytes(), raw=True)
    if external:
        made.ClearField("raw_data")
        made.data_location = TensorProto.EXTERNAL
        made.external_data.add(key="location", value="weights.bin")
    return made


def graph_of(nodes, initializers=()):
    y = helper.make_tensor_value_info("y", TensorProto.FLOAT, [2])
    return helper.make_graph(
        nodes, "g", [helper.make_tensor_value_info("x", TensorProto.FLOAT, [2])], [y], initializers
    )


def model_of(graph, **kept):
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9, **kept)


ADD = helper.make_node("Add", ["x", "w"], ["y"])
PASS = helper.make_node("Identity", ["x"], ["y"])


def in_initializer(external):
    return model_of(graph_of([ADD], [tensor(external=external)]))


def in_attribute(external):
    constant = helper.make_node("Constant", [], ["w"], value=tensor(external=external))
    return model_of(graph_of([constant, ADD]))


def in_inner_graph(external):
    true = helper.make_node("Constant", [], ["c"], value=helper.make_tensor("c", TensorProto.BOOL, [], [True]))
    out = [helper.make_tensor_value_info("b", TensorProto.FLOAT, [2])]
    inner = helper.make_node("Identity", ["w"], ["b"])
    branch = helper.make_graph([inner], "branch", [], out, [tensor(external=external)])
    chosen = helper.make_node("If", ["c"], ["y"], then_branch=branch, else_branch=branch)
    return model_of(graph_of([true, chosen]))


def in_function(external):
    constant = helper.make_node("Constant", [], ["w"], value=tensor(external=external))
    own = helper.make_function("own", "AddW", ["x"], ["y"], [constant, ADD], [helper.make_opsetid("", 17)])
    node = helper.make_node("AddW", ["x"], ["y"], domain="own")
    model = helper.make_model(
        graph_of([node]),
        opset_imports=[helper.make_opsetid("", 17), helper.make_opsetid("own", 1)],
        ir_version=9,
        functions=[own],
    )
    return model


def in_sparse_initializer(external):
    indices = helper.make_tensor("i", TensorProto.INT64, [2], [0, 1])
    model = model_of(graph_of([ADD]))
    model.graph.sparse_initializer.append(helper.make_sparse_tensor(tensor(external=external), indices, [2]))
    return model


PLACES = [in_initializer, in_attribute, in_inner_graph, in_function, in_sparse_initializer]


@pytest.mark.parametrize("make", PLACES)
def test_weights_in_other_files_are_refused_before_they_are_read(make, tmp_path, monkeypatch):
    path = tmp_path / "model.onnx"
    np.array([1, 2], np.float32).tofile(tmp_path / "weights.bin")  # ONNX Runtime would take them
    onnx.save_model(make(False), path)
    assert open_session(path).run(None, {"x": np.zeros(2, np.float32)})[0].shape == (2,)
    path.write_bytes(make(True).SerializeToString())
    monkeypatch.delattr(onnxruntime, "InferenceSession")
    with pytest.raises(EmofuseError, match=r"model\.onnx.*other files"):
        open_session(path)


@pytest.mark.parametrize("part", ["data_location", "external_data"])
def test_either_mark_of_external_data_will_do(part, tmp_path):
    model = in_initializer(True)
    model.graph.initializer[0].ClearField(part)
    (tmp_path / "model.onnx").write_bytes(model.SerializeToString())
    with pytest.raises(EmofuseError, match="other files"):
        open_session(tmp_path / "model.onnx")


def test_weights_in_the_place_of_a_repeated_field(tmp_path):
    """A reader of Protocol Buffers joins two graphs of one model to one."""
    both = model_of(graph_of([PASS])).SerializeToString() + in_initializer(True).SerializeToString()
    (tmp_path / "model.onnx").write_bytes(both)
    with pytest.raises(EmofuseError, match="other files"):
        open_session(tmp_path / "model.onnx")


@pytest.mark.parametrize(
    "content", [b"", b"no graph", b"\x3a\xff\xff\x03", b"\x3a", b"\xff" * 20, b"\x3b", b"\x3a\x02\x0a\x05abcde"]
)
def test_what_is_no_model(content, tmp_path):
    (tmp_path / "model.onnx").write_bytes(content)
    with pytest.raises(EmofuseError, match="usable ONNX"):
        open_session(tmp_path / "model.onnx")
    with pytest.raises(EmofuseError, match="usable ONNX"):
        open_session(tmp_path / "absent.onnx")


def test_endless_nesting_is_refused(tmp_path):
    graph = model_of(graph_of([PASS])).graph.SerializeToString()
    for _ in range(2000):
        attribute = b"\x32" + varint(len(graph)) + graph  # a graph in an attribute of a node of a graph
        node = b"\x2a" + varint(len(attribute)) + attribute
        graph = b"\x0a" + varint(len(node)) + node
    (tmp_path / "model.onnx").write_bytes(b"\x3a" + varint(len(graph)) + graph)
    with pytest.raises(EmofuseError, match="usable ONNX"):
        open_session(tmp_path / "model.onnx")


def varint(number):
    digits = []
    while number >= 0x80:
        digits.append(number & 0x7F | 0x80)
        number >>= 7
    return bytes([*digits, number])


@pytest.mark.parametrize("threads", [1, 2])
def test_threads_do_not_spin(threads, tmp_path):
    onnx.save_model(in_initializer(False), tmp_path / "model.onnx")
    options = open_session(tmp_path / "model.onnx", threads).get_session_options()
    assert options.intra_op_num_threads == threads
    assert options.get_session_config_entry("session.intra_op.allow_spinning") == "0"

"""Names of the same file as different systems write them."""

import unicodedata
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from emofuse.errors import EmofuseError
from emofuse.file_names import FileFinder, match_files, name_key, plain_path

SPELLINGS = [
    r"C:\data\sub\Café 1.wav",
    r"\\server\share\sub\Café 1.wav",
    r"sub\Café 1.wav",
    "./sub//Café 1.wav",
    "file:///C:/data/sub/Caf%C3%A9%201.wav",
    "file:///data/sub/Caf%C3%A9%201.wav",
    "/Volumes/data/sub/Cafe\u0301 1.wav",
    "CAFÉ 1.WAV ",
    "Café\u00a01.wav",
    "\u202aCafé 1.wav",
    '"sub/Café 1.wav"',
    "Café 1",
    "cafe\u0301 1",
]


@pytest.mark.parametrize("name", SPELLINGS)
def test_spellings_of_one_file(tmp_path: Path, name: str) -> None:
    file = tmp_path / "sub" / "Café 1.wav"
    assert match_files([file], ["b.wav", name, "Café 2.wav"], tmp_path / "elsewhere") == [[name]]


@pytest.mark.parametrize("name", ["a.mp3", "b.wav", "a.wav.wav", "xa.wav", "", ".", ".."])
def test_other_files_are_not_matched(name: str) -> None:
    assert match_files([Path("a.wav")], [name], Path("t")) == [[]]


def test_exact_matches_win() -> None:
    files = [Path("a.wav"), Path("A.wav")]
    assert match_files(files, ["A.wav", "a.wav"], Path()) == [["a.wav"], ["A.wav"]]
    assert match_files(files, ["a.wav"], Path()) == [["a.wav"], []]  # not the words of another recording
    assert match_files([Path("x/a.wav")], ["A.wav", "a.wav"], Path("y")) == [["a.wav"]]


def test_folders_in_common_decide_between_equal_base_names() -> None:
    names = [rf"D:\corpus\{folder}\a.wav" for folder in "xy"]
    assert match_files([Path("y/a.wav"), Path("X/a.wav")], names, Path()) == [[names[1]], [names[0]]]


@pytest.mark.parametrize(
    ("files", "names"),
    [
        ([Path("z/a.wav")], ["x/a.wav", "y/a.wav"]),
        ([Path("a.WAV")], ["A.wav", "a.wav"]),
        ([Path("x/a.wav"), Path("y/a.wav")], ["a.wav"]),
    ],
)
def test_what_is_not_clear_is_refused_with_the_candidates(files: list[Path], names: list[str]) -> None:
    with pytest.raises(EmofuseError) as error:
        match_files(files, names, Path("t"))
    for candidate in names if len(names) > 1 else files:
        assert str(candidate) in str(error.value)


@given(st.text(max_size=8))
def test_keys_and_plain_paths_are_stable(name: str) -> None:
    assert name_key(name_key(name)) == name_key(name)
    for form in ("NFC", "NFD"):
        assert name_key(unicodedata.normalize(form, name)) == name_key(name)
    assert isinstance(plain_path(name), str)


def test_files_are_found_in_any_case_and_without_ending(tmp_path: Path) -> None:
    (tmp_path / "Audio" / "Anna").mkdir(parents=True)
    for name in ("U1.WAV", "u2.flac", "u2.txt", "u3.wav", "U3.wav", "u4.wav", "u4.mp3"):
        (tmp_path / "Audio" / "Anna" / name).write_bytes(b"x")
    find = FileFinder().find
    folder = tmp_path / "Audio" / "Anna"
    assert find(str(tmp_path / "audio/anna/u1.wav")) == str(folder / "U1.WAV")
    assert find(str(tmp_path / "audio/anna/u2")) == str(folder / "u2.flac")
    assert find(str(folder / "u3.wav")) == str(folder / "u3.wav")
    assert find(str(folder / "u5.wav")) is find(str(tmp_path / "none/u1.wav")) is None
    for name, candidate in (("u3.WAV", "U3.wav"), ("u4", "u4.mp3")):
        with pytest.raises(EmofuseError, match=candidate):
            find(str(folder / name))

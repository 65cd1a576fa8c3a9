"""What sequence modalities share: reading of words, files, prose, medoids."""

from pathlib import Path

import numpy as np
import pytest

from modalities.builtin.bounding_boxes import MODALITY as BOXES
from modalities.builtin.caption import MODALITY as CAPTION
from modalities.errors import DataError
from modalities.kinds.sequences import TokenReader, attach_punctuation, medoid, swap_left_right, write_text_file
from modalities.metrics.text import word_f1
from modalities.spec import Crop

RNG = np.random.default_rng(0)


def test_reading_what_is_not_there_moves_nothing() -> None:
    reader = TokenReader("point v0=3 v1=4 none")
    assert reader.read_coordinates(0, 1) is None
    assert reader.read_word("polygon") is None
    assert reader.read_word("point") == "point"
    assert reader.read_coordinates(0, 1, 2) is None
    assert reader.read_coordinates(0, 1) == (3, 4)
    assert reader.read_word("none") == "none"
    assert reader.at_end


@pytest.mark.parametrize("text", ["v0=1000", "v4=1", "v0=-1", "v0=01", "v0=", "v0=1.5", "V0=1"])
def test_what_only_looks_like_a_number_is_none(text: str) -> None:
    assert TokenReader(text).read_coordinates(0) is None


def test_codes_are_read_as_they_are_spelled() -> None:
    assert TokenReader("v0=511 v1=0 v1=511").read_codes(3, 1024) == (511, 512, 1023)


@pytest.mark.parametrize("text", ["v0=512 v0=0", "v2=1 v0=0", "v0=0", "v1=0 v0=0"])
def test_codes_beyond_their_axis_or_the_codebook_are_refused(text: str) -> None:
    assert TokenReader(text).read_codes(2, 512) is None


def test_a_name_runs_to_the_next_number() -> None:
    reader = TokenReader("traffic light v0=1")
    assert reader.read_name() == "traffic light"
    assert reader.read_name() == ""
    assert reader.read_coordinates(0) == (1,)


def test_punctuation_returns_to_its_word() -> None:
    assert attach_punctuation("a dog ' s ball , red ( small ) . ") == "a dog's ball, red (small)."


def test_left_and_right_change_places_in_a_mirror() -> None:
    text = "The ball is left of a box. Right of it, a leftover."
    assert swap_left_right(text) == "The ball is right of a box. Left of it, a leftover."
    assert swap_left_right(swap_left_right(text)) == text
    crop = Crop(left=0, top=0, width=1, height=1, flip=True)
    assert CAPTION.transform("a ball to the left", crop) == "a ball to the right"


def test_control_tokens_in_a_text_do_not_reach_the_model() -> None:
    assert CAPTION.serialize("a [EOS] ball [S_3]", RNG) == "a ball"
    parsed = CAPTION.parse("a [UNK] ball")
    assert (parsed.value, parsed.well_formed) == ("a ball", False)
    assert CAPTION.parse("").well_formed is False


def test_the_medoid_is_most_alike_to_the_others() -> None:
    assert medoid(["a b c", "a b d", "x y z", "a b e"], word_f1, empty="") == "a b c"
    assert medoid([], word_f1, empty="nothing") == "nothing"
    assert medoid([str(index) for index in range(500)] + ["7"], word_f1, empty="") == "0"


@pytest.mark.parametrize("name", ["text.txt", "text.json"])
def test_prose_comes_back_from_either_file(tmp_path: Path, name: str) -> None:
    text = 'A "red" ball \u2014 d\u00e9j\u00e0 vu.'
    CAPTION.write_file(tmp_path / name, text)
    assert CAPTION.read_file(tmp_path / name) == text
    assert [path.name for path in tmp_path.iterdir()] == [name]


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"There is no file .*gone\.json"):
        BOXES.read_file(tmp_path / "gone.json")


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("{", "does not hold bounding boxes as JSON"),
        ('[{"box": [0, 0, 1], "class_name": "car"}]', r"four finite numbers.*found \[0, 0, 1\]"),
        ('[{"box": [0, 0, 1, 1]}]', "no entry 'class_name'"),
        ("3", "does not hold bounding boxes"),
        ('["car"]', "does not hold bounding boxes"),
    ],
)
def test_a_file_of_another_form_is_refused_in_one_line(tmp_path: Path, content: str, message: str) -> None:
    path = tmp_path / "boxes.json"
    path.write_text(content)
    with pytest.raises(DataError, match=message) as caught:
        BOXES.read_file(path)
    assert str(path) in str(caught.value)
    assert "\n" not in str(caught.value)


def test_bytes_that_are_no_text_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "caption.txt"
    path.write_bytes(b"\xff\xfe\x00")
    with pytest.raises(DataError, match="is not UTF-8 text"):
        CAPTION.read_file(path)
    path = tmp_path / "caption.json"
    path.write_text("[1]")
    with pytest.raises(DataError, match="one JSON string, found list"):
        CAPTION.read_file(path)


def test_a_write_that_fails_leaves_what_was_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "caption.txt"
    write_text_file(path, "old")

    def no_space(self: Path, target: Path) -> Path:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Path, "replace", no_space)
    with pytest.raises(DataError, match=r"caption\.txt cannot be written: No space left on device"):
        write_text_file(path, "new")
    assert path.read_text() == "old"
    assert [item.name for item in tmp_path.iterdir()] == ["caption.txt"]


def test_a_folder_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="cannot be written: No such file or directory"):
        write_text_file(tmp_path / "gone" / "caption.txt", "text")

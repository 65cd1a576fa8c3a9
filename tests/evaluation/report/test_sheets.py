import io
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from evaluation.config import EvaluationConfig
from evaluation.report.sheets import comparison_sheets, render_predictions, render_round_trip, validation_sheet
from evaluation.route import Route
from evaluation.samples import EvalSplit
from modalities.errors import DataError
from modalities.rendering.sheet import ContactSheet, encode_png, read_renderings, render_tile, write_renderings
from networks.fourm.model import FourM
from networks.tokenizers.codec import Codec


def test_a_sheet_has_a_row_for_each_sample_and_a_column_for_each_answer(
    codec: Codec, held_out: EvalSplit, config: EvaluationConfig
) -> None:
    shades = [np.full((8, 8), level, dtype=np.float32) for level in (0.0, 0.5, 1.0)]
    shade, glow = Route(source="rgb", target="shade"), Route(source="rgb", target="glow")
    predicted = {
        "few": render_predictions(codec, {shade: shades}),
        "many": render_predictions(codec, {shade: shades, glow: shades}),
    }
    found = comparison_sheets(codec, held_out, predicted, config)
    assert [sheet.title for sheet in found] == ["RGB to Shade", "RGB to Glow <b>"]
    assert found[0].columns == ("RGB", "truth", "tokenizer", "few", "many")
    assert found[1].columns == ("RGB", "truth", "tokenizer", "many")
    assert found[1].note == "(proxy labels)"
    assert len(found[0].rows) == 3
    # The rounded truth is what the tokenizer can say.
    truth, trip = (np.asarray(found[0].rows[0][column], dtype=float) for column in (1, 2))
    assert np.abs(truth - trip).max() <= 0.06 * 255
    assert np.asarray(found[0].rows[1][3], dtype=float).mean() == pytest.approx(127, abs=1)


def test_a_sheet_becomes_one_picture_in_which_small_pictures_stay_sharp() -> None:
    board = np.zeros((2, 2, 3), dtype=np.uint8)
    board[0, 0] = 255
    sheet = ContactSheet(title="T", columns=("a", "b"), rows=((board, "some words " * 40), (board, "")))
    image = sheet.image(side=64)
    assert image.size == (10 + 2 * 74, 60 + 2 * 74 + 10)
    cell = np.asarray(image)[60:124, 10:74]
    assert (cell[:32, :32] == 255).all()
    assert (cell[32:] == 0).all()


def test_a_long_title_does_not_run_into_the_next() -> None:
    titles = ("ImageBind features (proxy)", "")
    image = np.asarray(ContactSheet(title="T", columns=titles, rows=(("", ""),)).image())
    assert (image[32:58, 10:138] < 250).any()
    assert (image[32:58, 146:] == 255).all()


def test_a_large_picture_is_made_smaller_by_averaging() -> None:
    wide = np.zeros((256, 256, 3), dtype=np.uint8)
    wide[::2] = 200
    assert np.asarray(render_tile(wide, 64)).std() < 1
    assert np.asarray(render_tile(wide, 64)).mean() == pytest.approx(100, abs=1)


def test_drawings_come_back_from_their_file(tmp_path: Path) -> None:
    picture = np.random.default_rng(0).integers(0, 256, size=(5, 7, 3), dtype=np.uint8)
    write_renderings(tmp_path / "drawings.json", {"rgb->shade": [picture], "rgb->caption": ["a < b"]})
    found = read_renderings(tmp_path / "drawings.json")
    np.testing.assert_array_equal(found["rgb->shade"][0], picture)
    assert found["rgb->caption"] == ["a < b"]


@pytest.mark.parametrize("content", ["[]", '{"a": [{}]}', '{"a": [{"png": "AAAA"}]}'])
def test_a_file_of_something_else_is_an_error_that_names_it(tmp_path: Path, content: str) -> None:
    (tmp_path / "drawings.json").write_text(content)
    with pytest.raises(DataError, match=r"drawings\.json does not hold drawings"):
        read_renderings(tmp_path / "drawings.json")


def test_the_round_trip_of_a_text_is_the_text(codec: Codec, held_out: EvalSplit) -> None:
    assert render_round_trip(codec, held_out, "caption", 5) == held_out.first_values("caption", 5)


def test_a_picture_of_the_validation_shows_truth_beside_prediction(
    codec: Codec, held_out: EvalSplit, config: EvaluationConfig, learned: FourM
) -> None:
    sheet = validation_sheet(learned, codec, held_out, ["shade", "caption"], config, "rgb")
    assert sheet.columns == ("RGB", "Shade", "predicted", "Caption", "predicted")
    assert len(sheet.rows) == 3
    assert [row[3] for row in sheet.rows] == held_out.first_values("caption", 3)
    assert (
        np.abs(np.stack([row[1] for row in sheet.rows]).astype(float) - np.stack([row[2] for row in sheet.rows])).mean()
        < 30
    )
    with Image.open(io.BytesIO(encode_png(sheet.image()))) as image:
        assert image.format == "PNG"

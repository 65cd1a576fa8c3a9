from evaluation.report.rows import metric_rows, modality_rows
from tests.evaluation.report.fake_report import fake_report


def test_every_modality_has_its_row() -> None:
    report = fake_report()
    rows = metric_rows(report.scores, report.modalities, list(report.arms))
    found = {row.name: row for row in modality_rows(report.scores, report.modalities, rows, "rgb")}
    assert list(found) == list(report.modalities)
    glow, probed, caption = found["glow"], found["t5_caption"], found["caption"]
    assert glow.is_proxy
    assert glow.masked is not None
    assert set(glow.masked.arms) == {"fourm_21"}
    assert glow.whole is not None
    assert glow.decoded is not None
    assert glow.decoded.metric == "rmse"
    assert probed.round_trip is None
    assert probed.probe is not None
    assert probed.probe.arms["fourm_21"].mean == 0.25
    assert caption.round_trip is not None
    assert caption.round_trip.metric == "bleu"


def test_rows_follow_the_modalities_and_masked_tokens_come_last() -> None:
    report = fake_report()
    rows = metric_rows(report.scores, report.modalities, list(report.arms))
    routes = list(dict.fromkeys(f"{row.route} {row.target}" for row in rows))
    assert routes == [
        "rgb->rgb rgb",
        "rgb->shade shade",
        "rgb->glow glow",
        "rgb->caption caption",
        "t5_caption->caption caption",
        "masked rgb",
        "masked shade",
        "masked glow",
        "masked caption",
    ]

"""Each adapter on a tiny random model, against calling the model by hand; and what is said where one does not fit."""

import json
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from lightning_modules.labelling.choose import expert_labeller, known_experts
from lightning_modules.labelling.weights import find_model, hash_weights, read_model_license
from modalities.checks import check_value
from modalities.errors import ConfigError, DataError, UserError
from modalities.geometry.boxes import Box
from modalities.kinds.keypoints import Keypoints
from modalities.labellers.base import with_settings
from modalities.layouts import ScaleConfig, Text
from modalities.registry import default_registry
from modalities.spec import Modality, Provenance
from modalities.tokenizer_specs import WordPiece
from tests.lightning_modules.labelling import tiny_models
from tests.lightning_modules.labelling.tiny_models import transformers

FIVE_POINTS = Keypoints(
    name="points",
    title="Points",
    layout=Text(max_tokens=64),
    tokenizer=WordPiece(),
    names=("nose", "left_hand", "right_hand", "left_foot", "right_foot"),
)

NUMBERS = "zero one two three four five six seven eight nine ten eleven twelve thirteen fourteen fifteen"


@pytest.fixture
def picture() -> Any:
    return np.random.default_rng(3).integers(0, 256, (40, 60, 3), dtype=np.uint8)


def modality(name: str, **changes: Any) -> Modality:
    return replace(default_registry()[name], **changes)


def narrow(name: str, channels: int, size: int = 32) -> Modality:
    return default_registry()[name].scaled(ScaleConfig(size=size, patch=16, max_channels=channels))


def label(kind: Modality, folder: Path, values: dict[str, Any], **settings: Any) -> Any:
    labeller = with_settings(expert_labeller(kind, str(folder)), settings)
    assert labeller.provenance is Provenance.expert
    assert labeller.license == "apache-2.0"
    value = labeller.label(values)
    return None if value is None else check_value(kind, value, "label")


def resized(values: torch.Tensor, shape: tuple[int, int]) -> Any:
    return torch.nn.functional.interpolate(values, size=shape, mode="bilinear", align_corners=False)[0].numpy()


def test_metric_depth_is_the_network_s(tmp_path: Path, picture: Any) -> None:
    folder = tiny_models.depth_anything(tmp_path, "metric")
    model = transformers.DepthAnythingForDepthEstimation.from_pretrained(folder).eval()
    processor = transformers.DPTImageProcessorPil.from_pretrained(folder)
    with torch.inference_mode():
        predicted = model(**processor(images=picture, return_tensors="pt")).predicted_depth
    found = label(modality("depth"), folder, {"rgb": picture})
    assert found.shape == (40, 60)
    assert np.allclose(found, resized(predicted[:, None], (40, 60))[0], atol=1e-5)


def test_relative_depth_is_mapped_to_the_range_and_that_is_said(tmp_path: Path, picture: Any) -> None:
    folder = tiny_models.depth_anything(tmp_path)
    kind = modality("depth", near=0.5, far=8.0)
    found = label(kind, folder, {"rgb": picture})
    assert (found.min(), found.max()) == pytest.approx((0.5, 8.0))
    inverse = label(kind, folder, {"rgb": picture}, meaning="metric")
    expected = np.interp(inverse, (inverse.min(), inverse.max()), (1 / 8, 1 / 0.5))
    assert np.allclose(1 / found, expected, atol=1e-4)
    (note,) = expert_labeller(kind, str(folder)).notes
    assert "no measured metres" in note


def test_classes_of_a_semantic_network_are_its_own(tmp_path: Path, picture: Any) -> None:
    folder = tiny_models.segformer(tmp_path)
    labeller = expert_labeller(modality("semseg"), str(folder))
    assert labeller.class_names == ("ground", "sky", "N/A", "dog")
    model = transformers.SegformerForSemanticSegmentation.from_pretrained(folder).eval()
    processor = transformers.SegformerImageProcessorPil.from_pretrained(folder)
    with torch.inference_mode():
        outputs = model(**processor(images=picture, return_tensors="pt"))
    (expected,) = processor.post_process_semantic_segmentation(outputs, target_sizes=[(40, 60)])
    found: Any = labeller.label({"rgb": picture})
    assert np.array_equal(found, expected.numpy())
    assert len(np.unique(found)) > 1


def test_masks_of_queries_become_a_class_map(tmp_path: Path, picture: Any) -> None:
    folder = tiny_models.mask2former(tmp_path)
    model = transformers.Mask2FormerForUniversalSegmentation.from_pretrained(folder).eval()
    processor = transformers.Mask2FormerImageProcessorPil.from_pretrained(folder)
    with torch.inference_mode():
        outputs = model(pixel_values=processor(images=picture, return_tensors="pt")["pixel_values"])
    classes, masks = outputs.class_queries_logits[0].softmax(-1), outputs.masks_queries_logits[0].sigmoid()
    scores = torch.stack([sum(classes[q, v] * masks[q] for q in range(5)) for v in range(4)])
    expected = resized(scores[None], (40, 60)).argmax(0)
    found = label(modality("semseg"), folder, {"rgb": picture})
    assert (found == expected).mean() > 0.99


@pytest.mark.parametrize("make", [tiny_models.yolos, tiny_models.rt_detr])
def test_boxes_are_the_detector_s(tmp_path: Path, picture: Any, make: Callable[[Path], Path]) -> None:
    folder = make(tmp_path)
    kind = modality("bounding_boxes", min_score=0.0, class_names=())
    threshold = 0.3 if make is tiny_models.yolos else 0.5
    found = label(kind, folder, {"rgb": picture}, threshold=threshold)
    model = transformers.AutoModelForObjectDetection.from_pretrained(folder).eval()
    processor = transformers.AutoImageProcessor.from_pretrained(folder, backend="pil")
    with torch.inference_mode():
        outputs = model(**processor(images=picture, return_tensors="pt"))
    if make is tiny_models.yolos:
        scores, labels = outputs.logits[0].softmax(-1)[:, :-1].max(-1)
        rows = torch.arange(len(scores))
    else:
        scores, flat = outputs.logits[0].sigmoid().flatten().topk(8)
        rows, labels = flat // 4, flat % 4
    centers = outputs.pred_boxes[0][rows]
    corners = torch.cat([centers[:, :2] - centers[:, 2:] / 2, centers[:, :2] + centers[:, 2:] / 2], 1).clamp(0, 1)
    expected = {
        (tiny_models.CLASSES[int(c)], round(float(s), 4), *(round(float(edge), 4) for edge in box))
        for c, s, box in zip(labels, scores, corners, strict=True)
        if s > threshold and int(c) != 2
    }
    assert expected
    assert {(b.class_name, round(b.score, 4), *(round(edge, 4) for edge in b.box)) for b in found} == expected


def test_instances_are_masks_that_the_network_is_sure_of(tmp_path: Path, picture: Any) -> None:
    folder = tiny_models.sam(tmp_path)
    values = {"rgb": picture}
    options = {"points_per_side": 3, "points_per_batch": 4, "min_iou": -9.0, "min_stability": 0.0}
    everything = label(modality("sam_instances"), folder, values, **options, max_overlap=1.0)
    assert everything.shape[1:] == (40, 60)
    assert len(everything) > len(label(modality("sam_instances"), folder, values, **options, max_overlap=0.3)) > 0
    assert len(label(modality("sam_instances"), folder, values, **{**options, "min_iou": 9.0})) == 0
    model = transformers.SamModel.from_pretrained(folder).eval()
    processor = transformers.SamImageProcessorPil.from_pretrained(folder)
    pixels = processor(images=picture, return_tensors="pt")
    point = torch.tensor([[[[30.0 * 64 / 60, 20.0 * 64 / 60]]]])
    with torch.inference_mode():
        outputs = model(pixel_values=pixels["pixel_values"], input_points=point)
    (masks,) = processor.post_process_masks(
        outputs.pred_masks, pixels["original_sizes"], pixels["reshaped_input_sizes"]
    )
    # The middle point of the grid is asked: its masks are among those found.
    agreement = [
        max((mask == one).mean() for one in everything) for mask in np.asarray(masks[0]) if 0 < mask.sum() < mask.size
    ]
    assert agreement
    assert min(agreement) > 0.99


@pytest.mark.parametrize("make", [tiny_models.dinov2, tiny_models.dinov3])
def test_features_of_dino_cover_the_picture(tmp_path: Path, picture: Any, make: Callable[[Path], Path]) -> None:
    folder = make(tmp_path)
    found = label(narrow("dinov2", 16), folder, {"rgb": picture})
    assert found.shape == (4, 6, 16)
    # 40 x 60 pixels with a shorter side of 32 and patches of 8 are 32 x 48.
    image = np.asarray(Image.fromarray(picture).resize((48, 32), 3 if make is tiny_models.dinov2 else 2))
    pixels = (image / 255 - _mean(folder, "image_mean")) / _mean(folder, "image_std")
    model = transformers.AutoModel.from_pretrained(folder).eval()
    with torch.inference_mode():
        states = model(torch.from_numpy(pixels).float().permute(2, 0, 1)[None]).last_hidden_state[0].numpy()
    skipped = 3 if make is tiny_models.dinov3 else 1
    assert np.allclose(found.reshape(24, 16), states[skipped:], atol=1e-4)
    vector = label(narrow("dinov2_global", 16), folder, {"rgb": picture}, size=32)
    assert np.allclose(vector, states[0], atol=1e-4)


def _mean(folder: Path, name: str) -> Any:
    return np.array(json.loads((folder / "preprocessor_config.json").read_text())[name])


def test_features_of_clip_lie_in_the_space_of_texts(tmp_path: Path, picture: Any) -> None:
    folder = tiny_models.clip(tmp_path)
    square = np.asarray(Image.fromarray(picture).resize((32, 32)))
    model = transformers.CLIPModel.from_pretrained(folder).eval()
    processor = transformers.CLIPImageProcessorPil.from_pretrained(folder)
    pixels = processor(images=square, do_center_crop=False, return_tensors="pt")["pixel_values"]
    with torch.inference_mode():
        states = model.vision_model(pixel_values=pixels).last_hidden_state
        expected = model.visual_projection(model.vision_model.post_layernorm(states))[0]
    found = label(narrow("clip", 12), folder, {"rgb": square})
    assert found.shape == (4, 4, 12)
    assert np.allclose(found.reshape(16, 12), expected[1:].numpy(), atol=1e-4)
    vector = label(narrow("dinov2_global", 12), folder, {"rgb": square}, size=32)
    assert np.allclose(vector, expected[0].numpy(), atol=1e-4)


def test_features_of_siglip_have_no_class_token(tmp_path: Path, picture: Any) -> None:
    folder = tiny_models.siglip(tmp_path)
    square = np.asarray(Image.fromarray(picture).resize((32, 32)))
    model = transformers.SiglipVisionModel.from_pretrained(folder).eval()
    pixels = torch.from_numpy(square / 255.0).float().permute(2, 0, 1)[None] * 2 - 1
    with torch.inference_mode():
        outputs = model(pixel_values=pixels)
    found = label(narrow("clip", 16), folder, {"rgb": square})
    assert np.allclose(found.reshape(16, 16), outputs.last_hidden_state[0].numpy(), atol=1e-4)
    vector = label(narrow("dinov2_global", 16), folder, {"rgb": square}, size=32)
    assert np.allclose(vector, outputs.pooler_output[0].numpy(), atol=1e-4)


def test_embeddings_of_a_caption_end_with_its_end_token(tmp_path: Path) -> None:
    folder = tiny_models.t5(tmp_path)
    kind = default_registry()["t5_caption"].scaled(ScaleConfig(max_channels=12, max_tokens=5))
    model = transformers.T5EncoderModel.from_pretrained(folder).eval()
    words = {"<pad>": 0, "</s>": 1, "<unk>": 2, "a": 3, "red": 4, "ball": 5, "on": 6, "the": 7, "floor": 8}

    def by_hand(text: str) -> Any:
        with torch.inference_mode():
            return model(torch.tensor([[words.get(word, 2) for word in text.split()]])).last_hidden_state[0].numpy()

    found = label(kind, folder, {"caption": "a red moon"})
    assert np.allclose(found, by_hand("a red moon </s>"), atol=1e-5)
    long = label(kind, folder, {"caption": "a red ball on the floor"})
    assert np.allclose(long, by_hand("a red ball on </s>"), atol=1e-5)


def test_points_of_people_lie_in_their_boxes(tmp_path: Path, picture: Any) -> None:
    folder = tiny_models.vitpose(tmp_path)
    boxes = (
        Box(box=(0.1, 0.2, 0.5, 0.9), class_name="person"),
        Box(box=(0.5, 0.1, 0.9, 0.9), class_name="dog"),
        Box(box=(0.6, 0.1, 0.9, 0.8), class_name="person"),
    )
    values = {"rgb": picture, "bounding_boxes": boxes}
    found = label(FIVE_POINTS, folder, values)
    model = transformers.VitPoseForPoseEstimation.from_pretrained(folder).eval()
    processor = transformers.VitPoseImageProcessorPil.from_pretrained(folder)
    pixels = [[0.1 * 60, 0.2 * 40, 0.4 * 60, 0.7 * 40], [0.6 * 60, 0.1 * 40, 0.3 * 60, 0.7 * 40]]
    with torch.inference_mode():
        outputs = model(**processor(images=picture, boxes=[np.array(pixels)], return_tensors="pt"))
    (expected,) = processor.post_process_pose_estimation(outputs, boxes=[np.array(pixels)])
    assert found.shape == (2, 5, 3)
    for person, points in zip(expected, found, strict=True):
        assert np.allclose(points[:, :2] * [60, 40], np.asarray(person["keypoints"]), atol=0.01)
        assert np.allclose(points[:, 2], np.asarray(person["scores"]).reshape(-1), atol=1e-5)
    assert label(FIVE_POINTS, folder, {"rgb": picture, "bounding_boxes": boxes[1:2]}) is None


def test_inverse_depth_of_dpt_is_turned_into_a_range(tmp_path: Path, picture: Any) -> None:
    folder = tiny_models.dpt(tmp_path)
    model = transformers.DPTForDepthEstimation.from_pretrained(folder).eval()
    processor = transformers.DPTImageProcessorPil.from_pretrained(folder)
    with torch.inference_mode():
        predicted = model(**processor(images=picture, return_tensors="pt")).predicted_depth
    inverse = resized(predicted[:, None], (40, 60))[0]
    found = label(modality("depth", near=1.0, far=5.0), folder, {"rgb": picture})
    expected = np.interp(inverse, (inverse.min(), inverse.max()), (1 / 5, 1.0))
    assert np.allclose(1 / found, expected, atol=1e-4)


def test_depth_of_glpn_is_in_metres(tmp_path: Path) -> None:
    picture = np.random.default_rng(3).integers(0, 256, (64, 96, 3), dtype=np.uint8)
    folder = tiny_models.glpn(tmp_path)
    model = transformers.GLPNForDepthEstimation.from_pretrained(folder).eval()
    processor = transformers.GLPNImageProcessorPil.from_pretrained(folder)
    with torch.inference_mode():
        predicted = model(**processor(images=picture, return_tensors="pt")).predicted_depth
    found = label(modality("depth"), folder, {"rgb": picture})
    assert np.allclose(found, resized(predicted[:, None], (64, 96))[0], atol=1e-4)


def test_oneformer_is_told_its_task(tmp_path: Path, picture: Any) -> None:
    folder = tiny_models.oneformer(tmp_path)
    model = transformers.OneFormerForUniversalSegmentation.from_pretrained(folder).eval()
    image = np.asarray(Image.fromarray(picture).resize((64, 64), Image.Resampling.BILINEAR))
    pixels = torch.from_numpy(image / 255.0 * 2 - 1).float().permute(2, 0, 1)[None]
    # the task is semantic </s>, and padding to eight: ids follow <pad>, </s> and <unk>.
    task = torch.tensor([[3, 4, 5, 6, 1, 0, 0, 0]])
    with torch.inference_mode():
        outputs = model(pixel_values=pixels, task_inputs=task)
    classes, masks = outputs.class_queries_logits[0].softmax(-1), outputs.masks_queries_logits[0].sigmoid()
    scores = torch.stack([sum(classes[q, v] * masks[q] for q in range(5)) for v in range(4)])
    found = label(modality("semseg"), folder, {"rgb": picture})
    assert (found == resized(scores[None], (40, 60)).argmax(0)).mean() > 0.99


def test_a_caption_is_the_greedy_one(tmp_path: Path, picture: Any) -> None:
    folder = tiny_models.blip(tmp_path)
    model = transformers.BlipForConditionalGeneration.from_pretrained(folder).eval()
    processor = transformers.BlipImageProcessorPil.from_pretrained(folder)
    pixels = processor(images=picture, return_tensors="pt")["pixel_values"]
    ids = [3]
    with torch.inference_mode():
        states = model.vision_model(pixel_values=pixels).last_hidden_state
        while len(ids) < 6 and ids[-1] != 1:
            logits = model.text_decoder(torch.tensor([ids]), encoder_hidden_states=states).logits
            ids.append(int(logits[0, -1].argmax()))
    names = ["<pad>", "</s>", "<unk>", "<s>", *NUMBERS.split()]
    expected = " ".join(names[index] for index in ids if index > 3)
    assert expected
    assert label(modality("caption"), folder, {"rgb": picture}, max_new_tokens=5) == expected


def test_florence_is_asked_for_a_caption(tmp_path: Path, picture: Any) -> None:
    folder = tiny_models.florence2(tmp_path)
    model = transformers.Florence2ForConditionalGeneration.from_pretrained(folder).eval()
    processor = transformers.CLIPImageProcessorPil(size={"height": 64, "width": 64}, do_center_crop=False)
    pixels = processor(images=picture, return_tensors="pt")["pixel_values"]
    # Five places of the picture, then the processor's question for <CAPTION>, and the end token.
    question = torch.tensor([[*[18] * 5, 3, 12, 13, 14, 15, 16, 17, 1]])
    ids = [int(model.generation_config.decoder_start_token_id)]
    with torch.inference_mode():
        # The last of five tokens is the end token, which the model's settings force.
        while len(ids) < 5:
            outputs = model(
                input_ids=question, pixel_values=pixels, decoder_input_ids=torch.tensor([ids]), use_cache=False
            )
            ids.append(int(outputs.logits[0, -1].argmax()))
    names = ["<pad>", "</s>", "<unk>", "<s>", *NUMBERS.split()[:8], *["What", "does", "the", "image", "describe", "?"]]
    expected = " ".join(names[index] for index in ids[1:] if 3 < index < 18)
    assert expected
    assert label(modality("caption"), folder, {"rgb": picture}, max_new_tokens=5) == expected


def test_a_model_of_another_kind_is_refused_with_those_that_fit(tmp_path: Path) -> None:
    folder = tiny_models.t5(tmp_path)
    with pytest.raises(ConfigError, match="is a t5, which does not make depth: expected one of depth_anything, dpt"):
        expert_labeller(modality("depth"), str(folder))
    with pytest.raises(ConfigError, match=r"No model of transformers makes 'normals'.* describe an \.onnx"):
        expert_labeller(modality("normals"), str(folder))


def test_vectors_of_another_width_are_refused(tmp_path: Path) -> None:
    folder = tiny_models.dinov2(tmp_path)
    with pytest.raises(ConfigError, match="gives vectors of 16 numbers, dinov2 takes 768"):
        expert_labeller(modality("dinov2"), str(folder))


def test_a_folder_without_the_weights_of_the_head_is_refused(tmp_path: Path) -> None:
    folder = tiny_models.segformer(tmp_path / "whole")
    model = transformers.SegformerModel.from_pretrained(folder)
    model.save_pretrained(tmp_path / "part")
    config = json.loads((folder / "config.json").read_text())
    (tmp_path / "part" / "config.json").write_text(json.dumps(config))
    (tmp_path / "part" / "preprocessor_config.json").write_text((folder / "preprocessor_config.json").read_text())
    with pytest.raises(DataError, match=r"lacks .* weights of SegformerForSemanticSegmentation, such as decode_head"):
        expert_labeller(modality("semseg"), str(tmp_path / "part")).prepare()


@pytest.mark.parametrize(
    ("model", "message"),
    [
        ("/no/such/folder", "There is no folder /no/such/folder: expected a model's folder, or a name on the Hub"),
        ("nothing", "There is no folder nothing"),
    ],
)
def test_a_model_that_is_not_there_is_one_line(model: str, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        find_model(model)


def test_a_hub_that_does_not_answer_is_one_line(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    hub = pytest.importorskip("huggingface_hub")

    def fail(*_: object, **__: object) -> None:
        raise OSError("no route to host")

    monkeypatch.setattr(hub, "snapshot_download", fail)
    with pytest.raises(ConfigError, match=r"owner/model is no folder here, and the Hub does not give it \(OSError: no"):
        find_model("owner/model")


def test_a_missing_package_is_one_line(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    folder = tiny_models.t5(tmp_path)
    labeller = expert_labeller(modality("t5_caption").scaled(ScaleConfig(max_channels=12)), str(folder))
    monkeypatch.setitem(__import__("sys").modules, "transformers", None)
    with pytest.raises(UserError, match=r"needs the package transformers: pip install 'fourm-lab\[experts\]'"):
        labeller.prepare()


def test_a_device_that_is_not_there_is_one_line(tmp_path: Path) -> None:
    folder = tiny_models.t5(tmp_path)
    labeller = expert_labeller(modality("t5_caption").scaled(ScaleConfig(max_channels=12)), str(folder))
    with pytest.raises(ConfigError, match="There is no device 'cuda:7' here"):
        with_settings(labeller, {"device": "cuda:7"}).prepare()


def test_the_hash_follows_the_weights(tmp_path: Path) -> None:
    folder = tiny_models.t5(tmp_path / "one")
    before = hash_weights(folder)
    hash_weights.cache_clear()
    model = transformers.T5EncoderModel.from_pretrained(folder)
    model.encoder.final_layer_norm.weight.data += 1
    model.save_pretrained(folder)
    assert hash_weights(folder) != before
    with pytest.raises(DataError, match="has no weights"):
        hash_weights(tmp_path)


def test_the_hash_follows_the_settings_beside_the_weights(tmp_path: Path) -> None:
    folder = tiny_models.depth_anything(tmp_path / "one")
    before = hash_weights(folder)
    file = folder / "preprocessor_config.json"
    file.write_text(json.dumps({**json.loads(file.read_text()), "image_mean": [0.1, 0.2, 0.3]}))
    hash_weights.cache_clear()
    assert hash_weights(folder) != before


def test_a_model_is_the_same_wherever_it_lies(tmp_path: Path) -> None:
    folder = tiny_models.depth_anything(tmp_path / "one")
    shutil.copytree(folder, tmp_path / "two")
    one, two = (expert_labeller(modality("depth"), str(place)) for place in (folder, tmp_path / "two"))
    assert one.fingerprint() == two.fingerprint()
    assert one.fingerprint() != with_settings(one, {"meaning": "metric"}).fingerprint()


def test_a_model_without_a_card_has_an_unknown_licence(tmp_path: Path) -> None:
    assert read_model_license(tmp_path) == "unknown"
    (tmp_path / "README.md").write_text("license: mit\n")
    assert read_model_license(tmp_path) == "unknown"


def test_the_known_types_are_listed_by_kind() -> None:
    assert known_experts()["Depth"] == ("depth_anything", "dpt", "glpn")

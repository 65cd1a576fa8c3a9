"""Folders of tiny models with random weights, as transformers saves them."""

import json
from pathlib import Path
from typing import Any

import pytest
import torch

transformers = pytest.importorskip("transformers")

VIT = {
    "hidden_size": 16,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "intermediate_size": 24,
    "image_size": 32,
    "patch_size": 8,
}
CLASSES = {0: "ground", 1: "sky", 2: "N/A", 3: "dog"}
HEADER = "---\nlicense: apache-2.0\ntags: [x]\n---\nA model.\n"


def save(folder: Path, model: Any, processor: Any = None, std: float = 0.5, **config: Any) -> Path:
    """Save a model with its processor, or with a ``preprocessor_config.json`` of these entries."""
    torch.manual_seed(0)
    for weights in model.parameters():
        # Layers of zeros would hide mistakes; biases would give each pixel the same.
        if weights.ndim > 1:
            torch.nn.init.normal_(weights, std=std)
    model.save_pretrained(folder)
    if processor is not None:
        processor.save_pretrained(folder)
    if config:
        (folder / "preprocessor_config.json").write_text(json.dumps(config))
    (folder / "README.md").write_text(HEADER)
    return folder


def depth_anything(folder: Path, kind: str = "relative") -> Path:
    """Depth Anything on a tiny DINOv2."""
    backbone = transformers.Dinov2Config(**VIT, out_features=["stage1", "stage2"], reshape_hidden_states=False)
    config = transformers.DepthAnythingConfig(
        backbone_config=backbone,
        patch_size=8,
        reassemble_hidden_size=16,
        reassemble_factors=[2, 1],
        neck_hidden_sizes=[8, 8],
        fusion_hidden_size=8,
        head_hidden_size=8,
        depth_estimation_type=kind,
        max_depth=10,
    )
    processor = transformers.DPTImageProcessorPil(
        size={"height": 32, "width": 32}, keep_aspect_ratio=True, ensure_multiple_of=8
    )
    return save(folder, transformers.DepthAnythingForDepthEstimation(config), processor)


def segformer(folder: Path) -> Path:
    """SegFormer with four classes."""
    config = transformers.SegformerConfig(
        num_encoder_blocks=2,
        depths=[1, 1],
        sr_ratios=[2, 1],
        hidden_sizes=[8, 16],
        num_attention_heads=[1, 2],
        patch_sizes=[7, 3],
        strides=[4, 2],
        mlp_ratios=[2, 2],
        decoder_hidden_size=8,
        id2label=CLASSES,
        label2id={name: index for index, name in CLASSES.items()},
    )
    processor = transformers.SegformerImageProcessorPil(size={"height": 32, "width": 32})
    return save(folder, transformers.SegformerForSemanticSegmentation(config), processor)


def mask2former(folder: Path) -> Path:
    """Mask2Former on a tiny Swin."""
    backbone = transformers.SwinConfig(
        embed_dim=8,
        depths=[1, 1, 1, 1],
        num_heads=[1, 1, 1, 1],
        window_size=2,
        image_size=32,
        out_features=["stage1", "stage2", "stage3", "stage4"],
    )
    config = transformers.Mask2FormerConfig(
        backbone_config=backbone,
        feature_size=32,
        mask_feature_size=32,
        hidden_dim=32,
        encoder_feedforward_dim=8,
        encoder_layers=1,
        decoder_layers=2,
        num_attention_heads=2,
        dim_feedforward=8,
        num_queries=5,
        id2label=CLASSES,
        label2id={name: index for index, name in CLASSES.items()},
    )
    processor = transformers.Mask2FormerImageProcessorPil(size={"height": 64, "width": 64})
    return save(folder, transformers.Mask2FormerForUniversalSegmentation(config), processor)


def yolos(folder: Path) -> Path:
    """YOLOS with four classes."""
    config = transformers.YolosConfig(
        **{**VIT, "image_size": [32, 48]},
        num_detection_tokens=6,
        id2label=CLASSES,
        label2id={name: index for index, name in CLASSES.items()},
    )
    processor = transformers.YolosImageProcessorPil(size={"shortest_edge": 32, "longest_edge": 48})
    return save(folder, transformers.YolosForObjectDetection(config), processor)


def rt_detr(folder: Path) -> Path:
    """RT-DETR on a tiny ResNet."""
    backbone = transformers.RTDetrResNetConfig(
        embedding_size=8,
        hidden_sizes=[8, 8, 8, 8],
        depths=[1, 1, 1, 1],
        layer_type="basic",
        out_features=["stage2", "stage3", "stage4"],
    )
    config = transformers.RTDetrConfig(
        backbone_config=backbone,
        encoder_hidden_dim=16,
        encoder_in_channels=[8, 8, 8],
        encoder_ffn_dim=16,
        encoder_attention_heads=2,
        d_model=16,
        decoder_in_channels=[16, 16, 16],
        decoder_ffn_dim=16,
        decoder_layers=1,
        decoder_attention_heads=2,
        num_queries=8,
        num_denoising=0,
        id2label=CLASSES,
        label2id={name: index for index, name in CLASSES.items()},
    )
    processor = transformers.RTDetrImageProcessorPil(size={"height": 64, "width": 64})
    return save(folder, transformers.RTDetrForObjectDetection(config), processor)


def sam(folder: Path) -> Path:
    """SAM for pictures of 64 pixels."""
    vision = transformers.SamVisionConfig(
        hidden_size=16,
        output_channels=16,
        num_hidden_layers=1,
        num_attention_heads=2,
        image_size=64,
        patch_size=8,
        window_size=0,
        global_attn_indexes=[0],
        mlp_dim=16,
        num_pos_feats=8,
    )
    prompt = transformers.SamPromptEncoderConfig(hidden_size=16, image_size=64, patch_size=8, mask_input_channels=4)
    decoder = transformers.SamMaskDecoderConfig(
        hidden_size=16, mlp_dim=16, num_hidden_layers=1, num_attention_heads=2, iou_head_hidden_dim=8
    )
    config = transformers.SamConfig(
        vision_config=vision.to_dict(), prompt_encoder_config=prompt.to_dict(), mask_decoder_config=decoder.to_dict()
    )
    processor = transformers.SamImageProcessorPil(size={"longest_edge": 64}, pad_size={"height": 64, "width": 64})
    return save(folder, transformers.SamModel(config), processor)


def clip(folder: Path) -> Path:
    """CLIP, both towers."""
    text = {"hidden_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 16}
    config = transformers.CLIPConfig(vision_config=VIT, text_config={**text, "vocab_size": 50}, projection_dim=12)
    return save(folder, transformers.CLIPModel(config), transformers.CLIPImageProcessorPil(size={"shortest_edge": 32}))


def siglip(folder: Path) -> Path:
    """SigLIP, both towers."""
    text = {"hidden_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 16}
    config = transformers.SiglipConfig(vision_config=VIT, text_config={**text, "vocab_size": 50})
    return save(folder, transformers.SiglipModel(config), transformers.SiglipImageProcessorPil())


def dinov2(folder: Path) -> Path:
    """DINOv2 without registers."""
    return save(folder, transformers.Dinov2Model(transformers.Dinov2Config(**VIT)), transformers.BitImageProcessorPil())


def dinov3(folder: Path) -> Path:
    """DINOv3 with two registers."""
    config = transformers.DINOv3ViTConfig(**VIT, num_register_tokens=2)
    mean, std = [0.485, 0.456, 0.406], [0.229, 0.224, 0.225]
    return save(folder, transformers.DINOv3ViTModel(config), image_mean=mean, image_std=std, resample=2)


def word_tokenizer(words: str, **special: str) -> Any:
    """A tokenizer of whole words that ends a text with its end token."""
    from tokenizers import Tokenizer
    from tokenizers.models import WordLevel
    from tokenizers.pre_tokenizers import Whitespace
    from tokenizers.processors import TemplateProcessing

    names = [*special.values(), *words.split()]
    plain = Tokenizer(WordLevel({name: index for index, name in enumerate(names)}, unk_token=special["unk_token"]))
    plain.pre_tokenizer = Whitespace()
    end = special["eos_token"]
    plain.post_processor = TemplateProcessing(single=f"$A {end}", special_tokens=[(end, names.index(end))])
    return transformers.PreTrainedTokenizerFast(tokenizer_object=plain, **special)


def t5(folder: Path) -> Path:
    """T5's encoder with a vocabulary of a few words."""
    config = transformers.T5Config(
        vocab_size=20, d_model=12, d_kv=4, d_ff=16, num_layers=1, num_heads=2, pad_token_id=0, eos_token_id=1
    )
    tokenizer = word_tokenizer("a red ball on the floor", pad_token="<pad>", eos_token="</s>", unk_token="<unk>")
    return save(folder, transformers.T5EncoderModel(config), tokenizer)


def vitpose(folder: Path) -> Path:
    """ViTPose with five points."""
    backbone = transformers.VitPoseBackboneConfig(
        **{**VIT, "image_size": [64, 48], "patch_size": [8, 8]}, out_features=["stage2"], num_experts=1
    )
    names = {index: f"point_{index}" for index in range(5)}
    config = transformers.VitPoseConfig(
        backbone_config=backbone,
        use_simple_decoder=True,
        scale_factor=2,
        id2label=names,
        label2id={name: index for index, name in names.items()},
    )
    processor = transformers.VitPoseImageProcessorPil(size={"height": 64, "width": 48})
    return save(folder, transformers.VitPoseForPoseEstimation(config), processor)


def dpt(folder: Path) -> Path:
    """DPT, which predicts inverse depth."""
    config = transformers.DPTConfig(
        **{**VIT, "num_hidden_layers": 4},
        is_hybrid=False,
        backbone_out_indices=[0, 1, 2, 3],
        neck_hidden_sizes=[8, 8, 8, 8],
        reassemble_factors=[4, 2, 1, 0.5],
        fusion_hidden_size=8,
    )
    processor = transformers.DPTImageProcessorPil(size={"height": 32, "width": 32})
    return save(folder, transformers.DPTForDepthEstimation(config), processor)


def glpn(folder: Path) -> Path:
    """GLPN, which predicts metres."""
    config = transformers.GLPNConfig(
        depths=[1, 1, 1, 1],
        hidden_sizes=[4, 4, 8, 8],
        num_attention_heads=[1, 1, 2, 2],
        sr_ratios=[2, 2, 1, 1],
        mlp_ratios=[2, 2, 2, 2],
        decoder_hidden_size=8,
        head_in_index=-1,
    )
    return save(folder, transformers.GLPNForDepthEstimation(config), transformers.GLPNImageProcessorPil())


def oneformer(folder: Path) -> Path:
    """OneFormer on a tiny Swin."""
    backbone = transformers.SwinConfig(
        embed_dim=8,
        depths=[1, 1, 1, 1],
        num_heads=[1, 1, 1, 1],
        window_size=2,
        image_size=32,
        out_features=["stage1", "stage2", "stage3", "stage4"],
    )
    config = transformers.OneFormerConfig(
        backbone_config=backbone,
        conv_dim=32,
        mask_dim=32,
        hidden_dim=32,
        encoder_feedforward_dim=8,
        encoder_layers=1,
        decoder_layers=2,
        num_attention_heads=2,
        dim_feedforward=8,
        num_queries=5,
        task_seq_len=8,
        text_encoder_width=16,
        text_encoder_context_length=8,
        text_encoder_num_layers=1,
        text_encoder_vocab_size=20,
        id2label=CLASSES,
        label2id={name: index for index, name in CLASSES.items()},
    )
    tokenizer = word_tokenizer("the task is semantic", pad_token="<pad>", eos_token="</s>", unk_token="<unk>")
    tokenizer.save_pretrained(folder)
    model = transformers.OneFormerForUniversalSegmentation(config)
    return save(folder, model, size={"height": 64, "width": 64}, image_mean=[0.5] * 3, image_std=[0.5] * 3)


def blip(folder: Path) -> Path:
    """BLIP with a vocabulary of a few words."""
    text = {
        "vocab_size": 20,
        "hidden_size": 16,
        "encoder_hidden_size": 16,
        "num_hidden_layers": 1,
        "num_attention_heads": 2,
        "intermediate_size": 16,
        "bos_token_id": 3,
        "eos_token_id": 1,
        "sep_token_id": 1,
        "pad_token_id": 0,
    }
    config = transformers.BlipConfig(text_config=text, vision_config=VIT, projection_dim=8)
    words = "zero one two three four five six seven eight nine ten eleven twelve thirteen fourteen fifteen"
    tokenizer = word_tokenizer(words, pad_token="<pad>", eos_token="</s>", unk_token="<unk>", bos_token="<s>")
    processor = transformers.BlipProcessor(
        transformers.BlipImageProcessorPil(size={"height": 32, "width": 32}), tokenizer
    )
    model = transformers.BlipForConditionalGeneration(config)
    # Words are likelier than special tokens.
    model.text_decoder.cls.predictions.decoder.bias.data[:4] = -100
    return save(folder, model, processor)


def florence2(folder: Path) -> Path:
    """Florence-2 on a tiny DaViT, with a vocabulary of the words that its processor asks with."""
    stages = [1, 1, 1, 1]
    vision = {"embed_dim": [8] * 4, "depths": stages, "num_heads": stages, "num_groups": stages, "window_size": 2}
    text = {
        "model_type": "bart",
        "vocab_size": 19,
        "d_model": 16,
        "encoder_layers": 1,
        "decoder_layers": 1,
        "encoder_attention_heads": 2,
        "decoder_attention_heads": 2,
        "encoder_ffn_dim": 16,
        "decoder_ffn_dim": 16,
    }
    config = transformers.Florence2Config(
        text_config=text,
        vision_config={**vision, "projection_dim": 16, "max_temporal_embeddings": 5, "max_position_embeddings": 10},
        image_token_id=18,
    )
    words = "zero one two three four five six seven What does the image describe ?"
    special = {"pad_token": "<pad>", "eos_token": "</s>", "unk_token": "<unk>", "bos_token": "<s>"}
    tokenizer = transformers.PreTrainedTokenizerFast(
        tokenizer_object=word_tokenizer(words, **special)._tokenizer,
        extra_special_tokens={"image_token": "<image>"},
        **special,
    )
    pictures = transformers.CLIPImageProcessorPil(size={"height": 64, "width": 64}, do_center_crop=False)
    pictures.image_seq_length = 5
    processor = transformers.Florence2Processor(image_processor=pictures, tokenizer=tokenizer)
    return save(folder, transformers.Florence2ForConditionalGeneration(config), processor)

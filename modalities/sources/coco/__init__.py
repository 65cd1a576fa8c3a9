"""Images with annotations in COCO's format: boxes, instances, panoptic maps, captions."""

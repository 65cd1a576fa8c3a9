"""Labellers that are networks: models of transformers, and any .onnx or .tflite file by a description of it."""

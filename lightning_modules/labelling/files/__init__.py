"""Networks in .onnx and .tflite files, as a YAML describes them."""

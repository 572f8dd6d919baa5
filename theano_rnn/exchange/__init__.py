"""Model exchange: export to and import from PyTorch, and export to ONNX."""

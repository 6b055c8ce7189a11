"""The model file, what it says of itself, and what runs it; the only room that imports ONNX Runtime."""

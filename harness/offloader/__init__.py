"""Runs a split request for real: TensorFlow on the device, NVIDIA Triton on the edge, gRPC or HTTP between."""

"""Convolution and pooling kernels: `cpu` and `cuda` export the same functions with the same signatures."""

"""CUDA on machines without a GPU: what stands in for CuPy in the tests."""

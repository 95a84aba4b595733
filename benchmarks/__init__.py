"""Throughput of the library against what the field runs: ``python -m benchmarks`` (`make bench`)."""

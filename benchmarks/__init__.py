"""Throughput of the library against what the field runs: ``python -m benchmarks`` (`make bench`)."""

import os

os.environ.setdefault("TQDM_DISABLE", "1")  # read when tqdm is first imported; bars would come between the rows

"""The environment in which jobs and kernels compute: how many threads, and with which instructions.

A processor adds in the order of its widest registers, so the last digits of a weight depend on it, and a small network
near chance turns such a digit into another answer. A profile with ``arithmetic: pinned`` asks every library for what
each x86-64 processor since 2013 has (AVX2), and its numbers are then the same, bit for bit, on all of them.
"""

import os
import platform
from collections.abc import Mapping

# Read when numpy is imported, or by the first computation: they must be set before. On a processor with AVX-512 the
# first three were seen to move trained weights, the next two other results; the last is a precaution.
PINNED = {
    "ATEN_CPU_CAPABILITY": "avx2",  # torch's own kernels
    "ONEDNN_MAX_CPU_ISA": "AVX2",  # its convolutions
    "MKL_CBWR": "COMPATIBLE",  # its matrix products
    "OPENBLAS_CORETYPE": "Haswell",  # matrix products and decompositions of numpy and scipy
    "NPY_DISABLE_CPU_FEATURES": "X86_V4 AVX512_ICL AVX512_SPR",  # numpy's functions, and how it sorts
    "NUMBA_CPU_NAME": "generic",  # umap
}
X86_64 = ("x86_64", "AMD64")


def settings(profile: Mapping) -> dict[str, str]:
    """Return the environment variables of a profile's jobs and kernels that are not set; what the user set stays."""
    pinned = PINNED if "arithmetic" in profile and platform.machine() in X86_64 else {}
    variables = {"OMP_NUM_THREADS": str(profile["threads"])} | pinned
    return {name: value for name, value in variables.items() if name not in os.environ}

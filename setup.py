"""Builds the optional kernels of ``engine/windows.py``; ``setup.cfg`` describes everything else of the package."""

from setuptools import Extension, setup

HEADERS = (
    "bfloat16", "calls", "cells", "instructions", "likeliest", "matrices", "softmax", "squares", "tiles", "vectors",
    "xla_ffi",
)  # fmt: skip

setup(
    ext_modules=[
        Extension(
            "theano_rnn.engine._window",
            ["theano_rnn/engine/native/window.cc"],
            depends=[f"theano_rnn/engine/native/{name}.h" for name in HEADERS],
            extra_compile_args=["-std=c++17", "-O3", "-g0", "-ffp-contract=fast", "-fvisibility=hidden", "-Wno-psabi",
                                "-Wno-maybe-uninitialized"],  # which GCC 12 says of its own header
            py_limited_api=True,
            optional=True,
        )
    ]
)

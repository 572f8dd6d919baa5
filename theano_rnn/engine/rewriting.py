"""Aesara's graph rewrites that the XLA engine uses, also inside scans."""

from __future__ import annotations

from aesara.graph.rewriting.db import RewriteDatabaseQuery

QUERY = RewriteDatabaseQuery(
    include=["fast_run"],
    exclude=[
        "cxx_only", "BlasOpt", "fusion", "inplace", "scan_make_inplace", "specialize", "uncanonicalize",  # only for C
        "ShapeOpt", "UnShapeOpt", "local_subtensor_merge",  # symbolic shapes, 80 % of the time: XLA knows them
        "scan_pushout_seqs_ops",  # stores what XLA computes on the fly
        "local_pow_canonicalize", "local_pow_specialize_device",  # without ShapeOpt, one never ends, one fails
        "local_uint_constant_indices",  # its 8-bit indices overflow in XLA
        "local_adv_sub1_adv_inc_sub1",  # wrong if indices repeat; fails without ShapeOpt
    ],
)  # fmt: skip

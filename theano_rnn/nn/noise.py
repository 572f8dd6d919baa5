"""Random numbers inside a graph: the same integers on every engine, device and number of devices.

The generator is counter-based, without hidden state: Threefry-2x32 with 20 rounds (Salmon et al. 2011) encrypts the
position of each number with a key of seed and step. So the seed and the step count determine all random numbers, and
a mask does not depend on earlier masks. This makes training reproducible and easy to resume.

    key     = (seed, step)
    counter = (site * 2^24 + column of the batch, (time * units + unit) // 2)
    number  = word (unit mod 2) of the two encrypted words
"""

from __future__ import annotations

import importlib
import zlib
from typing import Any

import aesara.tensor as T
import numpy as np
from aesara.gradient import DisconnectedType
from aesara.graph.basic import Apply
from aesara.link.c.op import COp
from aesara.tensor.var import TensorVariable

from theano_rnn.engine.parallel import first_column

ROTATIONS = ((13, 15, 26, 6), (17, 29, 16, 24))
PARITY = 0x1BD11BDA
MAX_SITES = 2**8


class Noise:
    """The random masks of one training step. Each use in the graph is a site of its own, with independent numbers.

    Parameters
    ----------
    seed : int
    step : int32 0-d variable
        The number of updates so far.
    num_columns : int 0-d variable, optional
        The number of batch columns on this device. Required if several devices share a batch.
    dtype : {"float32", "float64"}
        The dtype of the masks.
    """

    def __init__(self, seed: int, step: Any, *, num_columns: Any = 0, dtype: str) -> None:
        self.seed, self.step, self.dtype = seed % 2**31, step, dtype
        self.first = first_column(num_columns)
        self.num_sites = 0

    def mask(self, rate: float, time: Any, batch: Any, units: Any) -> TensorVariable:
        """Returns a dropout mask (time, batch, units): 0 with probability `rate`, else 1 / (1 - rate)."""
        return self._mask(rate, time, batch, units, self.first)

    def mask_of_matrix(self, rate: float, rows: Any, columns: Any) -> TensorVariable:
        """Returns a dropout mask for a matrix (rows, columns) without a batch axis; the same on all devices."""
        return self._mask(rate, rows, 1, columns, 0)[:, 0]

    def _mask(self, rate: float, time: Any, batch: Any, units: Any, first: Any) -> TensorVariable:
        if not 0 <= rate < 1:
            raise ValueError(f"a dropout rate must be at least 0 and less than 1, got {rate}")
        self.num_sites += 1
        bits = RandomBits(self.num_sites)(self.seed, self.step, first, time, batch, units)
        last_kept = np.uint32(max(round((1 - rate) * 2**32), 1) - 1)
        kept, dropped = np.asarray(1 / (1 - rate), self.dtype), np.zeros((), self.dtype)
        return T.switch(T.le(bits, last_kept), kept, dropped)


class RandomBits(COp):  # type: ignore[misc]
    """Maps six 0-d inputs (seed, step, first, time, batch, units) to random uint32 (time, batch, units)."""

    __props__ = ("site",)

    def __init__(self, site: int) -> None:
        if not 0 <= site < MAX_SITES:
            raise ValueError(f"sites are 0 .. {MAX_SITES - 1}, got {site}")
        self.site = site

    def make_node(self, *inputs: Any) -> Apply:
        numbers = [T.cast(T.as_tensor_variable(v), "int32" if i < 2 else "int64") for i, v in enumerate(inputs)]
        return Apply(self, numbers, [T.TensorType("uint32", shape=(None, None, None))()])

    def perform(self, node: Apply, inputs: list[Any], outputs: list[Any]) -> None:
        with np.errstate(over="ignore"):
            outputs[0][0] = random_bits(np, self.site, *inputs)

    def as_jax(self, node: Apply) -> Any:
        jax_numpy = importlib.import_module("jax.numpy")
        return lambda *inputs: random_bits(jax_numpy, self.site, *inputs)

    def infer_shape(self, fgraph: Any, node: Apply, shapes: list[Any]) -> list[Any]:
        return [tuple(node.inputs[3:])]

    def connection_pattern(self, node: Apply) -> list[list[bool]]:
        return [[False]] * 6

    def L_op(self, inputs: list[Any], outputs: list[Any], output_gradients: list[Any]) -> list[Any]:
        return [DisconnectedType()() for _ in inputs]

    def c_code_cache_version(self) -> tuple[int, ...]:
        return (zlib.crc32((SUPPORT + CODE).encode()),)

    def c_support_code(self, **kwargs: Any) -> str:
        return SUPPORT

    def c_code(self, node: Apply, name: str, inputs: list[str], outputs: list[str], sub: dict[str, str]) -> str:
        code = CODE.replace("$SITE", str(self.site)).replace("$FAIL", sub["fail"]).replace("$out", outputs[0])
        for place, variable in zip(("seed", "step", "first", "time", "batch", "units"), inputs):
            code = code.replace(f"${place}", variable)
        return code


def random_bits(xp: Any, site: int, seed: Any, step: Any, first: Any, time: Any, batch: Any, units: Any) -> Any:
    """Compute `RandomBits` with the functions of `xp`: NumPy or ``jax.numpy``."""
    time, batch, units = int(time), int(batch), int(units)
    half = (units + 1) // 2
    columns = xp.arange(batch, dtype="uint32") + xp.asarray(first).astype("uint32") + np.uint32(site << 24)
    places = xp.arange(time * half, dtype="uint32").reshape(time, 1, half)
    words = threefry(xp.asarray(seed).astype("uint32"), xp.asarray(step).astype("uint32"), columns[:, None], places)
    return xp.stack(xp.broadcast_arrays(*words), axis=-1).reshape(time, batch, 2 * half)[:, :, :units]


def threefry(key0: Any, key1: Any, x0: Any, x1: Any) -> tuple[Any, Any]:
    """Apply Threefry-2x32-20 to uint32 arrays of NumPy or JAX, with broadcasting."""
    keys = (key0, key1, key0 ^ key1 ^ np.uint32(PARITY))
    x0, x1 = x0 + keys[0], x1 + keys[1]
    for group in range(5):
        for distance in ROTATIONS[group % 2]:
            x0 = x0 + x1
            x1 = ((x1 << np.uint32(distance)) | (x1 >> np.uint32(32 - distance))) ^ x0
        x0 = x0 + keys[(group + 1) % 3]
        x1 = x1 + keys[(group + 2) % 3] + np.uint32(group + 1)
    return x0, x1


SUPPORT = r"""
namespace {
inline npy_uint32 rotated(npy_uint32 x, int by) { return (x << by) | (x >> (32 - by)); }

inline void threefry(const npy_uint32* key, npy_uint32& x0, npy_uint32& x1) {
    const int distance[2][4] = {{13, 15, 26, 6}, {17, 29, 16, 24}};
    const npy_uint32 keys[3] = {key[0], key[1], key[0] ^ key[1] ^ 0x1BD11BDAu};
    x0 += keys[0];
    x1 += keys[1];
    for (int group = 0; group < 5; group++) {
        for (int k = 0; k < 4; k++) { x0 += x1; x1 = rotated(x1, distance[group % 2][k]) ^ x0; }
        x0 += keys[(group + 1) % 3];
        x1 += keys[(group + 2) % 3] + (npy_uint32)(group + 1);
    }
}

__attribute__((noinline, hot))
void random_row(const npy_uint32* key, npy_uint32 column, npy_uint32 place,
                npy_uint32* __restrict__ out, npy_intp units) {
    npy_uint32 first[64], second[64];  // a block at a time, so that the compiler can vectorize
    for (npy_intp start = 0; start < units; start += 128) {
        for (int k = 0; k < 64; k++) {
            npy_uint32 x0 = column, x1 = place + (npy_uint32)(start / 2 + k);
            threefry(key, x0, x1);
            first[k] = x0;
            second[k] = x1;
        }
        const npy_intp count = units - start < 128 ? units - start : 128;
        for (npy_intp k = 0; k < count; k++) out[start + k] = k % 2 ? second[k / 2] : first[k / 2];
    }
}
}
"""

CODE = r"""
{
    const npy_uint32 key[2] = {(npy_uint32)*(npy_int32*)PyArray_DATA($seed),
                               (npy_uint32)*(npy_int32*)PyArray_DATA($step)};
    const npy_int64 first = *(npy_int64*)PyArray_DATA($first);
    npy_intp shape[3] = {(npy_intp)*(npy_int64*)PyArray_DATA($time), (npy_intp)*(npy_int64*)PyArray_DATA($batch),
                         (npy_intp)*(npy_int64*)PyArray_DATA($units)};
    bool fits = $out && PyArray_IS_C_CONTIGUOUS($out);
    for (int k = 0; fits && k < 3; k++) fits = PyArray_DIMS($out)[k] == shape[k];
    if (!fits) {
        Py_XDECREF($out);
        $out = (PyArrayObject*)PyArray_SimpleNew(3, shape, NPY_UINT32);
        if (!$out) { $FAIL }
    }
    npy_uint32* out = (npy_uint32*)PyArray_DATA($out);
    const npy_intp half = (shape[2] + 1) / 2;
    for (npy_intp t = 0; t < shape[0]; t++)
        for (npy_intp b = 0; b < shape[1]; b++)
            random_row(key, ($SITEu << 24) + (npy_uint32)(first + b), (npy_uint32)(t * half),
                       out + (t * shape[1] + b) * shape[2], shape[2]);
}
"""

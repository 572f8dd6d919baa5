"""C code of the softmax cross-entropy: one pass for the maximum, one for the sum, one for the gradient.

For float, `exponential` is a polynomial that compilers vectorize without fast-math flags, which would disable denormal
numbers in the whole process. The coefficients are those of Cephes for 2^f, |f| <= 1/2; results are accurate to two
units in the last place. For double, it is the C library's. Sums run in 16 lanes so that they vectorize too.
"""

SUPPORT = r"""
#include <cmath>
#include <cstring>
#define KERNEL __attribute__((noinline, hot))  // inlined into Aesara's error handling, g++ takes loops for cold
namespace {
inline float exponential(float x) {  // for x <= 0, and nan
    const bool tiny = x < -80.0f;  // as 0: a hundredth of it would be denormal, which is slow and changes no sum
    x = tiny ? -80.0f : x;
    const float n = (x * 1.44269504088896341f + 12582912.0f) - 12582912.0f;  // to the nearest whole number
    const float f = (x - n * 0.693359375f) + n * 2.12194440e-4f;
    float p = 1.9875691500e-4f;
    p = p * f + 1.3981999507e-3f;
    p = p * f + 8.3334519073e-3f;
    p = p * f + 4.1665795894e-2f;
    p = p * f + 1.6666665459e-1f;
    p = p * f + 5.0000001201e-1f;
    p = p * f * f + f + 1.0f;
    const int bits = ((int)n + 127) << 23;
    float power;
    std::memcpy(&power, &bits, sizeof power);
    return tiny ? 0.0f : p * power;
}
inline double exponential(double x) { return std::exp(x); }

template <typename R> KERNEL R row_maximum(const R* z, const R* b, npy_intp size) {
    R lane[16], top;
    for (int k = 0; k < 16; k++) lane[k] = -INFINITY;
    npy_intp j = 0;
    for (; j + 16 <= size; j += 16)
        for (int k = 0; k < 16; k++) { const R v = z[j + k] + b[j + k]; lane[k] = v > lane[k] ? v : lane[k]; }
    for (; j < size; j++) { const R v = z[j] + b[j]; lane[0] = v > lane[0] ? v : lane[0]; }
    top = lane[0];
    for (int k = 1; k < 16; k++) top = lane[k] > top ? lane[k] : top;
    return top;
}

template <typename R> KERNEL R row_sum(const R* z, const R* b, npy_intp size, R top) {
    R lane[16];
    double total = 0.0;
    for (int k = 0; k < 16; k++) lane[k] = 0;
    npy_intp j = 0;
    for (; j + 16 <= size; j += 16)
        for (int k = 0; k < 16; k++) lane[k] += exponential(z[j + k] + b[j + k] - top);
    for (; j < size; j++) lane[0] += exponential(z[j] + b[j] - top);
    for (int k = 0; k < 16; k++) total += lane[k];
    return (R)total;
}

template <typename R>
KERNEL void row_gradient(const R* __restrict__ z, const R* __restrict__ b, R* __restrict__ d, R* __restrict__ d_bias,
                  npy_intp size, R log_normalizer, R a) {
    for (npy_intp j = 0; j < size; j++) {
        d[j] = a * exponential(z[j] + b[j] - log_normalizer);
        d_bias[j] += d[j];
    }
}

template <typename R> PyArrayObject* contiguous(PyArrayObject* array, int typenum) {
    return (PyArrayObject*)PyArray_FROM_OTF((PyObject*)array, typenum, NPY_ARRAY_CARRAY_RO);
}

inline bool prepare_output(PyArrayObject** out, int ndim, npy_intp* shape, int typenum) {
    bool fits = *out && PyArray_NDIM(*out) == ndim && PyArray_IS_C_CONTIGUOUS(*out);
    for (int k = 0; fits && k < ndim; k++) fits = PyArray_DIMS(*out)[k] == shape[k];
    if (fits) return true;
    Py_XDECREF(*out);
    *out = (PyArrayObject*)PyArray_SimpleNew(ndim, shape, typenum);
    return *out != NULL;
}

inline bool good_targets(const npy_int32* y, npy_intp rows, npy_intp size) {
    for (npy_intp i = 0; i < rows; i++)
        if (y[i] < 0 || y[i] >= size) {
            PyErr_Format(PyExc_IndexError, "targets must be in 0 .. %ld, got %d", (long)size - 1, (int)y[i]);
            return false;
        }
    return true;
}
}
"""

_OPEN = r"""
{
    npy_intp rows = PyArray_DIMS($scores)[0], size = PyArray_DIMS($scores)[1];
    if (PyArray_DIMS($bias)[0] != size || PyArray_DIMS($targets)[0] != rows) {
        PyErr_SetString(PyExc_ValueError, "scores must be (rows, vocab), bias (vocab,), targets (rows,)");
        $FAIL
    }
    PyArrayObject* scores_c = contiguous<$REAL>($scores, $TYPENUM);
    PyArrayObject* bias_c = contiguous<$REAL>($bias, $TYPENUM);
    PyArrayObject* targets_c = contiguous<$REAL>($targets, NPY_INT32);
    bool ok = scores_c && bias_c && targets_c;
    const npy_int32* y = ok ? (const npy_int32*)PyArray_DATA(targets_c) : NULL;
    ok = ok && good_targets(y, rows, size);
"""

_CLOSE = r"""
    Py_XDECREF(scores_c);
    Py_XDECREF(bias_c);
    Py_XDECREF(targets_c);
    if (!ok) { $FAIL }
}
"""

FORWARD = (
    _OPEN
    + r"""
    ok = ok && prepare_output(&$nll, 1, &rows, $TYPENUM) && prepare_output(&$log_normalizer, 1, &rows, $TYPENUM);
    if (ok) {
        const $REAL* b = (const $REAL*)PyArray_DATA(bias_c);
        for (npy_intp i = 0; i < rows; i++) {
            const $REAL* z = (const $REAL*)PyArray_DATA(scores_c) + i * size;
            const $REAL top = row_maximum<$REAL>(z, b, size);
            const $REAL log_normalizer = std::log(row_sum<$REAL>(z, b, size, top)) + top;
            (($REAL*)PyArray_DATA($log_normalizer))[i] = log_normalizer;
            (($REAL*)PyArray_DATA($nll))[i] = log_normalizer - (z[y[i]] + b[y[i]]);
        }
    }
"""
    + _CLOSE
)

BACKWARD = (
    _OPEN
    + r"""
    npy_intp shape[2] = {rows, size};
    ok = ok && prepare_output(&$d_scores, 2, shape, $TYPENUM) && prepare_output(&$d_bias, 1, &size, $TYPENUM);
    if (ok) {
        const $REAL* b = (const $REAL*)PyArray_DATA(bias_c);
        $REAL* d_bias = ($REAL*)PyArray_DATA($d_bias);
        std::memset(d_bias, 0, size * sizeof($REAL));
        for (npy_intp i = 0; i < rows; i++) {
            const $REAL a = *($REAL*)PyArray_GETPTR1($a, i), t = *($REAL*)PyArray_GETPTR1($b, i);
            const $REAL* z = (const $REAL*)PyArray_DATA(scores_c) + i * size;
            $REAL* d = ($REAL*)PyArray_DATA($d_scores) + i * size;
            row_gradient<$REAL>(z, b, d, d_bias, size, *($REAL*)PyArray_GETPTR1($log_normalizer, i), a);
            d[y[i]] -= t;
            d_bias[y[i]] -= t;
        }
    }
"""
    + _CLOSE
)

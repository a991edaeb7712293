/* A softmax of rows for `python -m harness run ./libsoftmax.so:softmax`.
 *
 *     cc -O2 -shared -fPIC -o libsoftmax.so softmax.c -lm
 *
 * The end of a function's name tells the format: _f16 _bf16 _f32 _f64 _f8e4m3fn _f8e5m2. The 16- and
 * 8-bit formats are passed as their encodings. Two ends, _bf16_f32, tell the input's format and the
 * output's. x holds rows * n entries, row after row; y is to be filled; x is left alone. */

#include <math.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

void softmax_f32(const float *x, float *y, size_t rows, size_t n)
{
    for (; rows > 0; rows--, x += n, y += n) {
        float max = x[0], sum = 0.0f;
        for (size_t i = 1; i < n; i++)
            if (x[i] > max || isnan(x[i]))
                max = x[i];
        for (size_t i = 0; i < n; i++)
            sum += y[i] = expf(x[i] - max);
        for (size_t i = 0; i < n; i++)
            y[i] /= sum;
    }
}

void softmax_f64(const double *x, double *y, size_t rows, size_t n)
{
    for (; rows > 0; rows--, x += n, y += n) {
        double max = x[0], sum = 0.0;
        for (size_t i = 1; i < n; i++)
            if (x[i] > max || isnan(x[i]))
                max = x[i];
        for (size_t i = 0; i < n; i++)
            sum += y[i] = exp(x[i] - max);
        for (size_t i = 0; i < n; i++)
            y[i] /= sum;
    }
}

static float of_bf16(uint16_t bits)
{
    uint32_t wide = (uint32_t)bits << 16;
    float value;
    memcpy(&value, &wide, sizeof value);
    return value;
}

/* bfloat16 in, float32 out. */
void softmax_bf16_f32(const uint16_t *x, float *y, size_t rows, size_t n)
{
    for (; rows > 0; rows--, x += n, y += n) {
        for (size_t i = 0; i < n; i++)
            y[i] = of_bf16(x[i]);
        softmax_f32(y, y, 1, n);
    }
}

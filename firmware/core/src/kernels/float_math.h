/* exp and log of our own: a libm would give other bits on other machines. */
#ifndef MICROFED_FLOAT_MATH_H
#define MICROFED_FLOAT_MATH_H

#include <stdint.h>
#include <string.h>

#include "kernels/fma.h"

/* e^x for x ≤ 0, within 1 ulp; 0 below −87, where the result would soon be subnormal.
 *
 * x = n · ln 2 + r with |r| ≤ ln 2 / 2; e^r by its series up to r^7, whose rest is below
 * 6e-9 there; 2^n by its exponent bits. */
static inline float mf_exp(float x) {
    if (!(x >= -87.0f)) {
        return x < 0.0f ? 0.0f : x; /* not a number stays so */
    }
    const float magic = 12582912.0f; /* 1.5 · 2^23: adding it rounds to a whole number */
    const float shifted = mf_fma(x, 1.44269504f, magic);
    const float n = shifted - magic;
    float r = mf_fma(n, -0.693145752f, x); /* ln 2 in two parts, the first of 16 bits */
    r = mf_fma(n, -1.42860677e-6f, r);
    float e = mf_fma(r, 1.0f / 5040.0f, 1.0f / 720.0f);
    e = mf_fma(r, e, 1.0f / 120.0f);
    e = mf_fma(r, e, 1.0f / 24.0f);
    e = mf_fma(r, e, 1.0f / 6.0f);
    e = mf_fma(r, e, 0.5f);
    e = mf_fma(r, e, 1.0f);
    e = mf_fma(r, e, 1.0f);
    const uint32_t bits = (uint32_t)((int32_t)n + 127) << 23;
    float power;
    memcpy(&power, &bits, sizeof power);
    return e * power;
}

/* log x for a normal x > 0, within 3 ulp; not a number stays so.
 *
 * x = 2^n · m with m in [√½, √2); log m = 2 artanh s with s = (m − 1) / (m + 1), by its
 * series up to s^9, whose rest is below 3e-9 there. */
static inline float mf_log(float x) {
    if (x != x) {
        return x;
    }
    uint32_t bits;
    memcpy(&bits, &x, sizeof bits);
    const uint32_t above = bits - 0x3f3504f3u; /* √½ */
    const int32_t n = (int32_t)above >> 23;
    bits = (above & 0x007fffffu) + 0x3f3504f3u;
    float m;
    memcpy(&m, &bits, sizeof m);
    const float s = (m - 1.0f) / (m + 1.0f);
    const float t = s * s;
    float series = mf_fma(t, 2.0f / 9.0f, 2.0f / 7.0f);
    series = mf_fma(t, series, 2.0f / 5.0f);
    series = mf_fma(t, series, 2.0f / 3.0f);
    series = mf_fma(t, series, 2.0f);
    return mf_fma((float)n, 0.693147182f, s * series);
}

#endif

/* How exact the core's arithmetic is: prints a figure a line, for test_train_arithmetic.py. */
#include <math.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include "kernels/float_math.h"
#include "kernels/fma.h"
#include "train/random.h"

static float from_bits(uint32_t bits) {
    float value;
    memcpy(&value, &bits, sizeof value);
    return value;
}

static uint32_t to_bits(float value) {
    uint32_t bits;
    memcpy(&bits, &value, sizeof bits);
    return bits;
}

static int same(float a, float b) {
    return to_bits(a) == to_bits(b) || (a != a && b != b);
}

/* c that nearly cancels a · b, or lies half a unit beside it: where rounding twice shows. */
static float hard_addend(mf_random *random, float a, float b) {
    const float product = a * b;
    const int32_t shift = (int32_t)mf_random_below(random, 60) - 30;
    const float near = from_bits(to_bits(product) + mf_random_below(random, 5) - 2u);
    switch (mf_random_below(random, 4)) {
    case 0:
        return -near;
    case 1:
        return ldexpf(near, shift);
    case 2:
        return -ldexpf(near, shift);
    default:
        return from_bits(mf_random_next(random));
    }
}

static unsigned long wrong_fmas(void) {
    static const uint32_t special[] = {0x00000000, 0x80000000, 0x00000001, 0x80000001, 0x007fffff,
                                       0x00800000, 0x3f800000, 0xbf800000, 0x7f7fffff, 0xff7fffff,
                                       0x7f800000, 0xff800000, 0x7fc00000, 0x3f800001, 0x33800000};
    enum { COUNT = sizeof special / sizeof special[0] };
    unsigned long wrong = 0;
    for (int i = 0; i < COUNT * COUNT * COUNT; i++) {
        const float a = from_bits(special[i % COUNT]), b = from_bits(special[i / COUNT % COUNT]);
        const float c = from_bits(special[i / COUNT / COUNT]);
        wrong += !same(mf_exact_fma(a, b, c), fmaf(a, b, c));
    }
    mf_random random = mf_random_from(1);
    for (int i = 0; i < 5000000; i++) {
        const float a = from_bits(mf_random_next(&random)), b = from_bits(mf_random_next(&random));
        const float c = hard_addend(&random, a, b);
        wrong += !same(mf_exact_fma(a, b, c), fmaf(a, b, c));
    }
    return wrong;
}

/* Units in the last place of a float near `exact`. */
static double ulps(float found, double exact) {
    const double unit = ldexp(1.0, ilogb(exact) - 23);
    return fabs((double)found - exact) / unit;
}

int main(void) {
    printf("%lu\n", wrong_fmas());
    double worst = 0.0;
    for (uint32_t bits = 0x80000000; from_bits(bits) >= -87.0f; bits += 37) {
        worst = fmax(worst, ulps(mf_exp(from_bits(bits)), exp((double)from_bits(bits))));
    }
    printf("%.3f\n", worst);
    worst = 0.0;
    for (uint32_t bits = 0x00800000; bits < 0x7f800000; bits += 37) {
        if (bits == to_bits(1.0f)) {
            continue;
        }
        worst = fmax(worst, ulps(mf_log(from_bits(bits)), log((double)from_bits(bits))));
    }
    printf("%.3f\n", worst);
    printf("%d\n", mf_exp(0.0f) == 1.0f && mf_log(1.0f) == 0.0f && mf_exp(-INFINITY) == 0.0f &&
                       mf_exp(-88.0f) == 0.0f && mf_exp(NAN) != mf_exp(NAN));
    mf_random random = mf_random_from(42);
    for (int i = 0; i < 3; i++) {
        printf("%lu\n", (unsigned long)mf_random_next(&random));
    }
    return 0;
}

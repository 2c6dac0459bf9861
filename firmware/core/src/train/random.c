#include "train/random.h"

#include "kernels/fma.h"

static const uint64_t MULTIPLIER = 6364136223846793005u;
static const uint64_t INCREMENT = 1442695040888963407u;

mf_random mf_random_from(uint32_t seed) {
    mf_random random = {seed + INCREMENT};
    mf_random_next(&random);
    return random;
}

uint32_t mf_random_next(mf_random *random) {
    const uint64_t old = random->state;
    random->state = old * MULTIPLIER + INCREMENT;
    const uint32_t mixed = (uint32_t)(((old >> 18) ^ old) >> 27);
    const uint32_t turn = (uint32_t)(old >> 59);
    return mixed >> turn | mixed << ((32u - turn) & 31u);
}

uint32_t mf_random_below(mf_random *random, uint32_t bound) {
    const uint32_t biased = (0u - bound) % bound; /* 2^32 mod bound: so many are too many */
    uint64_t product;
    do {
        product = (uint64_t)mf_random_next(random) * bound;
    } while ((uint32_t)product < biased);
    return (uint32_t)(product >> 32);
}

void mf_random_order(mf_random *random, uint32_t *order, int32_t count) {
    for (int32_t i = 0; i < count; i++) {
        order[i] = (uint32_t)i;
    }
    for (int32_t i = count - 1; i > 0; i--) {
        const uint32_t j = mf_random_below(random, (uint32_t)i + 1u);
        const uint32_t kept = order[i];
        order[i] = order[j];
        order[j] = kept;
    }
}

/* Uniform in [−1, 1), a multiple of 2^-23. */
static float centred(mf_random *random) {
    return (float)((int32_t)(mf_random_next(random) >> 8) - (1 << 23)) * 1.1920929e-7f;
}

static void cross(const float u[3], const float v[3], float product[3]) {
    for (int i = 0; i < 3; i++) {
        const int j = (i + 1) % 3, k = (i + 2) % 3;
        product[i] = mf_fma(u[j], v[k], -(u[k] * v[j]));
    }
}

void mf_rotate(mf_random *random, float degrees, const float *x, float *to, int32_t count) {
    const float half = degrees * 0.00872664626f; /* π / 360 */
    float u[3];
    for (int i = 0; i < 3; i++) {
        u[i] = half * centred(random);
    }
    const float square = mf_fma(u[2], u[2], mf_fma(u[1], u[1], u[0] * u[0]));
    const float scale = 2.0f / (1.0f + square);
    for (int32_t at = 0; at < count; at += 3) {
        const float *v = x + at;
        /* v + scale · (u × v + u × (u × v)) */
        float once[3], twice[3];
        cross(u, v, once);
        cross(u, once, twice);
        for (int i = 0; i < 3; i++) {
            to[at + i] = mf_fma(scale, once[i] + twice[i], v[i]);
        }
    }
}

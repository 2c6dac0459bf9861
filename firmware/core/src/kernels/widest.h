/* Loops that the compiler makes vectors of by itself, compiled for the widest that there are.
 *
 * Where every element is worked on by itself, the width decides nothing but the speed: one text
 * is enough.  MF_WIDEST(turn, (float *x), (x)) makes of the MF_LOOPS turn_loops a function turn
 * that chooses when it runs; a microcontroller has the loops once. */
#ifndef MICROFED_WIDEST_H
#define MICROFED_WIDEST_H

#if defined(__x86_64__) && defined(__GNUC__) && defined(MF_WITH_X86_PATHS)
#define MF_LOOPS static inline __attribute__((always_inline)) void
#define MF_WIDEST(NAME, PARAMETERS, ARGUMENTS)                                                     \
    __attribute__((target("avx512f"))) static void NAME##_avx512 PARAMETERS {                      \
        NAME##_loops ARGUMENTS;                                                                    \
    }                                                                                              \
    __attribute__((target("avx2"))) static void NAME##_avx2 PARAMETERS {                           \
        NAME##_loops ARGUMENTS;                                                                    \
    }                                                                                              \
    static void NAME PARAMETERS {                                                                  \
        if (__builtin_cpu_supports("avx512f")) {                                                   \
            NAME##_avx512 ARGUMENTS;                                                               \
        } else if (__builtin_cpu_supports("avx2")) {                                               \
            NAME##_avx2 ARGUMENTS;                                                                 \
        } else {                                                                                   \
            NAME##_loops ARGUMENTS;                                                                \
        }                                                                                          \
    }
#else
#define MF_LOOPS static inline void
#define MF_WIDEST(NAME, PARAMETERS, ARGUMENTS)                                                     \
    static void NAME PARAMETERS {                                                                  \
        NAME##_loops ARGUMENTS;                                                                    \
    }
#endif

#endif

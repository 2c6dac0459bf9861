/* Trainings on threads of their own, for a host that simulates many devices.
 *
 * A caller in Python gives and takes while the threads train: none of them ever waits for
 * Python's lock.  Not for microcontrollers: it needs malloc and POSIX threads. */
#ifndef MICROFED_POOL_H
#define MICROFED_POOL_H

#include "microfed/codec.h"
#include "microfed/train.h"

/* What the trainings of a cohort have in common: arguments of mf_train, and how what changed is
 * coded, by mf_encode_peaks.  All that it points to stays where it is while it is trained by. */
typedef struct {
    const mf_plan *plan;
    const mf_recipe *recipe;
    const float *received;
    const uint8_t *mask;
    const uint8_t *chosen; /* a byte for each parameter: not 0 for those that the update has */
    int32_t parameters;
    int32_t budget; /* bytes of the update; 0: it is not coded */
} mf_lesson;

/* One device's training: its arguments of mf_train, but for the memory, which each thread has
 * of its own, and its result.  All that it points to stays where it is until mf_pool_take has
 * given it back. */
typedef struct mf_training {
    const mf_lesson *lesson;
    mf_samples samples;
    void *result;  /* room for the update if it is coded, else for the weights */
    uint32_t seed; /* of both; the coding takes its last eight bits */
    int32_t size;  /* bytes of the update, when it is done; 0: it could not be coded */
    float losses[2];
    int32_t status;           /* mf_status, when it is done */
    double seconds;           /* of CPU that it took */
    struct mf_training *next; /* the pool's */
} mf_training;

/* sizeof mf_lesson and mf_training, for whoever builds them in another language. */
MF_EXPORT extern const uint32_t mf_pool_sizes[2];

typedef struct mf_pool mf_pool;

/* A pool of so many threads, or NULL where the system has none to give. */
MF_EXPORT mf_pool *mf_pool_open(int32_t threads);

/* Have it trained, after those that were given before. */
MF_EXPORT void mf_pool_give(mf_pool *pool, mf_training *training);

/* One that is done, in the order they were done: waits for it; NULL when none is under way. */
MF_EXPORT mf_training *mf_pool_take(mf_pool *pool);

/* End the threads after what they are doing, and forget the rest.  Nobody may be in
 * mf_pool_take. */
MF_EXPORT void mf_pool_close(mf_pool *pool);

#endif

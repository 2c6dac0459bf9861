#include "pool.h"

#include <pthread.h>
#include <stdbool.h>
#include <stdlib.h>
#include <time.h>

enum { ALIGNMENT = 64 };

const uint32_t mf_pool_sizes[2] = {sizeof(mf_lesson), sizeof(mf_training)};

/* First in, first out. */
typedef struct {
    mf_training *first, *last;
} queue;

struct mf_pool {
    pthread_mutex_t lock; /* over all that follows, but `ids` */
    pthread_cond_t given, done;
    queue waiting, finished;
    int32_t under_way; /* given, and not taken */
    bool closing;
    int32_t threads;
    pthread_t ids[];
};

/* A thread's memory: it grows to what the largest training needed. */
typedef struct {
    void *block;
    size_t bytes;
} room;

static void append(queue *q, mf_training *training) {
    training->next = NULL;
    if (q->first == NULL) {
        q->first = training;
    } else {
        q->last->next = training;
    }
    q->last = training;
}

static mf_training *first_of(queue *q) {
    mf_training *first = q->first;
    if (first != NULL) {
        q->first = first->next;
    }
    return first;
}

static size_t aligned(size_t bytes) {
    return (bytes + ALIGNMENT - 1) / ALIGNMENT * ALIGNMENT;
}

static bool has_room(room *own, size_t bytes) {
    if (own->bytes >= bytes) {
        return true;
    }
    free(own->block);
    own->bytes = posix_memalign(&own->block, ALIGNMENT, bytes) == 0 ? bytes : 0;
    if (own->bytes == 0) {
        own->block = NULL;
    }
    return own->bytes != 0;
}

/* Code what training changed; in its place, as nobody else will read the weights. */
static int32_t code(const mf_training *t, float *weights) {
    const mf_lesson *l = t->lesson;
    int32_t count = 0, size = 0;
    for (int32_t i = 0; i < l->parameters; i++) {
        if (l->chosen[i]) {
            weights[count++] = weights[i] - l->received[i];
        }
    }
    const mf_status status =
        mf_encode_peaks(weights, count, t->seed & 0xFFu, l->budget, t->result, &size);
    return status == MF_OK ? size : 0;
}

static mf_status train(mf_training *t, room *own) {
    const mf_lesson *l = t->lesson;
    const bool coded = l->budget > 0;
    const size_t bytes = mf_train_bytes(l->plan, l->recipe, t->samples.count);
    const size_t before = coded ? aligned((size_t)l->parameters * sizeof(float)) : 0;
    if (!has_room(own, before + bytes)) {
        return MF_NO_MEMORY;
    }
    float *weights = coded ? own->block : t->result;
    const mf_status status =
        mf_train(l->plan, l->recipe, &t->samples, t->seed, l->received, l->mask, weights, t->losses,
                 (uint8_t *)own->block + before, bytes);
    t->size = status == MF_OK && coded ? code(t, weights) : 0;
    return status;
}

/* CPU that this thread has taken. */
static double seconds(void) {
    struct timespec now = {0, 0};
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &now);
    return (double)now.tv_sec + 1e-9 * (double)now.tv_nsec;
}

static void *labour(void *argument) {
    mf_pool *pool = argument;
    room own = {NULL, 0};
    pthread_mutex_lock(&pool->lock);
    while (!pool->closing) {
        mf_training *training = first_of(&pool->waiting);
        if (training == NULL) {
            pthread_cond_wait(&pool->given, &pool->lock);
            continue;
        }
        pthread_mutex_unlock(&pool->lock);
        const double begun = seconds();
        training->status = (int32_t)train(training, &own);
        training->seconds = seconds() - begun;
        pthread_mutex_lock(&pool->lock);
        append(&pool->finished, training);
        pthread_cond_signal(&pool->done);
    }
    pthread_mutex_unlock(&pool->lock);
    free(own.block);
    return NULL;
}

mf_pool *mf_pool_open(int32_t threads) {
    if (threads < 1) {
        return NULL;
    }
    mf_pool *pool = calloc(1, sizeof(mf_pool) + (size_t)threads * sizeof(pthread_t));
    if (pool == NULL) {
        return NULL;
    }
    pthread_mutex_init(&pool->lock, NULL);
    pthread_cond_init(&pool->given, NULL);
    pthread_cond_init(&pool->done, NULL);
    while (pool->threads < threads &&
           pthread_create(&pool->ids[pool->threads], NULL, labour, pool) == 0) {
        pool->threads++;
    }
    if (pool->threads == 0) {
        mf_pool_close(pool);
        return NULL;
    }
    return pool;
}

void mf_pool_give(mf_pool *pool, mf_training *training) {
    pthread_mutex_lock(&pool->lock);
    append(&pool->waiting, training);
    pool->under_way++;
    pthread_mutex_unlock(&pool->lock);
    pthread_cond_signal(&pool->given);
}

mf_training *mf_pool_take(mf_pool *pool) {
    pthread_mutex_lock(&pool->lock);
    while (pool->finished.first == NULL && pool->under_way > 0) {
        pthread_cond_wait(&pool->done, &pool->lock);
    }
    mf_training *training = first_of(&pool->finished);
    if (training != NULL) {
        pool->under_way--;
    }
    pthread_mutex_unlock(&pool->lock);
    return training;
}

void mf_pool_close(mf_pool *pool) {
    pthread_mutex_lock(&pool->lock);
    pool->closing = true;
    pthread_cond_broadcast(&pool->given);
    pthread_mutex_unlock(&pool->lock);
    for (int32_t i = 0; i < pool->threads; i++) {
        pthread_join(pool->ids[i], NULL);
    }
    pthread_cond_destroy(&pool->done);
    pthread_cond_destroy(&pool->given);
    pthread_mutex_destroy(&pool->lock);
    free(pool);
}

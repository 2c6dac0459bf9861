/* When to do something again, and how long the wait has grown: docs/protocol.md, section 4. */
#ifndef MICROFED_NODE_RETRY_H
#define MICROFED_NODE_RETRY_H

#include <stdbool.h>
#include <stdint.h>

/* Milliseconds. */
enum {
    MF_FIRST_WAIT = 2000,
    MF_LAST_WAIT = 30000,
    MF_RESUME_WAIT = 1000, /* after a reconnect the Task usually comes again by itself */
    MF_HELLO_WAIT = 4000,
    MF_LAST_HELLO_WAIT = 60000,
    MF_SETTLE_WAIT = 3000, /* what the aggregator has to answer offers before a node leaves */
};

typedef struct {
    uint32_t at, wait;
    bool set;
} mf_retry;

static inline mf_retry mf_retry_start(uint32_t now, uint32_t wait) {
    return (mf_retry){now + wait, wait, true};
}

/* Wait twice as long as before. */
static inline void mf_retry_again(mf_retry *retry, uint32_t now, uint32_t most) {
    retry->wait = 2 * retry->wait < most ? 2 * retry->wait : most;
    retry->at = now + retry->wait;
}

/* Wait half as long as before: there was an answer. */
static inline void mf_retry_ease(mf_retry *retry, uint32_t now) {
    retry->wait = retry->wait / 2 > MF_FIRST_WAIT ? retry->wait / 2 : MF_FIRST_WAIT;
    retry->at = now + retry->wait;
}

/* Wait as long as before, from now. */
static inline void mf_retry_postpone(mf_retry *retry, uint32_t now) {
    retry->at = now + retry->wait;
}

/* Whether `at` has come, on a clock that wraps. */
static inline bool mf_is_due(uint32_t at, uint32_t now) {
    return now - at < UINT32_C(1) << 31;
}

static inline bool mf_retry_is_due(const mf_retry *retry, uint32_t now) {
    return retry->set && mf_is_due(retry->at, now);
}

#endif

/* Pulling what a task needs, difference by difference: device_sim/download.py. */
#include <string.h>

#include "difference.h"
#include "state.h"
#include "version.h"

/* A difference while it is applied; it lies behind the object in the work memory. */
typedef struct {
    int32_t *codes;
    float *scales;
    mf_inflate *stream;
} applied;

static uint32_t aligned(uint32_t bytes) {
    return (bytes + 7) / 8 * 8;
}

static uint32_t lay_out(const mf_node *node, uint32_t object, applied *a) {
    const mf_node_model *model = node->settings->model;
    uint8_t *work = node->settings->work;
    uint32_t at = aligned(mf_assembly_bytes(object, node->settings->block));
    a->codes = (int32_t *)(void *)(work + at);
    at += aligned((uint32_t)mf_unmasked(model) * (uint32_t)sizeof(int32_t));
    a->scales = (float *)(void *)(work + at);
    at += aligned((uint32_t)model->scale_count * (uint32_t)sizeof(float));
    a->stream = (mf_inflate *)(void *)(work + at);
    return at + (uint32_t)sizeof(mf_inflate);
}

/* Whether there is room for an object, and for applying it. */
bool mf_can_pull(const mf_node *node, const mf_manifest *manifest) {
    applied a;
    return manifest->kind == MF_DIFFERENCE &&
           lay_out(node, manifest->size, &a) <= node->settings->work_size;
}

/* Whether the held version is what the task wants to be trained. */
static bool is_what(const mf_node *node) {
    const mf_task *task = &node->job.task;
    return mf_body_version(node->body) == task->version && mf_body_check(node->body) == task->check;
}

static void start_anew(mf_node *node) {
    node->body = mf_version_forget(node->settings->model, node->settings->flash);
}

/* Go back to the base file when the task begins there: the version that we hold is then none
 * of the aggregator's, whatever its number. */
static void fall_back(mf_node *node) {
    const mf_task *task = &node->job.task;
    const bool from_0 = task->object_count == 1 && task->objects[0].source == 0;
    if (mf_body_version(node->body) != 0 && !is_what(node) && (from_0 || task->version == 0)) {
        start_anew(node);
    }
}

/* The first of the task's objects that brings the held version on; NULL: none does. */
static const mf_manifest *next_object(const mf_node *node) {
    const mf_task *task = &node->job.task;
    for (uint32_t i = 0; i < task->object_count; i++) {
        const mf_manifest *m = &task->objects[i];
        if (m->kind == MF_DIFFERENCE && m->source == mf_body_version(node->body) &&
            m->source < m->target) {
            return m;
        }
    }
    return NULL;
}

/* Throw a damaged object away and begin again, but not for ever. */
static void fail(mf_node *node) {
    mf_refuse(node);
    node->pull.is_there = false;
    if (++node->job.failures >= MF_MOST_FAILURES) {
        mf_decline_job(node, MF_FAILED);
    } else {
        mf_proceed(node);
    }
}

/* Bring the held version on by the object that is complete. */
static bool advance(mf_node *node) {
    const mf_node_model *model = node->settings->model;
    const mf_manifest manifest = node->pull.assembly.manifest;
    const mf_task *task = &node->job.task;
    applied a;
    lay_out(node, manifest.size, &a);
    mf_body_codes(model, node->body, a.codes);
    mf_body_scales(model, node->body, a.scales);
    if (!mf_assembly_is_right(&node->pull.assembly) ||
        mf_difference_apply(model, node->pull.assembly.data, manifest.size, a.codes, a.scales,
                            a.stream) != MF_OK) {
        return false;
    }
    if (manifest.target == task->version &&
        mf_version_check(model, a.codes, a.scales) != task->check) {
        /* The difference was made for another version than the one that we held. */
        start_anew(node);
        return false;
    }
    const uint8_t *body =
        mf_version_write(model, node->settings->flash, manifest.target, a.codes, a.scales);
    node->body = body != NULL ? body : mf_version_newest(model, node->settings->flash);
    return body != NULL;
}

static void complete(mf_node *node) {
    if (advance(node)) {
        node->pull.is_there = false;
        mf_proceed(node);
    } else {
        fail(node);
    }
}

static void ask(mf_node *node) {
    mf_say(node, MF_SAY_NEED);
}

/* Take the job's next step: train when the model is there, else pull what is missing. */
void mf_proceed(mf_node *node) {
    fall_back(node);
    if (is_what(node)) {
        node->pull.is_there = false;
        node->job.stage = mf_offer_known(node) ? MF_HAS_OFFERED : MF_AT_WORK;
        return;
    }
    const mf_manifest *manifest = next_object(node);
    mf_pull *pull = &node->pull;
    if (manifest == NULL) {
        /* The aggregator believes that we hold another model: a Hello puts it right, and it
         * repeats the task.  The idle clock spaces them out. */
        pull->is_there = false;
        mf_refuse(node);
        if (!node->hello.set) {
            mf_say(node, MF_SAY_HELLO);
            mf_expect_hello(node);
        }
        return;
    }
    if (!pull->is_there || memcmp(&pull->assembly.manifest, manifest, sizeof *manifest) != 0) {
        mf_assembly_begin(&pull->assembly, manifest, node->settings->block, node->settings->work);
        pull->retry = mf_retry_start(node->now, MF_FIRST_WAIT);
        pull->is_there = true;
    }
    if (pull->assembly.left == 0) {
        complete(node);
    } else {
        mf_retry_postpone(&pull->retry, node->now);
        ask(node);
    }
}

void mf_ask_again(mf_node *node) {
    mf_retry_again(&node->pull.retry, node->now, MF_LAST_WAIT);
    ask(node);
}

void mf_take_block(mf_node *node, const mf_block *block) {
    mf_pull *pull = &node->pull;
    if (!pull->is_there || mf_assembly_add(&pull->assembly, block) != MF_BLOCK_NEW) {
        mf_refuse(node);
        return;
    }
    pull->awaited--;
    mf_retry_postpone(&pull->retry, node->now);
    if (node->job.stage != MF_PULLING) {
        return;
    }
    if (pull->assembly.left == 0) {
        complete(node);
    } else if (pull->awaited <= 0) {
        mf_retry_ease(&pull->retry, node->now);
        ask(node);
    }
}

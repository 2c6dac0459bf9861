/* Pulling what a task needs, difference by difference: device_sim/download.py. */
#include <string.h>

#include "difference.h"
#include "state.h"
#include "version.h"

/* Where a difference is applied: bytes of the work memory behind the object. */
typedef struct {
    uint32_t codes, scales, stream, end;
} places;

static uint32_t aligned(uint32_t bytes) {
    return (bytes + 7) / 8 * 8;
}

static places places_behind(const mf_node *node, uint32_t object) {
    const mf_node_model *model = node->settings->model;
    places p;
    p.codes = aligned(mf_assembly_bytes(object, node->settings->block));
    p.scales = p.codes + aligned((uint32_t)mf_unmasked(model) * (uint32_t)sizeof(int32_t));
    p.stream = p.scales + aligned((uint32_t)model->scale_count * (uint32_t)sizeof(float));
    p.end = p.stream + (uint32_t)sizeof(mf_inflate);
    return p;
}

/* Whether there is room for an object, and for applying it. */
bool mf_can_pull(const mf_node *node, const mf_manifest *manifest) {
    return manifest->kind == MF_DIFFERENCE &&
           places_behind(node, manifest->size).end <= node->settings->work_size;
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

static void go_on(mf_node *node);

/* Throw a damaged object away and begin again, but not for ever. */
static void fail(mf_node *node) {
    mf_refuse(node);
    node->pull.is_there = false;
    if (++node->job.failures >= MF_MOST_FAILURES) {
        mf_decline_job(node, MF_FAILED);
    } else {
        go_on(node);
    }
}

/* Bring the held version on by the object that is complete. */
static bool advance(mf_node *node) {
    const mf_node_model *model = node->settings->model;
    const mf_manifest manifest = node->pull.assembly.manifest;
    const mf_task *task = &node->job.task;
    const places at = places_behind(node, manifest.size);
    uint8_t *work = node->settings->work;
    int32_t *codes = (int32_t *)(void *)(work + at.codes);
    float *scales = (float *)(void *)(work + at.scales);
    mf_inflate *stream = (mf_inflate *)(void *)(work + at.stream);
    mf_body_codes(model, node->body, codes);
    mf_body_scales(model, node->body, scales);
    if (!mf_assembly_is_right(&node->pull.assembly) ||
        mf_difference_apply(model, node->pull.assembly.data, manifest.size, codes, scales,
                            stream) != MF_OK) {
        return false;
    }
    if (manifest.target == task->version && mf_version_check(model, codes, scales) != task->check) {
        /* The difference was made for another version than the one that we held. */
        start_anew(node);
        return false;
    }
    const uint8_t *body =
        mf_version_write(model, node->settings->flash, manifest.target, codes, scales);
    node->body = body != NULL ? body : mf_version_newest(model, node->settings->flash);
    return body != NULL;
}

static void complete(mf_node *node) {
    if (advance(node)) {
        node->pull.is_there = false;
        go_on(node);
    } else {
        fail(node);
    }
}

static void ask(mf_node *node) {
    mf_say(node, MF_SAY_NEED);
}

static void go_on(mf_node *node) {
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

/* Take the job's next step: train when the model is there, else pull what is missing.
 *
 * Before anything is pulled, and not after, it may begin at the base file: a version that the
 * task's own objects lead to and that is not the one it names would be come to again for ever. */
void mf_proceed(mf_node *node) {
    fall_back(node);
    go_on(node);
}

/* An object that came inside its task need not be pulled, unless it hashes wrong. */
void mf_take_inside(mf_node *node, const mf_bytes *data) {
    mf_pull *pull = &node->pull;
    if (node->job.stage != MF_PULLING || !pull->is_there || node->job.task.object_count != 1 ||
        data->size != pull->assembly.manifest.size) {
        return;
    }
    mf_assembly_fill(&pull->assembly, data->at);
    if (mf_assembly_is_right(&pull->assembly)) {
        node->unsaid &= ~(uint32_t)MF_SAY_NEED;
        complete(node);
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

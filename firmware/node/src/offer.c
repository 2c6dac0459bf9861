/* Bringing an update home: offer it, serve its blocks, repeat until there is a verdict:
 * device_sim/offering.py. */
#include <string.h>

#include "sha256.h"
#include "state.h"
#include "update.h"

enum { MOST_SERVED = 32, MOST_SERVED_BYTES = 256 * 1024 };

static mf_said *own_offer(mf_node *node) {
    return mf_memory_find(&node->memory, node->job.task.round, node->job.nonce);
}

static bool save(mf_node *node) {
    return mf_memory_save(&node->memory, node->settings->model, node->settings->flash, NULL, NULL);
}

static mf_said *first_of(mf_node *node, mf_said_state state) {
    for (uint32_t i = 0; i < node->memory.head.count; i++) {
        if (node->memory.head.said[i].state == state) {
            return &node->memory.head.said[i];
        }
    }
    return NULL;
}

static uint32_t count_of(const mf_node *node, mf_said_state state) {
    uint32_t count = 0;
    for (uint32_t i = 0; i < node->memory.head.count; i++) {
        count += node->memory.head.said[i].state == state ? 1 : 0;
    }
    return count;
}

/* What was said and not accepted is owed again. */
static void give_up(mf_said *said) {
    said->state = MF_REFUSED;
    said->due = 0;
}

/* Offer at once what was made before a loss of power; false: nothing was. */
bool mf_offer_known(mf_node *node) {
    mf_said *said = own_offer(node);
    if (said == NULL) {
        return false;
    }
    if (said->work != node->job.work) {
        give_up(said); /* of another run with the same seeds */
        return false;
    }
    said->state = MF_OFFERED;
    said->due = node->online;
    node->job.retry = mf_retry_start(node->now, MF_FIRST_WAIT);
    return true;
}

/* Add a new update to what waits for a verdict, and keep it. */
static bool keep(mf_node *node, const mf_made *made) {
    mf_memory *memory = &node->memory;
    const mf_job *job = &node->job;
    mf_said *said = &memory->head.said[memory->head.count++];
    memset(said, 0, sizeof *said);
    said->state = MF_OFFERED;
    said->round = job->task.round;
    memcpy(said->nonce, job->nonce, MF_ID_BYTES);
    said->work = job->work;
    said->trains = job->task.recipe.trains;
    said->version = job->task.version;
    said->check = job->task.check;
    said->samples = (uint32_t)node->settings->samples.count;
    said->loss_before = made->loss_before;
    said->loss_after = made->loss_after;
    said->size = (uint32_t)made->size;
    mf_sha256(made->data, said->size, said->digest);
    if (memory->head.count == MF_MOST_SAID) {
        give_up(&memory->head.said[0]);
    }
    return mf_memory_save(memory, node->settings->model, node->settings->flash, made->left,
                          made->data);
}

void mf_node_train(mf_node *node) {
    mf_job *job = &node->job;
    if (job->stage != MF_AT_WORK) {
        return;
    }
    const mf_node_settings *s = node->settings;
    const mf_assignment assignment = {.model = s->model,
                                      .body = node->body,
                                      .samples = &s->samples,
                                      .task = &job->task,
                                      .device = s->device,
                                      .memory = &node->memory,
                                      .flash = s->flash,
                                      .work = s->work,
                                      .work_size = s->work_size};
    mf_made made;
    const mf_status status = mf_make_update(&assignment, &made);
    if (status != MF_OK) {
        mf_decline_job(node, status == MF_NO_MEMORY ? MF_CANNOT : MF_FAILED);
        return;
    }
    node->view.trained++;
    if (!keep(node, &made)) {
        mf_memory_load(&node->memory, s->model, s->flash);
        mf_decline_job(node, MF_FAILED);
        return;
    }
    job->stage = MF_HAS_OFFERED;
    job->retry = mf_retry_start(node->now, MF_FIRST_WAIT);
    own_offer(node)->due = node->online;
}

void mf_offer_again(mf_node *node) {
    mf_retry_again(&node->job.retry, node->now, MF_LAST_WAIT);
    own_offer(node)->due = node->online;
}

void mf_serve_update(mf_node *node, const mf_need *need) {
    const mf_said *said = node->job.stage == MF_HAS_OFFERED ? own_offer(node) : NULL;
    if (said == NULL || memcmp(need->id, said->digest, MF_ID_BYTES) != 0 ||
        need->block > node->settings->block) {
        mf_refuse(node);
        return;
    }
    const uint32_t total = (said->size + need->block - 1) / need->block;
    uint32_t most = MOST_SERVED_BYTES / need->block;
    most = most < 1 ? 1 : most > MOST_SERVED ? MOST_SERVED : most;
    mf_serving *serving = &node->serving;
    memset(serving, 0, sizeof *serving);
    uint32_t end = 0;
    for (uint32_t bit = 0; bit < 8 * need->bitmap.size && most > 0; bit++) {
        const bool asked = need->bitmap.at[bit / 8] >> bit % 8 & 1;
        if (asked && need->first < total && bit < total - need->first) {
            serving->bitmap[bit / 8] |= (uint8_t)(1u << bit % 8);
            end = bit + 1;
            most--;
        }
    }
    mf_retry_ease(&node->job.retry, node->now);
    if (end > 0) {
        serving->round = said->round;
        memcpy(serving->nonce, said->nonce, MF_ID_BYTES);
        serving->block = need->block;
        serving->first = need->first;
        serving->end = end;
    }
}

void mf_take_verdict(mf_node *node, const mf_verdict *verdict) {
    mf_said *said = mf_memory_find(&node->memory, verdict->round, verdict->nonce);
    if (said == NULL) {
        mf_refuse(node);
        return;
    }
    if (said->state == MF_OFFERED) {
        node->job.stage = MF_DONE;
        node->job.retry.set = false;
    }
    if (verdict->reason == MF_ACCEPTED) {
        node->view.accepted++;
        mf_memory_drop(&node->memory, said);
    } else {
        node->view.rejected++;
        give_up(said);
    }
    save(node);
    if (node->winding_up && first_of(node, MF_ASKING) == NULL) {
        mf_leave(node);
    }
}

/* Give up the job; an offer that has no verdict yet goes on being repeated, without its data.
 * At once for the first time: the aggregator remembers a device's last answers only. */
void mf_set_aside(mf_node *node) {
    mf_said *said = node->job.stage == MF_HAS_OFFERED ? own_offer(node) : NULL;
    node->job.stage = MF_NO_JOB;
    node->serving.round = 0;
    if (said == NULL) {
        return;
    }
    said->state = MF_ASKING;
    said->due = node->online;
    node->settle = mf_retry_start(node->now, MF_FIRST_WAIT);
    if (count_of(node, MF_ASKING) > MF_MOST_ASKED) {
        give_up(first_of(node, MF_ASKING));
        save(node);
    }
}

/* Ask again what became of the offers of earlier rounds. */
void mf_settle(mf_node *node) {
    mf_retry_again(&node->settle, node->now, MF_LAST_WAIT);
    for (uint32_t i = 0; i < node->memory.head.count; i++) {
        mf_said *said = &node->memory.head.said[i];
        if (said->state == MF_ASKING) {
            said->due = node->online;
        }
    }
}

/* After a reconnect: repeat what is unanswered. */
void mf_resume_offers(mf_node *node) {
    if (node->job.stage == MF_HAS_OFFERED) {
        node->job.retry = mf_retry_start(node->now, MF_RESUME_WAIT);
    }
    if (first_of(node, MF_ASKING) != NULL) {
        node->settle = mf_retry_start(node->now, MF_FIRST_WAIT);
        mf_settle(node);
    }
    if (node->winding_up) {
        node->leave_at = node->now + MF_SETTLE_WAIT;
    }
}

/* The run is over: leave, but first hear what became of the last offers. */
void mf_wind_up(mf_node *node) {
    if (node->winding_up) {
        return;
    }
    mf_set_aside(node);
    node->hello.set = false;
    node->pull.is_there = false;
    if (first_of(node, MF_ASKING) != NULL) {
        node->winding_up = true;
        node->leave_at = node->now + MF_SETTLE_WAIT;
    } else {
        mf_leave(node);
    }
}

void mf_leave(mf_node *node) {
    bool forgot = false;
    for (uint32_t i = 0; i < node->memory.head.count; i++) {
        mf_said *said = &node->memory.head.said[i];
        if (said->state == MF_ASKING || said->state == MF_OFFERED) {
            give_up(said);
            forgot = true;
        }
    }
    if (forgot) {
        save(node);
    }
    node->job.stage = MF_NO_JOB;
    node->pull.is_there = false;
    node->serving.round = 0;
    node->unsaid = 0;
    node->leaving = true;
    node->left = !node->online;
    mf_say(node, MF_SAY_STATE);
}

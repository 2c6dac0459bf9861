/* Tasks and announcements: device_sim/device.py. */
#include <string.h>

#include "crc32.h"
#include "state.h"
#include "update.h"

enum { MOST_SECONDS = 1000000 }; /* of a deadline: a clock of milliseconds wraps after 4 million */

void mf_expect_hello(mf_node *node) {
    node->hello = mf_retry_start(node->now, MF_HELLO_WAIT);
}

/* Give the job up and say why.  Nobody answers a Decline: if it is lost, the Hello of an idle
 * device brings the task again. */
void mf_decline_job(mf_node *node, mf_refusal reason) {
    node->job.stage = MF_DONE;
    node->job.declined = reason;
    node->job.retry.set = false;
    node->view.declined++;
    mf_say(node, MF_SAY_DECLINE);
    mf_expect_hello(node);
}

/* Whether a device that should have been given work may have been forgotten. */
bool mf_is_unheard(const mf_node *node) {
    const mf_job *job = &node->job;
    if (!node->announced || node->announce.phase == MF_FINISHED) {
        return false;
    }
    if (job->stage == MF_NO_JOB || node->announce.phase == MF_WAITING) {
        return true;
    }
    if (job->stage == MF_DONE) {
        return job->declined != MF_NO_REFUSAL || job->task.round < node->announce.round;
    }
    return job->stage == MF_PULLING && !node->pull.is_there;
}

void mf_take_announce(mf_node *node, const mf_announce *announce) {
    const bool stranger = !node->announced || node->announce.session != announce->session;
    const bool same = node->announced && memcmp(&node->announce, announce, sizeof *announce) == 0;
    const uint32_t round = node->job.task.round;
    node->announce = *announce;
    node->announced = true;
    if (announce->phase == MF_FINISHED) {
        mf_wind_up(node);
        return;
    }
    /* An aggregator that begins anew with lower numbers ends the job as well, in whatever phase
     * it introduces itself: else its tasks would look old. */
    const bool newer = announce->phase == MF_TRAINING && announce->round > round;
    if (node->job.stage != MF_NO_JOB && (newer || (stranger && announce->round < round))) {
        mf_set_aside(node);
    }
    if (stranger) {
        mf_say(node, MF_SAY_HELLO);
    }
    if (!same) {
        mf_expect_hello(node);
    }
}

/* Tell tasks apart that ask for different updates, whatever there is to pull first. */
static uint32_t work_of(const mf_task *task) {
    mf_task bare = *task;
    memset(bare.objects, 0, sizeof bare.objects);
    bare.object_count = bare.deadline = 0;
    return mf_crc32(0, &bare, sizeof bare);
}

static uint32_t newest_round(const mf_node *node) {
    const bool training = node->announced && node->announce.phase == MF_TRAINING;
    const uint32_t announced = training ? node->announce.round : 0;
    const uint32_t own = node->job.stage != MF_NO_JOB ? node->job.task.round : 0;
    return announced > own ? announced : own;
}

/* Why the node will not take a task, if there is a reason. */
static mf_refusal objection(const mf_node *node, const mf_task *task) {
    static const char codec[] = "microfed";
    const mf_node_settings *s = node->settings;
    const int32_t values = mf_scope_values(s->model, &task->recipe.trains);
    if (node->battery_low) {
        return MF_BATTERY;
    }
    if (s->samples.count == 0) {
        return MF_NO_DATA;
    }
    if (task->codec.size != sizeof codec - 1 ||
        memcmp(task->codec.at, codec, sizeof codec - 1) != 0 ||
        memcmp(task->base, s->model->digest, MF_DIGEST_BYTES) != 0 || values == 0 ||
        mf_update_budget(task, values) > s->update_most) {
        return MF_CANNOT;
    }
    for (uint32_t i = 0; i < task->object_count; i++) {
        if (!mf_can_pull(node, &task->objects[i])) {
            return MF_CANNOT;
        }
    }
    return MF_NO_REFUSAL;
}

static uint32_t due_of(const mf_node *node, const mf_task *task) {
    const uint32_t seconds = task->deadline < MOST_SECONDS ? task->deadline : MOST_SECONDS;
    return node->now + 1000 * seconds;
}

/* The same task once more: whoever repeats it lacks our last word on it. */
static void again(mf_node *node, const mf_task *task) {
    mf_job *job = &node->job;
    if (job->stage == MF_PULLING) {
        job->task = *task;
        job->due = due_of(node, task);
        mf_proceed(node);
    } else if (job->stage == MF_HAS_OFFERED) {
        mf_offer_again(node);
    } else if (job->stage == MF_DONE && job->declined != MF_NO_REFUSAL) {
        mf_decline_job(node, job->declined);
    } else {
        mf_refuse(node);
    }
}

void mf_take_task(mf_node *node, const mf_task *task) {
    mf_job *job = &node->job;
    const uint32_t work = work_of(task);
    if (node->winding_up || task->round < newest_round(node)) {
        mf_refuse(node);
        return;
    }
    if (job->stage != MF_NO_JOB && job->work == work) {
        again(node, task);
        return;
    }
    mf_set_aside(node);
    memset(job, 0, sizeof *job);
    job->stage = MF_PULLING;
    job->task = *task;
    job->work = work;
    job->due = due_of(node, task);
    mf_update_nonce(node->settings->device, task, job->nonce);
    node->hello.set = false;
    const mf_refusal reason = objection(node, task);
    if (reason == MF_NO_REFUSAL) {
        mf_proceed(node);
    } else {
        mf_decline_job(node, reason);
    }
}

static void tick_job(mf_node *node) {
    mf_job *job = &node->job;
    if (job->stage == MF_PULLING && mf_is_due(job->due, node->now)) {
        /* Too late for this round.  What has come stays: the next may want the same object. */
        job->stage = MF_NO_JOB;
        mf_expect_hello(node);
    } else if (job->stage == MF_PULLING) {
        if (node->pull.is_there && mf_retry_is_due(&node->pull.retry, node->now)) {
            mf_ask_again(node);
        }
    } else if (job->stage == MF_HAS_OFFERED && mf_retry_is_due(&job->retry, node->now)) {
        mf_offer_again(node);
    }
}

void mf_round_tick(mf_node *node) {
    if (node->winding_up && mf_is_due(node->leave_at, node->now)) {
        mf_leave(node);
        return;
    }
    tick_job(node);
    if (mf_retry_is_due(&node->settle, node->now)) {
        mf_settle(node);
    }
    if (mf_retry_is_due(&node->hello, node->now)) {
        if (mf_is_unheard(node)) {
            mf_say(node, MF_SAY_HELLO);
            mf_retry_again(&node->hello, node->now, MF_LAST_HELLO_WAIT);
        } else {
            node->hello.set = false;
        }
    }
}

/* What a node knows, and what its parts do: connection and clock (node.c), rounds (round.c),
 * pulling a model (pull.c), bringing an update home (offer.c), speaking (say.c).
 *
 * The parts are those of device_sim, by the same names where C has them too. */
#ifndef MICROFED_NODE_STATE_H
#define MICROFED_NODE_STATE_H

#include "assembly.h"
#include "memory.h"
#include "messages.h"
#include "microfed/node.h"
#include "retry.h"

enum { MF_WINDOW = 8, MF_MOST_FAILURES = 3, MF_TOPIC_BYTES = 88 };

typedef enum {
    MF_NO_JOB = 0,
    MF_PULLING = 1,
    MF_AT_WORK = 2,     /* waits for mf_node_train */
    MF_HAS_OFFERED = 3, /* waits for the verdict */
    MF_DONE = 4,        /* judged, or declined */
} mf_stage;

/* A task and what has become of it. */
typedef struct {
    mf_stage stage;
    mf_refusal declined;
    mf_task task;
    uint32_t work; /* tells the task from others */
    uint8_t nonce[MF_ID_BYTES];
    uint32_t due; /* when the round's deadline passes */
    int32_t failures;
    mf_retry retry; /* of the offer */
} mf_job;

/* An object on its way in. */
typedef struct {
    bool is_there;
    mf_assembly assembly;
    int32_t awaited; /* blocks of the last window that are still to come */
    mf_retry retry;
} mf_pull;

/* Blocks of an update on their way out. */
typedef struct {
    uint32_t round; /* with the nonce the update's name; 0: none */
    uint8_t nonce[MF_ID_BYTES];
    uint32_t block, first, next, end; /* block `first` is bit 0; bits next … end − 1 remain */
    uint8_t bitmap[MF_NEED_BYTES];
} mf_serving;

/* What is to be said as soon as there is room: bits of mf_node.unsaid. */
enum {
    MF_SAY_STATE = 1,
    MF_SAY_HELLO = 2,
    MF_SAY_DECLINE = 4,
    MF_SAY_NEED = 8,
};

struct mf_node {
    mf_mqtt mqtt;
    const mf_node_settings *settings;
    mf_mqtt_settings connection;
    mf_mqtt_message will;
    uint8_t will_payload[16];
    char own[MF_TOPIC_BYTES], down[MF_TOPIC_BYTES], announce_topic[MF_TOPIC_BYTES];
    char client_id[MF_TOPIC_BYTES], will_topic[MF_TOPIC_BYTES];
    const char *filters[2];

    uint32_t now, session, sessions_kept;
    bool online, leaving, left, battery_low;
    uint16_t farewell; /* the publish that says goodbye */
    uint32_t unsaid;

    mf_announce announce;
    bool announced;
    mf_retry hello, settle;
    uint32_t leave_at;
    bool winding_up;

    const uint8_t *body; /* of the version that it holds */
    mf_pull pull;
    mf_job job;
    mf_serving serving;
    mf_memory memory;
    mf_node_view view;
};

/* node.c */
void mf_refuse(mf_node *node);

/* round.c */
void mf_take_announce(mf_node *node, const mf_announce *announce);
void mf_take_task(mf_node *node, const mf_task *task);
void mf_decline_job(mf_node *node, mf_refusal reason);
void mf_expect_hello(mf_node *node);
bool mf_is_unheard(const mf_node *node);
void mf_round_tick(mf_node *node);

/* pull.c */
void mf_proceed(mf_node *node);
void mf_take_block(mf_node *node, const mf_block *block);
void mf_ask_again(mf_node *node);
bool mf_can_pull(const mf_node *node, const mf_manifest *manifest);

/* offer.c */
bool mf_offer_known(mf_node *node);
void mf_offer_again(mf_node *node);
void mf_serve_update(mf_node *node, const mf_need *need);
void mf_take_verdict(mf_node *node, const mf_verdict *verdict);
void mf_set_aside(mf_node *node);
void mf_settle(mf_node *node);
void mf_resume_offers(mf_node *node);
void mf_wind_up(mf_node *node);
void mf_leave(mf_node *node);

/* say.c */
void mf_say(mf_node *node, uint32_t what);
bool mf_say_next(mf_node *node);

#endif

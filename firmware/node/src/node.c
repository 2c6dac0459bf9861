#include "microfed/node.h"

#include <string.h>

#include "state.h"
#include "store.h"
#include "version.h"

enum { SESSIONS_AT_ONCE = 16 };

typedef char mf_node_fits[sizeof(mf_node) <= MF_NODE_BYTES ? 1 : -1];

void mf_refuse(mf_node *node) {
    node->view.refused++;
}

static bool is_name(const char *name) {
    size_t length = 0;
    for (; name[length] != 0; length++) {
        const char c = name[length];
        if (!((c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') ||
              c == '-' || c == '_')) {
            return false;
        }
    }
    return length >= 1 && length <= MF_TEXT_BYTES;
}

/* Join texts; the result has MF_TOPIC_BYTES, and names are short enough. */
static void join(char *to, const char *const *parts, int count) {
    for (int i = 0; i < count; i++) {
        const size_t length = strlen(parts[i]);
        memcpy(to, parts[i], length);
        to += length;
    }
    *to = 0;
}

static void name_topics(mf_node *node) {
    const char *fleet = node->settings->fleet, *device = node->settings->device;
    join(node->own, (const char *[]){"microfed/v1/", fleet, "/d/", device, "/"}, 5);
    join(node->down, (const char *[]){node->own, "down"}, 2);
    join(node->announce_topic, (const char *[]){"microfed/v1/", fleet, "/a/round"}, 3);
    join(node->client_id, (const char *[]){fleet, "-", device}, 3);
    node->filters[0] = node->down;
    node->filters[1] = node->announce_topic;
}

static mf_status check(const mf_node_settings *s) {
    if (!is_name(s->fleet) || !is_name(s->device) || strlen(s->board) > MF_TEXT_BYTES ||
        s->block < 256 || s->block > 131072 || (s->block & (s->block - 1)) != 0) {
        return MF_BAD_ARGUMENT;
    }
    if ((uintptr_t)s->work % MF_ALIGN != 0) {
        return MF_MISALIGNED;
    }
    const mf_flash *f = s->flash;
    const uint32_t model = (s->model->body_size / MF_FLASH_PAGE + 2) * MF_FLASH_PAGE;
    const uint32_t memory = mf_memory_bytes(s->model, s->update_most);
    for (int i = 0; i < 2; i++) {
        if (f->size[MF_MODEL_A + i] < model || f->size[MF_MEMORY_A + i] < memory ||
            f->size[MF_SESSION_A + i] < 2 * MF_FLASH_PAGE) {
            return MF_NO_MEMORY;
        }
    }
    const bool enough = s->sending_size >= MF_NODE_SENDING((int32_t)s->block) &&
                        s->receiving_size >= MF_NODE_RECEIVING((int32_t)s->block);
    return enough ? MF_OK : MF_NO_MEMORY;
}

mf_status mf_node_begin(mf_node_memory *memory, const mf_node_settings *settings, mf_node **node) {
    const mf_status status = check(settings);
    if (status != MF_OK) {
        return status;
    }
    mf_node *n = (mf_node *)(void *)memory;
    memset(n, 0, sizeof *n);
    n->settings = settings;
    name_topics(n);
    n->body = mf_version_newest(settings->model, settings->flash);
    mf_memory_load(&n->memory, settings->model, settings->flash);
    const uint8_t *kept = mf_store_newest(settings->flash, MF_SESSION_A, 0);
    if (kept != NULL) {
        memcpy(&n->session, kept, sizeof n->session);
    }
    n->sessions_kept = n->session;
    n->will = (mf_mqtt_message){.payload = n->will_payload, .qos = 1, .retain = true};
    n->connection = (mf_mqtt_settings){
        .client_id = n->client_id,
        .username = settings->username,
        .password = settings->password,
        .filters = n->filters,
        .filter_count = 2,
        .will = &n->will,
        .keep_alive = settings->keep_alive,
        .seed = settings->seed,
    };
    const char *parts[] = {n->own, "state"};
    join(n->will_topic, parts, 2);
    n->will.topic = n->will_topic;
    n->will.topic_size = (int32_t)strlen(n->will_topic);
    n->will.payload_size = (int32_t)sizeof n->will_payload;
    *node = n;
    return mf_mqtt_begin(&n->mqtt, &n->connection, settings->transport, settings->sending,
                         settings->sending_size, settings->receiving, settings->receiving_size);
}

/* Count a connection.  Flash is written once for several: after a loss of power some numbers
 * are left out. */
static void count_session(mf_node *node) {
    node->session++;
    if (node->session > node->sessions_kept) {
        const uint32_t kept = node->session + SESSIONS_AT_ONCE - 1;
        mf_store store;
        mf_store_begin(&store, node->settings->flash, MF_SESSION_A, 0);
        mf_store_put(&store, &kept, sizeof kept);
        mf_store_end(&store);
        node->sessions_kept = kept;
    }
    mf_message lost = {.type = MF_PRESENCE};
    lost.is.presence.session = node->session;
    lost.is.presence.status = MF_LOST;
    node->will.payload_size =
        (int32_t)mf_message_write(&lost, node->will_payload, sizeof node->will_payload);
}

static void connected(mf_node *node) {
    node->online = true;
    node->unsaid = MF_SAY_STATE;
    node->serving.round = 0;
    if (node->announced) { /* else nobody is there yet; the announcement will bring it */
        node->unsaid |= MF_SAY_HELLO;
    }
    if (node->pull.is_there) {
        node->pull.retry = mf_retry_start(node->now, MF_RESUME_WAIT);
    }
    mf_resume_offers(node);
    if (mf_is_unheard(node)) {
        mf_expect_hello(node);
    }
}

static bool is_topic(const mf_mqtt_message *message, const char *topic) {
    return strlen(topic) == (size_t)message->topic_size &&
           memcmp(topic, message->topic, (size_t)message->topic_size) == 0;
}

static void receive(mf_node *node, const mf_mqtt_message *message) {
    mf_message m;
    node->view.messages_down++;
    node->view.bytes_down += (uint32_t)message->payload_size;
    const bool read = mf_message_read(&m, message->payload, (uint32_t)message->payload_size);
    const bool down = is_topic(message, node->down);
    if (read && m.type == MF_ANNOUNCE && is_topic(message, node->announce_topic)) {
        mf_take_announce(node, &m.is.announce);
    } else if (read && down && m.type == MF_TASK) {
        mf_take_task(node, &m.is.task);
    } else if (read && down && m.type == MF_BLOCK) {
        mf_take_block(node, &m.is.block);
    } else if (read && down && m.type == MF_NEED) {
        mf_serve_update(node, &m.is.need);
    } else if (read && down && m.type == MF_VERDICT) {
        mf_take_verdict(node, &m.is.verdict);
    } else {
        mf_refuse(node);
    }
}

static void lose(mf_node *node) {
    node->online = false;
    node->unsaid = 0;
    node->serving.round = 0;
    for (uint32_t i = 0; i < node->memory.head.count; i++) {
        node->memory.head.said[i].due = 0;
    }
    node->left = node->leaving;
}

/* Whether the client had something to do. */
static bool step_client(mf_node *node) {
    mf_mqtt_event event;
    const mf_mqtt_kind kind = mf_mqtt_step(&node->mqtt, node->now, &event);
    switch (kind) {
    case MF_MQTT_OPENING:
        count_session(node);
        break;
    case MF_MQTT_CONNECTED:
        connected(node);
        break;
    case MF_MQTT_MESSAGE:
        if (!node->leaving) {
            receive(node, &event.message);
        }
        break;
    case MF_MQTT_PUBLISHED:
        if (node->leaving && event.id == node->farewell) {
            mf_mqtt_leave(&node->mqtt);
        }
        break;
    case MF_MQTT_LOST:
        lose(node);
        break;
    default:
        break;
    }
    return kind != MF_MQTT_NOTHING;
}

mf_node_state mf_node_step(mf_node *node, uint32_t now) {
    node->now = now;
    if (node->left) {
        return MF_NODE_LEFT;
    }
    bool busy = step_client(node);
    if (node->online && !node->leaving) {
        mf_round_tick(node);
    }
    busy = mf_say_next(node) || busy;
    if (node->left) {
        return MF_NODE_LEFT;
    }
    if (node->job.stage == MF_AT_WORK) {
        return MF_NODE_TRAIN;
    }
    return busy ? MF_NODE_WORKING : MF_NODE_IDLE;
}

void mf_node_battery(mf_node *node, bool low) {
    node->battery_low = low;
}

void mf_node_leave(mf_node *node) {
    if (!node->leaving) {
        mf_leave(node);
    }
}

void mf_node_look(const mf_node *node, mf_node_view *view) {
    *view = node->view;
    view->round = node->job.task.round;
    view->version = mf_body_version(node->body);
    const mf_memory *memory = &node->memory;
    if (memory->head.count > 0) {
        const mf_said *said = &memory->head.said[memory->head.count - 1];
        view->update = mf_memory_data(memory, said);
        view->update_size = said->size;
        view->loss_before = said->loss_before;
        view->loss_after = said->loss_after;
    }
}

const uint8_t *mf_node_body(const mf_node *node) {
    return node->body;
}

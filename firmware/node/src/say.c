/* What a node says, as soon as the client has room for it. */
#include <string.h>

#include "crc32.h"
#include "state.h"
#include "version.h"

static mf_text text_of(const char *chars) {
    mf_text text = {0};
    while (text.size < MF_TEXT_BYTES && chars[text.size] != 0) {
        text.at[text.size] = chars[text.size];
        text.size++;
    }
    return text;
}

/* Offline nothing is said: the reconnect catches up. */
void mf_say(mf_node *node, uint32_t what) {
    if (node->online) {
        node->unsaid |= what;
    }
}

/* Publish on the own topic that ends with `name`; false: not now. */
static bool publish(mf_node *node, const char *name, const mf_message *message, bool retain,
                    uint16_t *id) {
    char topic[MF_TOPIC_BYTES];
    const size_t begin = strlen(node->own), length = strlen(name);
    memcpy(topic, node->own, begin);
    memcpy(topic + begin, name, length);
    const int32_t topic_size = (int32_t)(begin + length);
    int32_t room;
    uint8_t *payload = mf_mqtt_room(&node->mqtt, topic_size, &room);
    if (room <= 0) {
        return false;
    }
    const uint32_t size = mf_message_write(message, payload, (uint32_t)room);
    if (size > (uint32_t)room) {
        return false;
    }
    const mf_mqtt_message sent = {.topic = topic,
                                  .payload = payload,
                                  .topic_size = topic_size,
                                  .payload_size = (int32_t)size,
                                  .qos = 1,
                                  .retain = retain};
    if (mf_mqtt_publish(&node->mqtt, &sent, id) != MF_MQTT_QUEUED) {
        return false;
    }
    node->view.messages_up++;
    node->view.bytes_up += size;
    return true;
}

static bool say_up(mf_node *node, const mf_message *message) {
    return publish(node, "up", message, false, NULL);
}

static bool say_state(mf_node *node) {
    mf_message m = {.type = MF_PRESENCE};
    m.is.presence.session = node->session;
    m.is.presence.status = node->leaving ? MF_SLEEPING : MF_ONLINE;
    return publish(node, "state", &m, true, node->leaving ? &node->farewell : NULL);
}

static bool say_hello(mf_node *node) {
    const mf_node_settings *s = node->settings;
    mf_message m = {.type = MF_HELLO};
    mf_hello *h = &m.is.hello;
    h->session = node->session;
    h->protocol = MF_PROTOCOL;
    h->buffer = s->block;
    h->samples = (uint32_t)s->samples.count;
    h->board = text_of(s->board);
    h->base = (mf_bytes){s->model->digest, MF_DIGEST_BYTES};
    h->version = mf_body_version(node->body);
    h->check = mf_body_check(node->body);
    return say_up(node, &m);
}

static bool say_decline(mf_node *node) {
    mf_message m = {.type = MF_DECLINE};
    m.is.decline.round = node->job.task.round;
    m.is.decline.reason = node->job.declined;
    return say_up(node, &m);
}

static bool say_need(mf_node *node) {
    mf_message m = {.type = MF_NEED};
    uint8_t bitmap[MF_NEED_BYTES];
    const uint32_t asked = mf_assembly_missing(&node->pull.assembly, MF_WINDOW, &m.is.need, bitmap);
    if (asked == 0) {
        return true;
    }
    node->pull.awaited = (int32_t)asked;
    return say_up(node, &m);
}

/* An update that is short goes along; of an earlier round it does not. */
static bool say_offer(mf_node *node, const mf_said *said) {
    mf_message m = {.type = MF_OFFER};
    mf_offer *o = &m.is.offer;
    o->round = said->round;
    memcpy(o->nonce, said->nonce, MF_ID_BYTES);
    o->version = said->version;
    o->check = said->check;
    o->trains = said->trains;
    o->codec = text_of("microfed");
    o->samples = said->samples;
    o->loss_before = said->loss_before;
    o->loss_after = said->loss_after;
    if (said->state == MF_OFFERED && said->size <= node->settings->block) {
        o->data = (mf_bytes){mf_memory_data(&node->memory, said), said->size};
    } else {
        o->manifest.kind = MF_UPDATE;
        o->manifest.size = said->size;
        memcpy(o->manifest.digest, said->digest, MF_DIGEST_BYTES);
    }
    return say_up(node, &m);
}

/* The next block of those that the aggregator asked for; true: it was sent, or is not there. */
static bool say_block(mf_node *node) {
    mf_serving *s = &node->serving;
    const uint32_t bit = s->next;
    const mf_said *said = mf_memory_find(&node->memory, s->round, s->nonce);
    if (said == NULL) {
        s->round = 0;
        return true;
    }
    if (s->bitmap[bit / 8] >> bit % 8 & 1) {
        const uint32_t index = s->first + bit, start = index * s->block;
        const uint32_t rest = said->size - start, size = rest < s->block ? rest : s->block;
        mf_message m = {.type = MF_BLOCK};
        mf_block *b = &m.is.block;
        memcpy(b->id, said->digest, MF_ID_BYTES);
        b->index = index;
        b->total = (said->size + s->block - 1) / s->block;
        b->data = (mf_bytes){mf_memory_data(&node->memory, said) + start, size};
        b->crc = mf_crc32(0, b->data.at, size);
        if (!say_up(node, &m)) {
            return false;
        }
    }
    s->next++;
    if (s->next == s->end) {
        s->round = 0;
    }
    return true;
}

static mf_said *due_offer(mf_node *node) {
    for (uint32_t i = 0; i < node->memory.head.count; i++) {
        if (node->memory.head.said[i].due) {
            return &node->memory.head.said[i];
        }
    }
    return NULL;
}

/* Say one thing, in the order in which a device says them.  False: nothing, or not now. */
bool mf_say_next(mf_node *node) {
    static bool (*const sayers[])(mf_node *) = {say_state, say_hello, say_decline, say_need};
    if (!node->online) {
        return false;
    }
    for (uint32_t i = 0; i < sizeof sayers / sizeof *sayers; i++) {
        if (node->unsaid >> i & 1u) {
            if (!sayers[i](node)) {
                return false;
            }
            node->unsaid &= ~(1u << i);
            return true;
        }
    }
    mf_said *said = due_offer(node);
    if (said != NULL) {
        if (!say_offer(node, said)) {
            return false;
        }
        said->due = 0;
        return true;
    }
    return node->serving.round != 0 && say_block(node);
}

/* Any broker at all, on any link, at any time: the MQTT client keeps its promises.
 *
 * The input is a play.  Two bytes choose the buffers; after them each act is a byte that names
 * it, a byte that says how much, and for SAY the bytes that the broker sends.  The buffers are of
 * exactly their sizes, so that an access beyond them is a fault, and at the end a broker that
 * behaves must always be able to connect the client again. */
#include <assert.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "microfed/mqtt.h"

enum { SAY, CONNACK, SUBACK, ACKNOWLEDGE, WAIT, PUBLISH, COMPOSE, CHOKE, CUT, LEAVE, ACTS };

typedef struct {
    mf_mqtt client;
    mf_mqtt_message will;
    uint8_t *out, *in;
    int32_t out_size, in_size;
    uint32_t now;
    uint8_t coming[1024];
    int32_t at, end; /* of what the broker says */
    int32_t takes;   /* bytes that a send takes */
    bool down, connected, left;
    uint32_t awaited[MF_MQTT_IN_FLIGHT]; /* identifiers */
    uint32_t body, shift;                /* of the packet that the client sends */
    uint8_t phase;
} play;

/* What the client sends is always a sequence of whole packets that a client may send. */
static void check_sent(play *p, uint8_t byte) {
    switch (p->phase) {
    case 0:
        assert(byte == 0x10 || (byte & 0xF4) == 0x30 || byte == 0x40 || byte == 0x82 ||
               byte == 0xC0 || byte == 0xE0);
        p->phase = 1;
        p->body = p->shift = 0;
        break;
    case 1:
        p->body |= (uint32_t)(byte & 127) << p->shift;
        p->shift += 7;
        if (!(byte & 128)) {
            assert(p->body < (uint32_t)p->out_size);
            p->phase = p->body ? 2 : 0;
        }
        break;
    default:
        p->phase = --p->body ? 2 : 0;
    }
}

static int32_t send_bytes(void *context, const uint8_t *data, int32_t size) {
    play *p = context;
    if (size == 0) {
        p->at = p->end = 0;
        p->phase = 0;
        return 0;
    }
    if (p->down) {
        return -1;
    }
    const int32_t taken = size < p->takes ? size : p->takes;
    for (int32_t i = 0; i < taken; i++) {
        check_sent(p, data[i]);
    }
    return taken;
}

static int32_t receive_bytes(void *context, uint8_t *data, int32_t size) {
    play *p = context;
    if (p->down) {
        return -1;
    }
    const int32_t there = p->end - p->at, given = size < there ? size : there;
    memcpy(data, p->coming + p->at, (size_t)given);
    p->at += given;
    return given;
}

static void say(play *p, const uint8_t *data, int32_t size) {
    memmove(p->coming, p->coming + p->at, (size_t)(p->end - p->at));
    p->end -= p->at;
    p->at = 0;
    const int32_t room = (int32_t)sizeof p->coming - p->end;
    const int32_t taken = size < room ? size : room;
    memcpy(p->coming + p->end, data, (size_t)taken);
    p->end += taken;
}

static void check_message(const play *p, const mf_mqtt_message *message) {
    const uint8_t *topic = (const uint8_t *)message->topic, *end = p->in + p->in_size;
    assert(message->topic_size > 0 && message->payload_size >= 0 && message->qos <= 1);
    assert(topic >= p->in && topic + message->topic_size <= message->payload);
    assert(message->payload + message->payload_size <= end);
    volatile uint8_t sum = 0;
    for (int32_t i = 0; i < message->payload_size; i++) {
        sum ^= message->payload[i];
    }
}

static mf_mqtt_kind step(play *p) {
    mf_mqtt_event event;
    const mf_mqtt_kind kind = mf_mqtt_step(&p->client, p->now, &event);
    switch (kind) {
    case MF_MQTT_NOTHING:
    case MF_MQTT_WORKING:
        break;
    case MF_MQTT_OPENING:
        assert(!p->connected && !p->left);
        break;
    case MF_MQTT_CONNECTED:
        assert(!p->connected && !p->left);
        p->connected = true;
        break;
    case MF_MQTT_MESSAGE:
        assert(p->connected);
        check_message(p, &event.message);
        break;
    case MF_MQTT_PUBLISHED: {
        int i = 0;
        while (p->awaited[i] != event.id) {
            i++;
            assert(i < MF_MQTT_IN_FLIGHT);
        }
        p->awaited[i] = 0;
        assert(p->connected && event.id);
        break;
    }
    case MF_MQTT_LOST:
        assert(event.cause >= MF_MQTT_LINK_DOWN && event.cause <= MF_MQTT_LEFT);
        p->connected = false;
        p->left = event.cause == MF_MQTT_LEFT;
        memset(p->awaited, 0, sizeof p->awaited);
        break;
    }
    return kind;
}

static void settle(play *p) {
    for (int i = 0; step(p) != MF_MQTT_NOTHING; i++) {
        assert(i < 5000);
    }
}

static void remember(play *p, uint16_t id) {
    int i = 0;
    while (p->awaited[i]) {
        i++;
        assert(i < MF_MQTT_IN_FLIGHT);
    }
    p->awaited[i] = id;
}

static void publish(play *p, uint8_t much, bool in_place) {
    static const uint8_t zeros[256];
    mf_mqtt_message message = {
        .topic = "topic", .topic_size = 5, .payload = zeros, .payload_size = much, .qos = much & 1};
    if (in_place) {
        int32_t room;
        uint8_t *at = mf_mqtt_room(&p->client, message.topic_size, &room);
        if (!at || message.payload_size > room) {
            return;
        }
        memset(at, 1, (size_t)room);
        message.payload = at;
    }
    uint16_t id = 0;
    const mf_mqtt_sent sent = mf_mqtt_publish(&p->client, &message, &id);
    assert(sent != MF_MQTT_BAD_MESSAGE && (sent != MF_MQTT_QUEUED || p->connected));
    if (sent == MF_MQTT_QUEUED) {
        assert((id != 0) == (message.qos == 1));
        if (id) {
            remember(p, id);
        }
    }
}

static void acknowledge(play *p, uint8_t much) {
    const uint32_t id = p->awaited[much % MF_MQTT_IN_FLIGHT];
    const uint8_t packet[] = {0x40, 2, (uint8_t)(id >> 8), (uint8_t)id};
    say(p, packet, 4);
}

static void act(play *p, uint8_t what, uint8_t much, const uint8_t **data, size_t *size) {
    static const uint8_t connack[] = {0x20, 2, 0, 0}, suback[] = {0x90, 4, 0xFF, 0xFF, 1, 1};
    switch (what % ACTS) {
    case SAY: {
        const size_t said = much < *size ? much : *size;
        say(p, *data, (int32_t)said);
        *data += said;
        *size -= said;
        break;
    }
    case CONNACK:
        say(p, connack, sizeof connack);
        break;
    case SUBACK:
        say(p, suback, sizeof suback);
        break;
    case ACKNOWLEDGE:
        acknowledge(p, much);
        break;
    case WAIT:
        p->now += (uint32_t)much << (what / ACTS % 16);
        break;
    case PUBLISH:
        publish(p, much, false);
        break;
    case COMPOSE:
        publish(p, much, true);
        break;
    case CHOKE:
        p->takes = much;
        break;
    case CUT:
        p->down = much & 1;
        break;
    default:
        mf_mqtt_leave(&p->client);
    }
}

/* Whatever went before, a broker that behaves is reached within two of the longest waits. */
static void reconnect(play *p) {
    p->down = false;
    p->takes = 1 << 20;
    settle(p);
    for (int seconds = 0; !p->left && !p->connected; seconds++) {
        assert(seconds <= (2 * MF_MQTT_BACKOFF_MOST + MF_MQTT_PATIENCE) / 1000);
        if (step(p) == MF_MQTT_OPENING) {
            step(p);
            const uint8_t none = 0;
            const uint8_t *data = &none;
            size_t size = 0;
            p->at = p->end = 0;
            act(p, CONNACK, 0, &data, &size);
            act(p, SUBACK, 0, &data, &size);
        }
        settle(p);
        p->now += 1000;
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    if (size < 2) {
        return 0;
    }
    static const char *const filters[] = {"a/round", "d/one/down"};
    play *p = calloc(1, sizeof *p);
    p->will = (mf_mqtt_message){.topic = "d/one/state", .topic_size = 11, .qos = 1, .retain = true};
    const mf_mqtt_settings settings = {.client_id = "one",
                                       .filters = filters,
                                       .filter_count = 2,
                                       .will = &p->will,
                                       .keep_alive = 20,
                                       .seed = data[0]};
    const mf_transport transport = {p, send_bytes, receive_bytes};
    p->out_size = 64 + data[0];
    p->in_size = MF_MQTT_LEAST_RECEIVE + data[1] / 4;
    p->now = 0u - (uint32_t)data[1] * 4096u;
    p->takes = 1 << 20;
    p->out = malloc((size_t)p->out_size);
    p->in = malloc((size_t)p->in_size);
    assert(mf_mqtt_begin(&p->client, &settings, &transport, p->out, p->out_size, p->in,
                         p->in_size) == MF_OK);
    data += 2;
    size -= 2;
    while (size >= 2) {
        const uint8_t what = data[0], much = data[1];
        data += 2;
        size -= 2;
        act(p, what, much, &data, &size);
        if (what & 128) {
            step(p);
        } else {
            settle(p);
        }
    }
    reconnect(p);
    free(p->out);
    free(p->in);
    free(p);
    return 0;
}

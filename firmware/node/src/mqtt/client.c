#include "microfed/mqtt.h"

#include <stddef.h>
#include <string.h>

#include "mqtt/arrive.h"
#include "mqtt/packet.h"
#include "train/random.h"

/* client->state */
enum {
    WAITING,  /* for the end of the back-off */
    OPENING,  /* MF_MQTT_OPENING was given: CONNECT is next */
    GREETING, /* CONNECT is written, CONNACK is not there */
    UP,
    LEAVING, /* DISCONNECT is written, if there was a connection */
    ENDED,
};

/* Milliseconds that a broker has to close the connection after our DISCONNECT.  Hanging up
 * with bytes unread resets a TCP connection, and the DISCONNECT might be lost in that. */
enum { GOODBYE = 1000 };

/* Room that is wanted before a packet is taken: for its PUBACK, whatever it is. */
enum { ACKNOWLEDGEMENT = MF_HEADER + 2 + MF_RESERVE };

static void enter(mf_mqtt *client, uint8_t state) {
    client->state = state;
    client->since = client->now;
}

static bool lasted(const mf_mqtt *client, uint32_t milliseconds) {
    return client->now - client->since >= milliseconds;
}

static mf_mqtt_kind fail(mf_mqtt *client, mf_mqtt_cause cause) {
    client->cause = (uint8_t)cause;
    return MF_MQTT_NOTHING;
}

/* Hang up, forget the connection, and wait longer than the last time. */
static mf_mqtt_kind report_loss(mf_mqtt *client, mf_mqtt_event *event) {
    const bool left = client->state == LEAVING;
    event->cause = left ? MF_MQTT_LEFT : (mf_mqtt_cause)client->cause;
    event->code = client->code;
    client->counts.malformed += event->cause == MF_MQTT_MALFORMED;
    client->cause = 0;
    client->out_begin = client->out_end = 0;
    mf_await_packet(client);
    memset(client->in_flight, 0, sizeof client->in_flight);
    client->pinged = client->subscribing = false;
    client->transport.send(client->transport.context, NULL, 0);

    mf_random random = mf_random_from(client->settings->seed + client->losses++);
    const uint32_t half = client->backoff / 2;
    client->wait = half + mf_random_below(&random, half + 1);
    client->backoff =
        client->backoff > MF_MQTT_BACKOFF_MOST / 2 ? MF_MQTT_BACKOFF_MOST : 2 * client->backoff;
    enter(client, left ? ENDED : WAITING);
    return MF_MQTT_LOST;
}

/* Give the transport what it takes.  False: it is down. */
static bool flush(mf_mqtt *client) {
    while (client->out_begin < client->out_end) {
        const int32_t sent =
            client->transport.send(client->transport.context, client->out + client->out_begin,
                                   client->out_end - client->out_begin);
        if (sent <= 0) {
            return sent == 0;
        }
        client->out_begin += sent;
        client->counts.bytes_sent += (uint32_t)sent;
        client->sent_at = client->now;
    }
    return true;
}

static mf_mqtt_kind greet(mf_mqtt *client) {
    enter(client, GREETING);
    client->sent_at = client->received_at = client->now;
    return mf_write_connect(client) ? MF_MQTT_WORKING : fail(client, MF_MQTT_CRAMPED);
}

static mf_mqtt_kind accepted(mf_mqtt *client) {
    /* An answer to what was not yet said is the tail of another connection. */
    if (client->in_size != 2 || client->in[0] > 1 || client->out_begin < client->out_end) {
        return fail(client, MF_MQTT_MALFORMED);
    }
    if (client->in[1] != 0) {
        client->code = client->in[1];
        return fail(client, MF_MQTT_REFUSED);
    }
    client->subscribing = client->settings->filter_count > 0;
    if (client->subscribing && !mf_write_subscribe(client)) {
        return fail(client, MF_MQTT_CRAMPED);
    }
    enter(client, UP);
    client->counts.connections++;
    return MF_MQTT_CONNECTED;
}

static mf_mqtt_kind subscribed(mf_mqtt *client) {
    if (!client->subscribing) {
        client->counts.unexpected++;
        return MF_MQTT_WORKING;
    }
    if (client->in_size != 2 + client->settings->filter_count ||
        mf_read_two(client->in) != MF_SUBSCRIBE_ID) {
        return fail(client, MF_MQTT_MALFORMED);
    }
    client->subscribing = false;
    for (int32_t i = 0; i < client->settings->filter_count; i++) {
        const uint8_t granted = client->in[2 + i]; /* a QoS, or 0x80 */
        if (granted > 1) {
            client->code = (uint8_t)i;
            return fail(client, granted == 0x80 ? MF_MQTT_NOT_SUBSCRIBED : MF_MQTT_MALFORMED);
        }
    }
    return MF_MQTT_WORKING;
}

/* The place of an identifier that is in flight, or of 0: a free one; NULL if there is none. */
static uint16_t *find(mf_mqtt *client, uint16_t id) {
    for (int i = 0; i < MF_MQTT_IN_FLIGHT; i++) {
        if (client->in_flight[i] == id) {
            return &client->in_flight[i];
        }
    }
    return NULL;
}

static mf_mqtt_kind published(mf_mqtt *client, mf_mqtt_event *event) {
    const uint16_t id = client->in_size == 2 ? mf_read_two(client->in) : 0;
    if (id == 0) {
        return fail(client, MF_MQTT_MALFORMED);
    }
    uint16_t *place = find(client, id);
    if (!place) {
        client->counts.unexpected++;
        return MF_MQTT_WORKING;
    }
    *place = 0;
    event->id = id;
    return MF_MQTT_PUBLISHED;
}

static mf_mqtt_kind message(mf_mqtt *client, mf_mqtt_event *event) {
    uint16_t id = 0;
    if (mf_read_publish(client->first, client->in, client->in_size, client->body, &event->message,
                        &id) != MF_HEAD_WHOLE) {
        return fail(client, MF_MQTT_MALFORMED);
    }
    if (id) {
        mf_write_puback(client, id);
    }
    return MF_MQTT_MESSAGE;
}

static mf_mqtt_kind understand(mf_mqtt *client, mf_mqtt_event *event) {
    if (client->state == GREETING) {
        return client->first == MF_CONNACK ? accepted(client) : fail(client, MF_MQTT_MALFORMED);
    }
    if ((client->first & 0xF0) == MF_PUBLISH) {
        return message(client, event);
    }
    switch (client->first) {
    case MF_PUBACK:
        return published(client, event);
    case MF_SUBACK:
        return subscribed(client);
    case MF_PINGRESP:
        return client->in_size == 0 ? MF_MQTT_WORKING : fail(client, MF_MQTT_MALFORMED);
    default:
        return fail(client, MF_MQTT_MALFORMED);
    }
}

static mf_mqtt_kind take(mf_mqtt *client, mf_mqtt_event *event) {
    if (mf_free_bytes(client) < ACKNOWLEDGEMENT) {
        return MF_MQTT_NOTHING; /* until the transport has taken more */
    }
    const mf_arrival arrival = mf_take_packet(client, client->state == UP);
    mf_mqtt_kind kind = MF_MQTT_WORKING;
    switch (arrival) {
    case MF_NOT_YET:
        return MF_MQTT_NOTHING;
    case MF_SOME:
        return MF_MQTT_WORKING;
    case MF_DISCONNECTED:
        return fail(client, MF_MQTT_LINK_DOWN);
    case MF_BROKEN:
        return fail(client, MF_MQTT_MALFORMED);
    case MF_SKIPPED:
        if (client->skipped_id) {
            mf_write_puback(client, client->skipped_id);
        }
        break;
    case MF_WHOLE:
        kind = understand(client, event);
        break;
    }
    mf_await_packet(client);
    return kind;
}

/* What time alone brings about.  quiet: the transport has nothing more for us, so what is
 * overdue is late indeed, and not waiting behind other bytes. */
static void keep_time(mf_mqtt *client, bool quiet) {
    if (quiet && (client->state == GREETING || client->subscribing) &&
        lasted(client, MF_MQTT_PATIENCE)) {
        fail(client, MF_MQTT_TIMED_OUT);
    }
    if (client->state != UP || client->settings->keep_alive == 0) {
        return;
    }
    if (lasted(client, MF_MQTT_BACKOFF_MOST)) {
        client->backoff = MF_MQTT_BACKOFF_LEAST;
    }
    const uint32_t interval = client->settings->keep_alive * 750u; /* three quarters */
    if (client->pinged) {
        if (quiet && client->now - client->pinged_at >= MF_MQTT_PATIENCE) {
            fail(client, MF_MQTT_TIMED_OUT);
        }
    } else if (client->now - client->sent_at >= interval ||
               client->now - client->received_at >= interval) {
        mf_write_empty(client, MF_PINGREQ); /* no room: what fills it is a sign of life too */
        client->pinged = true;
        client->pinged_at = client->now;
    }
}

static mf_mqtt_kind leave(mf_mqtt *client, mf_mqtt_event *event) {
    const bool unsaid = client->out_begin < client->out_end;
    bool connected = flush(client);
    const bool said = client->out_begin == client->out_end;
    if (unsaid && said) {
        client->since = client->now;
    }
    connected = connected && mf_drop_bytes(client);
    if (connected && !lasted(client, said ? GOODBYE : MF_MQTT_PATIENCE)) {
        return MF_MQTT_NOTHING;
    }
    return report_loss(client, event);
}

mf_mqtt_kind mf_mqtt_step(mf_mqtt *client, uint32_t now, mf_mqtt_event *event) {
    *event = (mf_mqtt_event){.id = 0};
    client->now = now;
    if (client->cause) {
        return report_loss(client, event);
    }
    switch (client->state) {
    case WAITING:
        mf_drop_bytes(client); /* the tail of a connection that could not be hung up */
        if (!lasted(client, client->wait)) {
            return MF_MQTT_NOTHING;
        }
        enter(client, OPENING);
        return MF_MQTT_OPENING;
    case OPENING:
        greet(client);
        break;
    case LEAVING:
        return leave(client, event);
    case ENDED:
        return MF_MQTT_NOTHING;
    default:
        break;
    }
    mf_mqtt_kind kind = MF_MQTT_NOTHING;
    if (!client->cause && !flush(client)) {
        fail(client, MF_MQTT_LINK_DOWN);
    }
    if (!client->cause) {
        kind = take(client, event);
    }
    if (!client->cause) {
        keep_time(client, kind == MF_MQTT_NOTHING);
    }
    if (!client->cause && !flush(client)) {
        fail(client, MF_MQTT_LINK_DOWN);
    }
    /* An event that came with the end is told first, and the end by the next step. */
    return client->cause && kind <= MF_MQTT_WORKING ? report_loss(client, event) : kind;
}

/* Whether this may stand in a PUBLISH or a will. */
static bool sound(const mf_mqtt_message *message) {
    if (message->qos > 1 || message->topic_size < 1 || message->topic_size > UINT16_MAX ||
        message->payload_size < 0) {
        return false;
    }
    for (int32_t i = 0; i < message->topic_size; i++) {
        const char c = message->topic[i];
        if (c == '+' || c == '#' || c == '\0') {
            return false;
        }
    }
    return true;
}

mf_status mf_mqtt_begin(mf_mqtt *client, const mf_mqtt_settings *settings,
                        const mf_transport *transport, uint8_t *send_buffer, int32_t send_size,
                        uint8_t *receive_buffer, int32_t receive_size) {
    if (receive_size < MF_MQTT_LEAST_RECEIVE || settings->filter_count < 0 ||
        settings->filter_count > MF_MQTT_MOST_FILTERS ||
        (settings->password && !settings->username) || (settings->will && !sound(settings->will))) {
        return MF_BAD_ARGUMENT;
    }
    *client = (mf_mqtt){
        .settings = settings,
        .transport = *transport,
        .out = send_buffer,
        .in = receive_buffer,
        .out_capacity = send_size,
        .in_capacity = receive_size,
        .backoff = MF_MQTT_BACKOFF_LEAST,
        .state = WAITING,
    };
    mf_await_packet(client);
    const bool greets = mf_write_connect(client);
    client->out_end = 0;
    const bool subscribes = mf_write_subscribe(client);
    client->out_end = 0;
    return greets && subscribes ? MF_OK : MF_NO_MEMORY;
}

static uint16_t next_id(mf_mqtt *client) {
    do {
        client->last_id = (uint16_t)(client->last_id + 1u);
    } while (client->last_id == 0 || client->last_id == MF_SUBSCRIBE_ID ||
             find(client, client->last_id));
    return client->last_id;
}

mf_mqtt_sent mf_mqtt_publish(mf_mqtt *client, const mf_mqtt_message *message, uint16_t *id) {
    if (!sound(message)) {
        return MF_MQTT_BAD_MESSAGE;
    }
    if (message->payload_size >
        client->out_capacity - MF_RESERVE - MF_HEADER - 4 - message->topic_size) {
        return MF_MQTT_TOO_LONG;
    }
    if (client->state != UP || client->cause) {
        return MF_MQTT_OFFLINE;
    }
    uint16_t *place = find(client, 0);
    if (message->qos && !place) {
        return MF_MQTT_FULL;
    }
    const uint16_t chosen = message->qos ? next_id(client) : 0;
    if (!mf_write_publish(client, message, chosen)) {
        return MF_MQTT_FULL;
    }
    if (message->qos) {
        *place = chosen;
    }
    if (id) {
        *id = chosen;
    }
    return MF_MQTT_QUEUED;
}

uint8_t *mf_mqtt_room(mf_mqtt *client, int32_t topic_size, int32_t *room) {
    const int32_t before = MF_HEADER + 4 + topic_size; /* as for QoS 1 */
    const int32_t left = mf_free_bytes(client) - MF_RESERVE - before;
    *room = left > 0 ? left : 0;
    return left > 0 ? client->out + client->out_end + before : NULL;
}

void mf_mqtt_leave(mf_mqtt *client) {
    if (client->state == ENDED || client->state == LEAVING) {
        return;
    }
    if (client->state == GREETING || client->state == UP) {
        mf_write_empty(client, MF_DISCONNECT);
    }
    enter(client, LEAVING);
}

#include "mqtt/arrive.h"

#include "mqtt/packet.h"

enum { FIRST, LENGTH, BODY, SKIP }; /* client->phase */

static int32_t receive(mf_mqtt *client, uint8_t *data, int32_t size) {
    const int32_t got = client->transport.receive(client->transport.context, data, size);
    if (got > 0) {
        client->counts.bytes_received += (uint32_t)got;
        client->received_at = client->now;
        client->pinged = false;
    }
    return got;
}

void mf_await_packet(mf_mqtt *client) {
    client->phase = FIRST;
    client->body = 0;
    client->length_bytes = 0;
    client->in_size = 0;
    client->skipped_id = 0;
}

/* Seven bits of the length, the least significant ones first, in at most four bytes. */
static bool grow_length(mf_mqtt *client, uint8_t byte) {
    client->body |= (uint32_t)(byte & 127) << (7 * client->length_bytes);
    client->length_bytes++;
    return !(byte & 128) || client->length_bytes < 4;
}

static mf_arrival take_header(mf_mqtt *client, bool may_publish) {
    while (client->phase < BODY) {
        uint8_t byte;
        const int32_t got = receive(client, &byte, 1);
        if (got <= 0) {
            return got < 0 ? MF_DISCONNECTED : MF_NOT_YET;
        }
        if (client->phase == FIRST) {
            client->first = byte;
            client->phase = LENGTH;
        } else if (!grow_length(client, byte)) {
            return MF_BROKEN;
        } else if (!(byte & 128)) {
            client->left = client->body;
            client->phase = BODY;
        }
    }
    const bool publish = (client->first & 0xF0) == MF_PUBLISH;
    const uint32_t most = publish ? MF_MQTT_LONGEST : (uint32_t)client->in_capacity;
    return client->body > most || (publish && !may_publish) ? MF_BROKEN : MF_WHOLE;
}

/* The buffer is full, and the packet goes on: keep of it only what acknowledges it. */
static mf_arrival begin_to_skip(mf_mqtt *client) {
    mf_mqtt_message cut;
    uint16_t id = 0;
    if (mf_read_publish(client->first, client->in, client->in_size, client->body, &cut, &id) ==
        MF_HEAD_BAD) {
        return MF_BROKEN;
    }
    client->skipped_id = id;
    client->counts.skipped++;
    client->phase = SKIP;
    return MF_SOME;
}

mf_arrival mf_take_packet(mf_mqtt *client, bool may_publish) {
    if (client->phase < BODY) {
        const mf_arrival header = take_header(client, may_publish);
        if (header != MF_WHOLE) {
            return header;
        }
    }
    if (client->left > 0) {
        const int32_t at = client->phase == SKIP ? 0 : client->in_size;
        const int32_t room = client->in_capacity - at;
        const int32_t wanted = client->left < (uint32_t)room ? (int32_t)client->left : room;
        const int32_t got = receive(client, client->in + at, wanted);
        if (got <= 0) {
            return got < 0 ? MF_DISCONNECTED : MF_NOT_YET;
        }
        client->left -= (uint32_t)got;
        client->in_size = at + got;
    }
    if (client->left == 0) {
        return client->phase == SKIP ? MF_SKIPPED : MF_WHOLE;
    }
    if (client->phase == BODY && client->in_size == client->in_capacity) {
        return begin_to_skip(client);
    }
    return MF_SOME;
}

bool mf_drop_bytes(mf_mqtt *client) {
    return receive(client, client->in, client->in_capacity) >= 0;
}

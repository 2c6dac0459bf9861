#include "mqtt/packet.h"

#include <string.h>

/* A packet's body that grows in the send buffer. */
typedef struct {
    uint8_t *body;
    int32_t size, room;
    bool cramped;
} writer;

static writer begin_packet(mf_mqtt *client) {
    const int32_t room = mf_free_bytes(client) - MF_RESERVE - MF_HEADER;
    return (writer){client->out + client->out_end + MF_HEADER, 0, room, room < 0};
}

/* The bytes may overlap with where they go, or lie there already: mf_mqtt_room. */
static void put(writer *to, const void *bytes, int32_t size) {
    if (to->cramped || size > to->room - to->size) {
        to->cramped = true;
        return;
    }
    if (size > 0) {
        memmove(to->body + to->size, bytes, (size_t)size);
        to->size += size;
    }
}

static void put_byte(writer *to, uint8_t byte) {
    put(to, &byte, 1);
}

static void put_two(writer *to, uint32_t number) {
    put_byte(to, (uint8_t)(number >> 8));
    put_byte(to, (uint8_t)number);
}

static void put_field(writer *to, const void *bytes, int32_t size) {
    if (size > UINT16_MAX) {
        to->cramped = true;
        return;
    }
    put_two(to, (uint32_t)size);
    put(to, bytes, size);
}

static void put_text(writer *to, const char *text) {
    put_field(to, text, (int32_t)strlen(text));
}

/* Put the fixed header before the body, and close the gap that a short one leaves. */
static bool end_packet(mf_mqtt *client, const writer *packet, uint8_t first) {
    if (packet->cramped) {
        return false;
    }
    uint8_t *at = client->out + client->out_end;
    *at++ = first;
    uint32_t left = (uint32_t)packet->size;
    do {
        const uint8_t more = left > 127 ? 0x80 : 0;
        *at++ = (uint8_t)((left & 127u) | more);
        left >>= 7;
    } while (left > 0);
    memmove(at, packet->body, (size_t)packet->size);
    client->out_end = (int32_t)(at - client->out) + packet->size;
    return true;
}

int32_t mf_free_bytes(mf_mqtt *client) {
    const int32_t pending = client->out_end - client->out_begin;
    if (client->out_begin > 0) {
        memmove(client->out, client->out + client->out_begin, (size_t)pending);
        client->out_begin = 0;
        client->out_end = pending;
    }
    return client->out_capacity - pending;
}

bool mf_write_connect(mf_mqtt *client) {
    const mf_mqtt_settings *who = client->settings;
    const mf_mqtt_message *will = who->will;
    uint8_t flags = 0x02; /* clean session */
    if (will) {
        flags |= (uint8_t)(0x04 | will->qos << 3 | (will->retain ? 0x20 : 0));
    }
    if (who->username) {
        flags |= who->password ? 0xC0 : 0x80;
    }
    writer packet = begin_packet(client);
    put_text(&packet, "MQTT");
    put_byte(&packet, 4); /* the version that is 3.1.1 */
    put_byte(&packet, flags);
    put_two(&packet, who->keep_alive);
    put_text(&packet, who->client_id);
    if (will) {
        put_field(&packet, will->topic, will->topic_size);
        put_field(&packet, will->payload, will->payload_size);
    }
    if (who->username) {
        put_text(&packet, who->username);
    }
    if (who->password) {
        put_text(&packet, who->password);
    }
    return end_packet(client, &packet, MF_CONNECT);
}

bool mf_write_subscribe(mf_mqtt *client) {
    writer packet = begin_packet(client);
    put_two(&packet, MF_SUBSCRIBE_ID);
    for (int32_t i = 0; i < client->settings->filter_count; i++) {
        put_text(&packet, client->settings->filters[i]);
        put_byte(&packet, 1); /* QoS */
    }
    return end_packet(client, &packet, MF_SUBSCRIBE);
}

bool mf_write_publish(mf_mqtt *client, const mf_mqtt_message *message, uint16_t id) {
    writer packet = begin_packet(client);
    /* The payload goes first: what comes before it may be written over its old place. */
    const int32_t before = 2 + message->topic_size + (message->qos ? 2 : 0);
    packet.size = before;
    put(&packet, message->payload, message->payload_size);
    const int32_t size = packet.size;
    packet.size = 0;
    put_field(&packet, message->topic, message->topic_size);
    if (message->qos) {
        put_two(&packet, id);
    }
    packet.size = size;
    const uint8_t flags = (uint8_t)(message->qos << 1 | (message->retain ? 1 : 0));
    return end_packet(client, &packet, MF_PUBLISH | flags);
}

bool mf_write_puback(mf_mqtt *client, uint16_t id) {
    writer packet = begin_packet(client);
    put_two(&packet, id);
    return end_packet(client, &packet, MF_PUBACK);
}

bool mf_write_empty(mf_mqtt *client, uint8_t first) {
    const int32_t kept = first == MF_DISCONNECT ? 0 : MF_RESERVE;
    if (mf_free_bytes(client) - kept < 2) {
        return false;
    }
    client->out[client->out_end++] = first;
    client->out[client->out_end++] = 0;
    return true;
}

uint16_t mf_read_two(const uint8_t *data) {
    return (uint16_t)(data[0] << 8 | data[1]);
}

mf_head mf_read_publish(uint8_t first, const uint8_t *data, int32_t size, uint32_t body,
                        mf_mqtt_message *message, uint16_t *id) {
    const uint8_t qos = first >> 1 & 3;
    if (qos > 1 || body < 2) {
        return MF_HEAD_BAD;
    }
    const int32_t topic = mf_read_two(data);
    const int32_t head = 2 + topic + (qos ? 2 : 0);
    if (topic == 0 || (uint32_t)head > body) {
        return MF_HEAD_BAD;
    }
    if (head > size) {
        return MF_HEAD_CUT;
    }
    *id = qos ? mf_read_two(data + 2 + topic) : 0;
    if (qos && *id == 0) {
        return MF_HEAD_BAD;
    }
    *message = (mf_mqtt_message){
        .topic = (const char *)data + 2,
        .payload = data + head,
        .topic_size = topic,
        .payload_size = size - head,
        .qos = qos,
        .retain = (first & 1) != 0,
    };
    return MF_HEAD_WHOLE;
}

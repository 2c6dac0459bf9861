/* Control packets as bytes: MQTT 3.1.1, sections 2 and 3. */
#ifndef MICROFED_MQTT_PACKET_H
#define MICROFED_MQTT_PACKET_H

#include <stdbool.h>
#include <stdint.h>

#include "microfed/mqtt.h"

/* First bytes of the packets: the type and, where the standard fixes them, the flags. */
enum {
    MF_CONNECT = 0x10,
    MF_CONNACK = 0x20,
    MF_PUBLISH = 0x30, /* with flags: retain 1, QoS 2 and 4, duplicate 8 */
    MF_PUBACK = 0x40,
    MF_SUBSCRIBE = 0x82,
    MF_SUBACK = 0x90,
    MF_PINGREQ = 0xC0,
    MF_PINGRESP = 0xD0,
    MF_DISCONNECT = 0xE0,
};

/* The identifier of every SUBSCRIBE.  Publishes count from 1 to the one before it. */
#define MF_SUBSCRIBE_ID 0xFFFFu

/* Bytes that the send buffer keeps free for a DISCONNECT at any time. */
#define MF_RESERVE 2

/* Bytes before the body of a packet that is being written: its longest fixed header. */
#define MF_HEADER 5

/* Append one packet to the bytes to be sent.  False: there is no room, and nothing was done. */
bool mf_write_connect(mf_mqtt *client);
bool mf_write_subscribe(mf_mqtt *client);
bool mf_write_publish(mf_mqtt *client, const mf_mqtt_message *message, uint16_t id);
bool mf_write_puback(mf_mqtt *client, uint16_t id);
bool mf_write_empty(mf_mqtt *client, uint8_t first); /* PINGREQ; DISCONNECT may use the reserve */

/* Move what is still to be sent to the buffer's beginning; bytes that are free behind it. */
int32_t mf_free_bytes(mf_mqtt *client);

typedef enum { MF_HEAD_BAD, MF_HEAD_CUT, MF_HEAD_WHOLE } mf_head;

/* Read topic and identifier at the beginning of a PUBLISH, of which `size` of `body` bytes are
 * at `data`.  MF_HEAD_CUT: they reach beyond size, though not beyond body.  message and id
 * (0 for QoS 0) hold something only after MF_HEAD_WHOLE. */
mf_head mf_read_publish(uint8_t first, const uint8_t *data, int32_t size, uint32_t body,
                        mf_mqtt_message *message, uint16_t *id);

/* Two bytes, the more significant one first. */
uint16_t mf_read_two(const uint8_t *data);

#endif

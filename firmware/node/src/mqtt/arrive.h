/* Packets as they arrive, a few bytes at a time. */
#ifndef MICROFED_MQTT_ARRIVE_H
#define MICROFED_MQTT_ARRIVE_H

#include "microfed/mqtt.h"

typedef enum {
    MF_NOT_YET,     /* the transport has no more bytes now */
    MF_SOME,        /* part of a long packet: there may be more at once */
    MF_WHOLE,       /* client->first and in_size bytes at client->in */
    MF_SKIPPED,     /* a PUBLISH that was too long; client->skipped_id, or 0 */
    MF_BROKEN,      /* no broker sends this */
    MF_DISCONNECTED /* the transport is down */
} mf_arrival;

/* Forget what has arrived of a packet. */
void mf_await_packet(mf_mqtt *client);

/* Take what there is of the next packet, at most in_capacity bytes and a header.
 * may_publish: a PUBLISH is allowed; it alone may be longer than the buffer. */
mf_arrival mf_take_packet(mf_mqtt *client, bool may_publish);

/* Drop what there is, at most in_capacity bytes.  False: the transport is down. */
bool mf_drop_bytes(mf_mqtt *client);

#endif

/* A client of MQTT 3.1.1 (OASIS Standard, 29 October 2014): QoS 0 and 1, clean sessions.
 *
 * The client has no thread, no clock and no memory of its own: the caller brings two buffers, a
 * transport and the time, and calls mf_mqtt_step again and again.  It keeps one connection:
 * opens it, subscribes, keeps it alive, and after a loss begins anew, later and later.
 *
 *     static uint8_t sending[1536], receiving[1280];
 *     mf_mqtt client;
 *     mf_mqtt_begin(&client, &settings, &transport, sending, sizeof sending, ...);
 *     for (;;) {
 *         mf_mqtt_event event;
 *         switch (mf_mqtt_step(&client, milliseconds(), &event)) {
 *         case MF_MQTT_OPENING:   write the session's number into the will; break;
 *         case MF_MQTT_CONNECTED: mf_mqtt_publish(&client, &birth, &id); break;
 *         case MF_MQTT_MESSAGE:   event.message, until the next step; break;
 *         ...
 *
 * Nothing is sent twice within a connection, because the transport loses nothing, and nothing
 * is kept over a loss: what was not MF_MQTT_PUBLISHED may or may not have arrived.  Bytes that
 * no broker should send end the connection, as section 4.8 asks, and never do more. */
#ifndef MICROFED_MQTT_H
#define MICROFED_MQTT_H

#include <stdbool.h>
#include <stdint.h>

#include "microfed/export.h"
#include "microfed/status.h"
#include "microfed/transport.h"

/* Milliseconds that CONNACK, SUBACK and any sign of life after a PINGREQ may take. */
#ifndef MF_MQTT_PATIENCE
#define MF_MQTT_PATIENCE 10000
#endif

/* Milliseconds before the first new attempt and the most that doubling makes of them.  A wait
 * is half of it and a random part of the other half.  Doubling begins anew once a connection
 * has lasted MF_MQTT_BACKOFF_MOST. */
#ifndef MF_MQTT_BACKOFF_LEAST
#define MF_MQTT_BACKOFF_LEAST 500
#endif
#ifndef MF_MQTT_BACKOFF_MOST
#define MF_MQTT_BACKOFF_MOST 30000
#endif

/* Bytes: a packet that claims to be longer than this is no broker's of ours (docs/protocol.md
 * allows payloads of 132,096), and nobody waits for its end. */
#ifndef MF_MQTT_LONGEST
#define MF_MQTT_LONGEST 262144
#endif

/* Publishes of QoS 1 that may wait for their PUBACK at a time. */
#define MF_MQTT_IN_FLIGHT 8

#define MF_MQTT_MOST_FILTERS 60

/* Bytes: the smallest receive buffer. */
#define MF_MQTT_LEAST_RECEIVE 64

/* A message, to be sent or as it came.  Neither pointer is followed by a zero, and the topic of one
 * that came may be any bytes. */
typedef struct {
    const char *topic;
    const uint8_t *payload;           /* may be NULL when payload_size is 0 */
    int32_t topic_size, payload_size; /* 1 … 65535, 0 … */
    uint8_t qos;                      /* 0 or 1 */
    bool retain;
} mf_mqtt_message;

/* Who connects.  All of it must stay where it is for as long as the client is used. */
typedef struct {
    const char *client_id;       /* docs/protocol.md: {fleet}-{device} */
    const char *username;        /* NULL: none, and no password */
    const char *password;        /* NULL: none */
    const char *const *filters;  /* what to subscribe to after each CONNECT, at QoS 1 */
    int32_t filter_count;        /* 0 … MF_MQTT_MOST_FILTERS; with 0 there is no SUBSCRIBE */
    const mf_mqtt_message *will; /* NULL: none.  Read when CONNECT is written, in the step after
                                    MF_MQTT_OPENING: until then its payload may be changed */
    uint16_t keep_alive;         /* seconds; 0: the broker never misses us */
    uint32_t seed;               /* of the back-off's jitter: another one in each device */
} mf_mqtt_settings;

typedef enum {
    MF_MQTT_NOTHING = 0,   /* nothing to do now: sleep, or do something else */
    MF_MQTT_WORKING = 1,   /* something that is none of your business: step again soon */
    MF_MQTT_OPENING = 2,   /* the next step writes CONNECT, with the will as it is then */
    MF_MQTT_CONNECTED = 3, /* accepted; the subscription is on its way, before all you publish */
    MF_MQTT_MESSAGE = 4,   /* event.message points into the receive buffer until the next step;
                              only between CONNECTED and LOST.  It may come twice */
    MF_MQTT_PUBLISHED = 5, /* the broker has taken the publish event.id */
    MF_MQTT_LOST = 6,      /* the attempt or the connection is over: event.cause.  A new one
                              begins by itself, unless it was mf_mqtt_leave */
} mf_mqtt_kind;

typedef enum {
    MF_MQTT_LINK_DOWN = 1,      /* the transport said so: nobody there, or they closed it */
    MF_MQTT_TIMED_OUT = 2,      /* no CONNACK, SUBACK or sign of life within MF_MQTT_PATIENCE */
    MF_MQTT_MALFORMED = 3,      /* bytes that a broker must not send, there or at all */
    MF_MQTT_REFUSED = 4,        /* CONNACK with the code event.code, 1 to 5 or more */
    MF_MQTT_NOT_SUBSCRIBED = 5, /* SUBACK refuses filters[event.code] */
    MF_MQTT_CRAMPED = 6,        /* a will that has grown no longer fits the send buffer */
    MF_MQTT_LEFT = 7,           /* mf_mqtt_leave; nothing more happens until mf_mqtt_begin */
} mf_mqtt_cause;

typedef struct {
    mf_mqtt_message message; /* MESSAGE */
    mf_mqtt_cause cause;     /* LOST */
    uint16_t id;             /* PUBLISHED */
    uint8_t code;            /* LOST: REFUSED, NOT_SUBSCRIBED */
} mf_mqtt_event;

/* Whether a publish goes out: one value per cause. */
typedef enum {
    MF_MQTT_QUEUED = 0,      /* copied: all that it points to may be used again */
    MF_MQTT_OFFLINE = 1,     /* not between CONNECTED and LOST */
    MF_MQTT_FULL = 2,        /* not now: MF_MQTT_IN_FLIGHT wait, or the buffer must drain first */
    MF_MQTT_TOO_LONG = 3,    /* never: it is longer than the send buffer */
    MF_MQTT_BAD_MESSAGE = 4, /* never: the topic is empty, too long or has a wildcard, or the QoS
                                is neither 0 nor 1 */
} mf_mqtt_sent;

/* Since mf_mqtt_begin; each wraps at 2^32. */
typedef struct {
    uint32_t bytes_sent, bytes_received;
    uint32_t connections; /* that were accepted */
    uint32_t malformed;   /* that ended with MF_MQTT_MALFORMED */
    uint32_t skipped;     /* PUBLISH packets longer than the receive buffer */
    uint32_t unexpected;  /* acknowledgements of what nobody waits for */
} mf_mqtt_counts;

/* The client.  Read counts; the rest is its own. */
typedef struct {
    mf_mqtt_counts counts;

    const mf_mqtt_settings *settings;
    mf_transport transport;
    uint8_t *out, *in;
    int32_t out_capacity, in_capacity;

    int32_t out_begin, out_end; /* bytes of `out` that are still to be sent */
    int32_t in_size;            /* bytes of the packet's body in `in` */
    uint32_t body, left;        /* of the packet that arrives: its length, and what is missing */
    uint32_t now, since;        /* of this step; of the beginning of this state */
    uint32_t sent_at, received_at, pinged_at;
    uint32_t backoff, wait; /* the next wait at its longest; the present one */
    uint32_t losses;
    uint16_t in_flight[MF_MQTT_IN_FLIGHT]; /* packet identifiers; 0: a free place */
    uint16_t last_id, skipped_id;
    uint8_t state, phase, first, length_bytes;
    uint8_t cause, code; /* of a loss that is still to be reported; 0: none */
    bool pinged, subscribing;
} mf_mqtt;

/* Prepare a client; its first steps open the connection.
 *
 * The receive buffer holds one packet without its two to five first bytes: the longest payload
 * and its topic, and 4 more.  A longer PUBLISH is skipped, counted, and acknowledged if its
 * topic fits.  The send buffer holds what the transport has not taken yet: at least the longest
 * publish and its topic, and 11 more.
 * MF_BAD_ARGUMENT: receive_size is below MF_MQTT_LEAST_RECEIVE, filter_count is out of range, or
 * there is a password and no username.
 * MF_NO_MEMORY: CONNECT or SUBSCRIBE, and 2 more, do not fit into send_size bytes. */
MF_EXPORT mf_status mf_mqtt_begin(mf_mqtt *client, const mf_mqtt_settings *settings,
                                  const mf_transport *transport, uint8_t *send_buffer,
                                  int32_t send_size, uint8_t *receive_buffer, int32_t receive_size);

/* Do what is due, and say what happened.  Never waits; takes at most one packet from the
 * transport, and no more bytes than the receive buffer has.
 *
 * now: milliseconds of a clock that may wrap at 2^32 and may begin anywhere.  Call it at least
 * every few seconds; the more often, the sooner things happen. */
MF_EXPORT mf_mqtt_kind mf_mqtt_step(mf_mqtt *client, uint32_t now, mf_mqtt_event *event);

/* Send a message.  id (may be NULL): what MF_MQTT_PUBLISHED will name, 0 for QoS 0. */
MF_EXPORT mf_mqtt_sent mf_mqtt_publish(mf_mqtt *client, const mf_mqtt_message *message,
                                       uint16_t *id);

/* Where in the send buffer a payload may be written, to be published without a copy elsewhere.
 *
 * Valid until the next call of any function of the client; the message's payload then points
 * there, and its topic has topic_size bytes.
 * room: bytes that there are; 0, and NULL, when there is no room now. */
MF_EXPORT uint8_t *mf_mqtt_room(mf_mqtt *client, int32_t topic_size, int32_t *room);

/* Say DISCONNECT, behind all that was published, so that the broker drops the will; then stop.
 * MF_MQTT_LOST with MF_MQTT_LEFT tells when that is done. */
MF_EXPORT void mf_mqtt_leave(mf_mqtt *client);

#endif

/* A stream of bytes to a broker and back: a socket, a modem, a UART.  The port provides it.
 *
 * Neither function ever waits.  Both return how many bytes they moved, from 0 ("not now, try
 * again") to size, or −1: the link is down, and what was on its way is lost.  Bytes arrive in
 * order, once and whole, as TCP or a flow-controlled UART brings them. */
#ifndef MICROFED_TRANSPORT_H
#define MICROFED_TRANSPORT_H

#include <stdint.h>

typedef struct {
    void *context; /* the port's own: the first argument of both */

    /* size > 0: the next bytes of the stream.  On a link that is down it begins to open it
     * anew and returns 0 until that has come to an end.
     * size 0 (data is NULL): hang up; what is received before the next bytes are sent belongs
     * to nobody.  A link that cannot hang up ignores it: the client then drops what still comes
     * and begins with a CONNECT, and a broker must close a connection that has two of them. */
    int32_t (*send)(void *context, const uint8_t *data, int32_t size);

    /* size > 0: as many bytes as there are now, at most size. */
    int32_t (*receive)(void *context, uint8_t *data, int32_t size);
} mf_transport;

#endif

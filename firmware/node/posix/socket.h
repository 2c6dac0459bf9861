/* The node's transport over TCP, for systems with BSD sockets. */
#ifndef MICROFED_SOCKET_H
#define MICROFED_SOCKET_H

#include <stdbool.h>

#include <sys/socket.h>

#include "microfed/export.h"
#include "microfed/transport.h"

typedef struct {
    struct sockaddr_storage address;
    socklen_t address_size;
    int fd; /* −1: down */
    bool open;
} mf_socket;

/* Find the broker's address; nothing is connected before the first byte is sent.
 * NULL, or why it cannot be found.  Waits for the name server if host is a name. */
MF_EXPORT const char *mf_socket_begin(mf_socket *to, const char *host, const char *port);

/* Sends and receives over `to`, which must stay where it is. */
MF_EXPORT mf_transport mf_socket_transport(mf_socket *to);

#endif

#define _POSIX_C_SOURCE 200809L

#include "socket.h"

#include <errno.h>
#include <fcntl.h>
#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <string.h>
#include <unistd.h>

static int32_t hang_up(mf_socket *to) {
    if (to->fd >= 0) {
        close(to->fd);
    }
    to->fd = -1;
    to->open = false;
    return -1;
}

static int32_t dial(mf_socket *to) {
    to->fd = socket(to->address.ss_family, SOCK_STREAM, 0);
    if (to->fd < 0) {
        return -1;
    }
    /* Without it Nagle's algorithm and delayed acknowledgements wait for each other. */
    const int yes = 1;
    setsockopt(to->fd, IPPROTO_TCP, TCP_NODELAY, &yes, sizeof yes);
    if (fcntl(to->fd, F_SETFL, O_NONBLOCK) < 0 || fcntl(to->fd, F_SETFD, FD_CLOEXEC) < 0) {
        return hang_up(to);
    }
    if (connect(to->fd, (const struct sockaddr *)&to->address, to->address_size) < 0 &&
        errno != EINPROGRESS) {
        return hang_up(to);
    }
    return 0;
}

/* Whether the connection is there: 1, 0 not yet, −1 refused. */
static int32_t dialled(mf_socket *to) {
    struct pollfd polled = {.fd = to->fd, .events = POLLOUT};
    if (poll(&polled, 1, 0) <= 0) {
        return 0;
    }
    int error = 0;
    socklen_t size = sizeof error;
    if (getsockopt(to->fd, SOL_SOCKET, SO_ERROR, &error, &size) < 0 || error != 0) {
        return hang_up(to);
    }
    to->open = true;
    return 1;
}

static int32_t moved(mf_socket *to, ssize_t bytes) {
    if (bytes > 0) {
        return (int32_t)bytes;
    }
    const bool again = bytes < 0 && (errno == EAGAIN || errno == EWOULDBLOCK || errno == EINTR);
    return again ? 0 : hang_up(to);
}

static int32_t send_bytes(void *context, const uint8_t *data, int32_t size) {
    mf_socket *to = context;
    if (size == 0) {
        hang_up(to);
        return 0;
    }
    if (to->fd < 0) {
        return dial(to);
    }
    if (!to->open) {
        const int32_t there = dialled(to);
        if (there <= 0) {
            return there;
        }
    }
    return moved(to, send(to->fd, data, (size_t)size, MSG_NOSIGNAL));
}

static int32_t receive_bytes(void *context, uint8_t *data, int32_t size) {
    mf_socket *to = context;
    if (to->fd < 0) {
        return -1;
    }
    return to->open ? moved(to, recv(to->fd, data, (size_t)size, 0)) : 0;
}

const char *mf_socket_begin(mf_socket *to, const char *host, const char *port) {
    const struct addrinfo hints = {.ai_socktype = SOCK_STREAM};
    struct addrinfo *found = NULL;
    const int failed = getaddrinfo(host, port, &hints, &found);
    if (failed) {
        return gai_strerror(failed);
    }
    *to = (mf_socket){.fd = -1, .address_size = found->ai_addrlen};
    memcpy(&to->address, found->ai_addr, found->ai_addrlen);
    freeaddrinfo(found);
    return NULL;
}

mf_transport mf_socket_transport(mf_socket *to) {
    return (mf_transport){to, send_bytes, receive_bytes};
}

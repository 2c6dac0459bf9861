/* A node as a program: `microfed node --posix` compiles it with the tables of a model.
 *
 *     node HOST PORT FLEET DEVICE SAMPLES FLASH
 *
 * SAMPLES holds their number, their classes (int32) and their values (float).  What the node
 * does goes to stdout, a line each; it ends when the run is over, or politely on SIGTERM. */
#define _POSIX_C_SOURCE 200809L

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "flash.h"
#include "microfed/made.h"
#include "socket.h"

static volatile sig_atomic_t told_to_end;

static void end(int number) {
    (void)number;
    told_to_end = 1;
}

static uint32_t milliseconds(void) {
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint32_t)((uint64_t)now.tv_sec * 1000 + (uint64_t)now.tv_nsec / 1000000);
}

static int complain(const char *what, const char *why) {
    fprintf(stderr, "%s: %s\n", what, why);
    return 2;
}

static const char *read_samples(const char *path, mf_samples *samples) {
    const mf_shape shape = model.train->tensors[model.train->input].shape;
    const int32_t values = shape.height * shape.width * shape.channels;
    struct stat found;
    const int fd = open(path, O_RDONLY);
    if (fd < 0 || fstat(fd, &found) < 0) {
        return strerror(errno);
    }
    const void *memory = mmap(NULL, (size_t)found.st_size, PROT_READ, MAP_SHARED, fd, 0);
    close(fd);
    if (memory == MAP_FAILED) {
        return strerror(errno);
    }
    const int32_t *head = memory;
    const int64_t wanted = 4 + 4 * (int64_t)head[0] * (1 + values);
    if (head[0] < 0 || wanted != found.st_size) {
        return "these are not samples of this model";
    }
    samples->count = head[0];
    samples->y = head + 1;
    samples->x = (const float *)(const void *)(head + 1 + head[0]);
    return NULL;
}

static void tell(const mf_node_view *was, const mf_node_view *is) {
    if (is->version != was->version) {
        printf("version %u\n", is->version);
    }
    if (is->trained != was->trained) {
        printf("update %u ", is->round);
        for (uint32_t i = 0; i < is->update_size; i++) {
            printf("%02x", is->update[i]);
        }
        printf("\n");
    }
    if (is->accepted != was->accepted || is->rejected != was->rejected) {
        printf("accepted %u rejected %u\n", is->accepted, is->rejected);
    }
    fflush(stdout);
}

/* Sleep until bytes come, but not for long: clocks of the node may be due. */
static void wait_for(const mf_socket *to) {
    struct pollfd polled = {.fd = to->fd, .events = POLLIN};
    poll(&polled, to->fd >= 0 && to->open ? 1 : 0, 20);
}

static void run(mf_node *node, const mf_socket *to) {
    mf_node_view was = {0}, is;
    for (;;) {
        if (told_to_end) {
            mf_node_leave(node);
        }
        const mf_node_state state = mf_node_step(node, milliseconds());
        if (state == MF_NODE_TRAIN) {
            mf_node_train(node);
        }
        mf_node_look(node, &is);
        tell(&was, &is);
        was = is;
        if (state == MF_NODE_LEFT) {
            break;
        }
        if (state == MF_NODE_IDLE) {
            wait_for(to);
        }
    }
    printf("left up %u in %u, down %u in %u, refused %u, trained %u, declined %u\n", is.bytes_up,
           is.messages_up, is.bytes_down, is.messages_down, is.refused, is.trained, is.declined);
}

int main(int count, char **words) {
    if (count != 7) {
        return complain("usage", "node HOST PORT FLEET DEVICE SAMPLES FLASH");
    }
    static mf_file_flash flash;
    static mf_socket to;
    static mf_node_memory memory;
    mf_node_settings settings = node_settings;
    settings.fleet = words[3];
    settings.device = words[4];
    settings.board = "posix";
    settings.username = getenv("MICROFED_USER");
    settings.password = getenv("MICROFED_PASSWORD");
    settings.seed = (uint32_t)getpid();
    settings.keep_alive = 60;
    settings.flash = &flash.flash;
    const char *error = mf_socket_begin(&to, words[1], words[2]);
    if (error != NULL) {
        return complain(words[1], error);
    }
    error = read_samples(words[5], &settings.samples);
    if (error != NULL) {
        return complain(words[5], error);
    }
    error = mf_file_flash_begin(&flash, words[6], node_areas);
    if (error != NULL) {
        return complain(words[6], error);
    }
    const mf_transport transport = mf_socket_transport(&to);
    settings.transport = &transport;
    mf_node *node;
    const mf_status status = mf_node_begin(&memory, &settings, &node);
    if (status != MF_OK) {
        fprintf(stderr, "node: status %d\n", (int)status);
        return 2;
    }
    struct sigaction action = {.sa_handler = end};
    sigaction(SIGTERM, &action, NULL);
    run(node, &to);
    return 0;
}

#include "uart.h"

#include <stddef.h>

#define REGISTER(address) (*(volatile uint32_t *)(uintptr_t)(address))
#define LINK(offset)      REGISTER(BOARD_UART + 0x1000u + (offset))
#define DATA              LINK(0x00)
#define STATE             LINK(0x04)
#define CONTROL           LINK(0x08)
#define CLEAR             LINK(0x0C) /* interrupts */
#define DIVIDER           LINK(0x10)
#define TRANSMIT_FULL     1u
#define RECEIVE_FULL      2u
#define RECEIVED          2u
#define ENABLED           0x0Bu /* transmit and receive, an interrupt for what was received */

#define NVIC_ENABLE(i)  REGISTER(0xE000E100u + 4 * (i))
#define NVIC_DISABLE(i) REGISTER(0xE000E180u + 4 * (i))
#define NVIC_FORGET(i)  REGISTER(0xE000E280u + 4 * (i))
enum { NVIC_WORDS = 4 };

static int32_t uart_send(void *context, const uint8_t *data, int32_t size) {
    (void)context;
    int32_t sent = 0;
    while (sent < size && !(STATE & TRANSMIT_FULL)) {
        DATA = data[sent++];
    }
    return sent;
}

static int32_t uart_receive(void *context, uint8_t *data, int32_t size) {
    (void)context;
    int32_t received = 0;
    while (received < size && (STATE & RECEIVE_FULL)) {
        data[received++] = (uint8_t)DATA;
    }
    return received;
}

const mf_transport qemu_uart = {NULL, uart_send, uart_receive};

void qemu_uart_begin(void) {
    DIVIDER = 16;
    CONTROL = ENABLED;
}

void qemu_uart_wait(void) {
    /* Interrupts wake the core, but none is taken: there is no handler.  All are enabled, for
     * their numbers differ from board to board and only the link's is ever raised. */
    __asm volatile("cpsid i" ::: "memory");
    for (uint32_t i = 0; i < NVIC_WORDS; i++) {
        NVIC_ENABLE(i) = UINT32_MAX;
    }
    if (!(STATE & RECEIVE_FULL)) {
        __asm volatile("dsb\n\twfi" ::: "memory");
    }
    CLEAR = RECEIVED;
    for (uint32_t i = 0; i < NVIC_WORDS; i++) {
        NVIC_DISABLE(i) = UINT32_MAX;
        NVIC_FORGET(i) = UINT32_MAX;
    }
    __asm volatile("cpsie i" ::: "memory");
}

/* The UART of Arm's MPS2 and MPS3 images. */
#include "board.h"

#define REGISTER(offset) (*(volatile uint32_t *)(uintptr_t)(BOARD_UART + (offset)))
#define DATA             REGISTER(0x00)
#define STATE            REGISTER(0x04)
#define CONTROL          REGISTER(0x08)
#define DIVIDER          REGISTER(0x10)
#define TRANSMIT_FULL    1u

void board_uart_start(void) {
    DIVIDER = 16;
    CONTROL = 3; /* transmit and receive */
}

void board_uart_send(uint8_t byte) {
    while (STATE & TRANSMIT_FULL) {
    }
    DATA = byte;
}

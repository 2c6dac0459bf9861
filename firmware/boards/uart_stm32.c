/* USART1 of an STM32F4, at the clock that the chip has after reset. */
#include "board.h"

#define REGISTER(offset) (*(volatile uint32_t *)(uintptr_t)(BOARD_UART + (offset)))
#define STATUS           REGISTER(0x00)
#define DATA             REGISTER(0x04)
#define BAUD             REGISTER(0x08)
#define CONTROL          REGISTER(0x0C)
#define CLOCK_ENABLE     (*(volatile uint32_t *)(uintptr_t)0x40023844u) /* RCC_APB2ENR */
#define TRANSMIT_EMPTY   0x80u

void board_uart_start(void) {
    CLOCK_ENABLE |= 1u << 4;
    BAUD = 139;       /* 16 MHz / 115,200 */
    CONTROL = 0x200C; /* on, transmit, receive */
}

void board_uart_send(uint8_t byte) {
    while (!(STATUS & TRANSMIT_EMPTY)) {
    }
    DATA = byte;
}

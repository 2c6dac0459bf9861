/* What a program may ask of a board: write, count instructions, end. */
#ifndef MICROFED_BOARD_H
#define MICROFED_BOARD_H

#include <stdint.h>

/* The program; what it returns becomes QEMU's exit code. */
int main(void);

/* Send text, or a number in decimal, over the board's first UART.  Waits until it is sent. */
void board_write(const char *text);
void board_write_number(uint64_t number);

/* number / by, for `by` below 2^16, without the library's division of 64 bits; what is left goes
 * to `rest`, if that is not NULL. */
uint64_t board_divide(uint64_t number, uint32_t by, uint32_t *rest);

/* Instructions since reset, from SysTick: meant for QEMU's -icount shift=6, where one takes
 * 64 ns.  On silicon this is time in units of 64 ns. */
uint64_t board_instructions(void);

/* Bytes of stack that were in use at most; the stack is painted before main. */
uint32_t board_stack_used(void);

/* End the program through semihosting.  Without a debugger or QEMU it stops here. */
void board_exit(int code);

/* One per kind of UART: make it ready, and send one byte. */
void board_uart_start(void);
void board_uart_send(uint8_t byte);

#endif

/* The node's link: the second UART of Arm's MPS2 and MPS3 images, which QEMU wires to a broker.
 * It cannot hang up. */
#ifndef MICROFED_QEMU_UART_H
#define MICROFED_QEMU_UART_H

#include "microfed/transport.h"

void qemu_uart_begin(void);

extern const mf_transport qemu_uart;

/* Sleep until a byte has come, or SysTick. */
void qemu_uart_wait(void);

#endif

/* From reset to main, for every Cortex-M board here. */
#include <stddef.h>
#include <stdint.h>

#include "board.h"

/* From the linker script. */
extern uint32_t board_data_load[], board_data_start[], board_data_end[];
extern uint32_t board_bss_start[], board_bss_end[];
extern uint32_t board_stack_bottom[], board_stack_top[];

#define REGISTER(address) (*(volatile uint32_t *)(uintptr_t)(address))
#define CPACR             REGISTER(0xE000ED88) /* who may use the floating-point and vector unit */
#define SYSTICK_CONTROL   REGISTER(0xE000E010)
#define SYSTICK_RELOAD    REGISTER(0xE000E014)
#define SYSTICK_VALUE     REGISTER(0xE000E018)

#define PAINT          UINT32_C(0x57AC4B1D) /* what unused stack holds */
#define INSTRUCTION_NS 64
#define SYSTICK_BITS   24

static volatile uint32_t wraps; /* of SysTick */

void board_reset(void);
void board_systick(void);
void board_fault(void);

__attribute__((section(".vectors"), used)) static void (*const vectors[16])(void) = {
    (void (*)(void))(uintptr_t)board_stack_top,
    board_reset,
    board_fault, /* NMI */
    board_fault, /* hard fault */
    board_fault, /* memory management */
    board_fault, /* bus fault */
    board_fault, /* usage fault */
    [15] = board_systick,
};

void board_reset(void) {
    const uint32_t *from = board_data_load;
    for (uint32_t *to = board_data_start; to < board_data_end; to++) {
        *to = *from++;
    }
    for (uint32_t *to = board_bss_start; to < board_bss_end; to++) {
        *to = 0;
    }
    uint32_t *frame;
    __asm volatile("mov %0, sp" : "=r"(frame));
    for (uint32_t *to = board_stack_bottom; to < frame; to++) {
        *to = PAINT;
    }
    CPACR |= UINT32_C(0xF) << 20;
    __asm volatile("dsb\n\tisb" ::: "memory");
    SYSTICK_RELOAD = (UINT32_C(1) << SYSTICK_BITS) - 1;
    SYSTICK_VALUE = 0;
    SYSTICK_CONTROL = 7; /* the core's clock, with an interrupt at each wrap */
    board_uart_start();
    board_exit(main());
}

void board_systick(void) {
    wraps++;
}

void board_fault(void) {
    board_write("fault\n");
    board_exit(125);
}

uint64_t board_divide(uint64_t number, uint32_t by, uint32_t *rest) {
    uint64_t quotient = 0;
    uint32_t left = 0;
    for (int shift = 48; shift >= 0; shift -= 16) {
        left = left << 16 | (uint32_t)(number >> shift & 0xFFFF);
        quotient = quotient << 16 | left / by;
        left %= by;
    }
    if (rest != NULL) {
        *rest = left;
    }
    return quotient;
}

uint64_t board_instructions(void) {
    uint32_t before, value;
    do {
        before = wraps;
        value = SYSTICK_VALUE; /* counts down */
    } while (before != wraps);
    uint64_t ticks = ((uint64_t)before + 1) * (UINT64_C(1) << SYSTICK_BITS) - value;
    return board_divide(ticks * 1000, INSTRUCTION_NS * BOARD_MHZ, NULL);
}

uint32_t board_stack_used(void) {
    const uint32_t *lowest = board_stack_bottom;
    while (lowest < board_stack_top && *lowest == PAINT) {
        lowest++;
    }
    return (uint32_t)(board_stack_top - lowest) * 4;
}

void board_write(const char *text) {
    while (*text) {
        board_uart_send((uint8_t)*text++);
    }
}

void board_write_number(uint64_t number) {
    char digits[21];
    char *at = digits + sizeof digits - 1;
    *at = 0;
    do {
        uint32_t digit;
        number = board_divide(number, 10, &digit);
        *--at = (char)('0' + digit);
    } while (number);
    board_write(at);
}

void board_exit(int code) {
    /* SYS_EXIT_EXTENDED with ADP_Stopped_ApplicationExit */
    const uint32_t arguments[2] = {0x20026, (uint32_t)code};
    register uint32_t operation __asm("r0") = 0x20;
    register const uint32_t *block __asm("r1") = arguments;
    __asm volatile("bkpt 0xAB" : : "r"(operation), "r"(block) : "memory");
    for (;;) {
    }
}

/* One local training on a bare microcontroller, or in a process: prints the bits of the losses
 * and weights in hexadecimal, and ends with the status.  case.h holds the model, the data, the
 * recipe. */
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include "case.h"
#include "microfed/train.h"

/* Samples that go through the network together. */
#ifndef TILE
#define TILE 1
#endif

static _Alignas(MF_ALIGN) unsigned char plan_memory[1 << 16], memory[3 << 20];
static float weights[PARAMETERS];

static void put(char digit);

static void print_word(uint32_t word) {
    for (int shift = 28; shift >= 0; shift -= 4) {
        put("0123456789abcdef"[(word >> shift) & 15u]);
    }
}

static void print(const void *values, size_t bytes) {
    for (size_t i = 0; i < bytes; i += sizeof(uint32_t)) {
        uint32_t word;
        memcpy(&word, (const char *)values + i, sizeof word);
        print_word(word);
    }
}

static mf_status run(void) {
    float losses[2];
    const mf_samples samples = {x, y, SAMPLES};
    mf_status status = mf_plan_training(&model, trains, TILE, (int32_t)mf_best_path(), plan_memory,
                                        sizeof plan_memory);
    if (status != MF_OK) {
        return status;
    }
    status = mf_train((const mf_plan *)(const void *)plan_memory, &recipe, &samples, SEED, received,
                      mask, weights, losses, memory, sizeof memory);
    print(losses, sizeof losses);
    print(weights, sizeof weights);
    return status;
}

#if defined(__arm__)

extern char stack_top[];
void start(void);

__attribute__((section(".vectors"), used)) static const void *const vectors[] = {
    stack_top, (const void *)start};

static void put(char digit) {
    volatile uint32_t *const uart = (volatile uint32_t *)0x40004000;
    while (uart[1] & 1u) {
        continue; /* until it takes one more */
    }
    uart[0] = (unsigned char)digit;
}

static void leave(uint32_t code) {
    uint32_t block[2] = {0x20026, code}; /* the application ends, with a code */
    register uint32_t operation __asm__("r0") = 0x20;
    register void *argument __asm__("r1") = block;
    __asm__ volatile("bkpt 0xab" : : "r"(operation), "r"(argument) : "memory");
}

void start(void) {
#if defined(__ARM_FP)
    *(volatile uint32_t *)0xE000ED88 |= 0xFu << 20; /* switch the floating-point unit on */
    __asm__ volatile("dsb\n isb");
#endif
    *(volatile uint32_t *)0x40004010 = 16; /* UART: baud rate, */
    *(volatile uint32_t *)0x40004008 = 1;  /* transmit */
    leave((uint32_t)run());
    for (;;) {
        continue;
    }
}

#else

static void put(char digit) {
    putchar(digit);
}

int main(void) {
    return (int)run();
}

#endif

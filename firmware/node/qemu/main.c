/* A node on a board of QEMU: microfed/made.h has its model, and QEMU has put its name and its
 * samples into the memory beside the chip.  What it does goes to the first UART. */
#include <stddef.h>

#include "board.h"
#include "flash.h"
#include "microfed/made.h"
#include "uart.h"

/* What QEMU loads to BOARD_MEMORY.  Flash lies half a memory further. */
typedef struct {
    char fleet[36], device[36];
    int32_t count;
    int32_t classes[]; /* then the values */
} node_data;

#define MEMORY              ((uintptr_t)BOARD_MEMORY)
#define FLASH_AT            (MEMORY + (UINT32_C(8) << 20))
#define INSTRUCTIONS_PER_MS 15625 /* of 64 ns */
#define KEEP_ALIVE          600   /* seconds: training is on one thread with everything else */

enum { LOOKED_AT = 8 };

static uint32_t milliseconds(void) {
    return (uint32_t)board_divide(board_instructions(), INSTRUCTIONS_PER_MS, NULL);
}

static void say(const char *what, uint64_t number) {
    board_write(what);
    board_write_number(number);
}

static void say_hex(const uint8_t *data, uint32_t size) {
    static const char digits[] = "0123456789abcdef";
    for (uint32_t i = 0; i < size; i++) {
        const char pair[3] = {digits[data[i] >> 4], digits[data[i] & 15], 0};
        board_write(pair);
    }
    board_write("\n");
}

static void train(mf_node *node) {
    mf_node_view view;
    const uint64_t start = board_instructions();
    mf_node_train(node);
    const uint64_t taken = board_instructions() - start;
    mf_node_look(node, &view);
    if (view.update_size > 0) {
        say("update ", view.round);
        board_write(" ");
        say_hex(view.update, view.update_size);
    }
    say("trained ", view.round);
    say(" instructions ", taken);
    say(" stack ", board_stack_used());
    board_write("\n");
}

/* What the held version says of the first samples: the class of each, and what one takes. */
static void infer(const mf_node *node) {
    const mf_samples *samples = &node_settings.samples;
    const int32_t count = samples->count < LOOKED_AT ? samples->count : LOOKED_AT;
    if (count == 0) {
        return;
    }
    uint64_t taken = 0;
    board_write("classes");
    for (int32_t i = 0; i < count; i++) {
        node_quantize(samples->x + (size_t)i * (size_t)node_inputs, node_input);
        const uint64_t start = board_instructions();
        node_infer(mf_node_body(node), node_input, node_output);
        taken = board_instructions() - start; /* the first derives multipliers as well */
        int32_t best = 0;
        for (int32_t k = 1; k < node_outputs; k++) {
            best = node_output[k] > node_output[best] ? k : best;
        }
        say(" ", (uint64_t)best);
    }
    say("\ninference instructions ", taken);
    board_write("\n");
}

static void tell(const mf_node *node, const mf_node_view *was, const mf_node_view *is) {
    if (is->version != was->version) {
        say("version ", is->version);
        board_write("\n");
        infer(node);
    }
    if (is->accepted != was->accepted || is->rejected != was->rejected) {
        say("accepted ", is->accepted);
        say(" rejected ", is->rejected);
        board_write("\n");
    }
}

static void farewell(const mf_node_view *v) {
    say("left up ", v->bytes_up);
    say(" in ", v->messages_up);
    say(", down ", v->bytes_down);
    say(" in ", v->messages_down);
    say(", refused ", v->refused);
    say(", trained ", v->trained);
    say(", declined ", v->declined);
    board_write("\n");
}

int main(void) {
    static mf_node_memory memory;
    static mf_flash flash;
    const node_data *data = (const node_data *)MEMORY;
    mf_node *node;
    mf_node_view was = {0}, is;
    qemu_uart_begin();
    if (!qemu_flash_begin(&flash, (uint8_t *)FLASH_AT, node_areas)) {
        board_write("no file for the flash\n");
        return 2;
    }
    node_settings.fleet = data->fleet;
    node_settings.device = data->device;
    node_settings.board = BOARD_NAME;
    node_settings.keep_alive = KEEP_ALIVE;
    node_settings.seed = (uint32_t)data->device[0];
    node_settings.samples =
        (mf_samples){(const float *)(data->classes + data->count), data->classes, data->count};
    node_settings.transport = &qemu_uart;
    node_settings.flash = &flash;
    const mf_status status = mf_node_begin(&memory, &node_settings, &node);
    if (status != MF_OK) {
        say("node: status ", status);
        board_write("\n");
        return 2;
    }
    infer(node);
    for (;;) {
        const mf_node_state state = mf_node_step(node, milliseconds());
        mf_node_look(node, &is);
        tell(node, &was, &is);
        was = is;
        if (state == MF_NODE_LEFT) {
            farewell(&is);
            return 0;
        }
        if (state == MF_NODE_TRAIN) {
            train(node);
        } else if (state == MF_NODE_IDLE) {
            qemu_uart_wait();
        }
    }
}

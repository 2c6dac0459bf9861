/* What a call of the core can end with: one value per cause. */
#ifndef MICROFED_STATUS_H
#define MICROFED_STATUS_H

typedef enum {
    MF_OK = 0,
    MF_BAD_MODEL = 1,    /* a step, tensor or parameter lies outside what the model declares */
    MF_UNSUPPORTED = 2,  /* well formed, but no kernel does this */
    MF_NO_MEMORY = 3,    /* the caller's memory is smaller than what the plan asks for */
    MF_MISALIGNED = 4,   /* the caller's memory does not begin at a multiple of MF_ALIGN */
    MF_BAD_ARGUMENT = 5, /* a count, label or setting is outside its allowed range */
    MF_DIVERGED = 6,     /* training gave a number that is not finite */
    MF_BAD_DATA = 7,     /* coded bytes that no encoder writes */
} mf_status;

/* Bytes: every block of memory given to the core begins at a multiple of this. */
#define MF_ALIGN 64

#endif

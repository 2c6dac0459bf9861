/* IEEE 754 half precision: what is kept between rounds, and short floats on the wire. */
#ifndef MICROFED_NODE_HALF_H
#define MICROFED_NODE_HALF_H

#include <stdint.h>

/* The nearest half, of two the even one; what is beyond ±65504 becomes that, a NaN infinite. */
uint16_t mf_half(float value);

float mf_from_half(uint16_t half);

#endif

/* What firmware/node.py writes for one model: its tables, and memory of the right size. */
#ifndef MICROFED_MADE_H
#define MICROFED_MADE_H

#include "microfed/node.h"

/* The model. */
extern const mf_node_model model;

/* Model, buffers and work memory are there; the rest is for the program to fill in. */
extern mf_node_settings node_settings;

/* Bytes of each area of flash. */
extern const uint32_t node_areas[MF_AREAS];

#endif

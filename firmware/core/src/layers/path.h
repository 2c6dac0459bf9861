/* The instructions that this build uses. */
#ifndef MICROFED_LAYERS_PATH_H
#define MICROFED_LAYERS_PATH_H

#include "microfed/layers.h"

#if MF_LAYERS_DSP
#include "layers/path_dsp.h"
#elif MF_LAYERS_MVE
#include "layers/path_mve.h"
#else
#include "layers/path_plain.h"
#endif

#endif

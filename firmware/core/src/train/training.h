/* One local training: the losses, and batches of every epoch. */
#ifndef MICROFED_TRAINING_H
#define MICROFED_TRAINING_H

#include "train/random.h"
#include "train/run.h"

/* The run, and what belongs to its training alone. */
typedef struct {
    mf_run run;
    mf_descent descent;
    const mf_samples *samples;
    float *velocity; /* what the weights move by: run.gradient, if nothing is clipped */
    float *clipped;  /* the batch's gradient, to be clipped: run.gradient; else NULL */
    uint32_t *order;
    mf_random random;
} mf_training;

/* Values of a sample of the input. */
int32_t mf_sample_size(const mf_plan *plan);

/* The mean loss over all samples as they are. */
float mf_mean_loss(mf_run *run, const mf_samples *samples);

/* Add the gradient of the mean loss over one batch, and give that loss: samples order[0 …
 * count − 1], or the first where order is NULL. */
float mf_batch(mf_training *training, const uint32_t *order, int32_t count);

/* All epochs of the recipe. */
void mf_epochs(mf_training *training);

#endif

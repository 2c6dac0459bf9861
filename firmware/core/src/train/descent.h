/* One batch's update of a range of parameters: what its gradient starts from, and the step. */
#ifndef MICROFED_DESCENT_H
#define MICROFED_DESCENT_H

#include "train/plan.h"

/* What the update of every batch reads and writes. */
typedef struct {
    const mf_plan *plan;
    const mf_recipe *recipe;
    const float *received; /* NULL where the plan has stored parameters */
    const uint8_t *mask;   /* likewise */
    float *weights;        /* those parameters that train, where the plan has stored ones */
} mf_descent;

/* g ← momentum · g + weight_decay · w + proximal · (w − received) over a slot, or part of one:
 * the chain of the batch's gradients starts from there.  Without momentum g may hold anything. */
void mf_begin_update(const mf_descent *descent, const mf_slot *slot, float *g);

/* w ← w − learning_rate · g, where g is now the whole sum. */
void mf_finish_update(const mf_descent *descent, const mf_slot *slot, float *g);

/* The factor that cuts the gradient of all slots to the recipe's norm. */
float mf_clip_factor(const mf_descent *descent, const float *gradient);

#endif

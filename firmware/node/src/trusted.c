/* What a program for one model need not do again, because it was done where its tables were made:
 * it is linked with the core's functions as other names of these. */
#include "microfed/model.h"
#include "train/plan.h"

mf_status mf_trust_model(const mf_train_model *model, int32_t tile, bool stored);
size_t mf_take_places(mf_plan *plan, mf_total others);

mf_status mf_trust_model(const mf_train_model *model, int32_t tile, bool stored) {
    (void)tile;
    return stored && model->step_count > 0 ? MF_OK : MF_BAD_MODEL;
}

/* The places that the plan of all that may train has do for every part of that. */
size_t mf_take_places(mf_plan *plan, mf_total others) {
    (void)others;
    const int32_t *at = node_places.at;
    for (int32_t t = 0; t < plan->model->tensor_count; t++) {
        plan->values[t].at = *at++;
        plan->gradients[t].at = *at++;
        plan->winners[t].at = *at++;
    }
    for (int32_t s = 0; s < plan->model->step_count; s++) {
        mf_step_plan *planned = &plan->steps[s];
        const uint8_t may = node_places.trains[s];
        if ((planned->weight_gradient != MF_ABSENT && !(may & MF_TRAINS_WEIGHT)) ||
            (planned->bias_gradient != MF_ABSENT && !(may & MF_TRAINS_BIAS))) {
            return SIZE_MAX;
        }
        planned->marks = plan->winners[plan->model->steps[s].output].at != MF_ABSENT;
    }
    return node_places.floats;
}

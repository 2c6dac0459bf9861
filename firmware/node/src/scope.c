#include "scope.h"

#include "version.h"

static int32_t count_of(const mf_node_model *model, int32_t tensor) {
    return model->bounds[tensor + 1] - model->bounds[tensor];
}

static bool has(const mf_blob *bits, int32_t tensor) {
    return bits->size == 0 || (bits->at[tensor / 8] >> tensor % 8 & 1) != 0;
}

int32_t mf_scope_values(const mf_node_model *model, const mf_blob *bits) {
    const uint32_t tensors = (uint32_t)model->tensor_count, size = (tensors + 7) / 8;
    if (bits->size != 0 &&
        (bits->size != size || (tensors % 8 != 0 && bits->at[size - 1] >> tensors % 8 != 0))) {
        return 0;
    }
    int32_t values = 0;
    for (int32_t k = 0; k < model->tensor_count; k++) {
        values += has(bits, k) ? count_of(model, k) : 0;
    }
    return values;
}

void mf_scope_begin(mf_scope *scope, const mf_node_model *model, const mf_blob *bits,
                    int32_t *bounds, uint8_t *trains) {
    *scope = (mf_scope){*bits, 0, model->tensor_count, bounds, trains};
    for (int32_t k = 0; k < model->tensor_count; k++) {
        bounds[k] = scope->values;
        scope->values += has(bits, k) ? count_of(model, k) : 0;
    }
    bounds[model->tensor_count] = scope->values;
    if (scope->values == mf_unmasked(model)) {
        scope->bits = (mf_blob){0}; /* another way to say all */
    }
    for (int32_t s = 0; s < model->train->step_count; s++) {
        const mf_train_step *step = &model->train->steps[s];
        const int32_t weight = mf_tensor_at(model, step->weight);
        const int32_t bias = mf_tensor_at(model, step->bias);
        trains[s] = (uint8_t)((weight >= 0 && has(bits, weight) ? MF_TRAINS_WEIGHT : 0) |
                              (bias >= 0 && has(bits, bias) ? MF_TRAINS_BIAS : 0));
    }
}

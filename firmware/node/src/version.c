#include "version.h"

#include <string.h>

#include "crc32.h"
#include "store.h"

static uint32_t word_at(const uint8_t *at) {
    uint32_t word;
    memcpy(&word, at, sizeof word);
    return word;
}

uint32_t mf_body_version(const uint8_t *body) {
    return word_at(body + MF_BODY_VERSION);
}

uint32_t mf_body_check(const uint8_t *body) {
    return word_at(body + MF_BODY_CHECK);
}

static bool is_bias(const mf_parameters *t) {
    return t->input_scale != 0.0f;
}

static int32_t code_at(const mf_parameters *t, const uint8_t *body, int32_t i) {
    const uint8_t *codes = body + t->codes;
    return is_bias(t) ? ((const int32_t *)(const void *)codes)[i] : ((const int8_t *)codes)[i];
}

uint32_t mf_model_layout(const mf_node_model *model) {
    return word_at(model->digest);
}

void mf_body_codes(const mf_node_model *model, const uint8_t *body, int32_t *codes) {
    for (int32_t k = 0; k < model->tensor_count; k++) {
        const mf_parameters *t = &model->tensors[k];
        for (int32_t i = 0; i < t->count; i++) {
            if (!mf_is_masked(t, i)) {
                *codes++ = code_at(t, body, i);
            }
        }
    }
}

void mf_body_scales(const mf_node_model *model, const uint8_t *body, float *scales) {
    memcpy(scales, body + MF_BODY_SCALES, (size_t)model->scale_count * sizeof *scales);
}

int32_t mf_tensor_at(const mf_node_model *model, int32_t start) {
    for (int32_t k = 0; k < model->tensor_count; k++) {
        if (start == 0) {
            return k;
        }
        /* NOLINTNEXTLINE(clang-analyzer-core.NullDereference): a model has tensors */
        start -= model->tensors[k].count;
    }
    return -1;
}

void mf_body_stored(const mf_node_model *model, const uint8_t *body, mf_stored *stored) {
    const float *scales = (const float *)(const void *)(body + MF_BODY_SCALES);
    for (int32_t s = 0; s < model->train->step_count; s++) {
        const mf_train_step *step = &model->train->steps[s];
        const int32_t w = mf_tensor_at(model, step->weight), b = mf_tensor_at(model, step->bias);
        stored[s] = (mf_stored){0};
        if (w < 0) {
            continue;
        }
        const mf_parameters *weight = &model->tensors[w];
        stored[s].weights = (const int8_t *)(body + weight->codes);
        stored[s].mask = weight->mask;
        stored[s].scales = scales + weight->scale;
        stored[s].scale_count = weight->scale_count;
        if (b >= 0) {
            const mf_parameters *bias = &model->tensors[b];
            stored[s].bias = (const int32_t *)(const void *)(body + bias->codes);
            stored[s].input_scale = bias->input_scale;
        }
    }
}

const uint8_t *mf_version_newest(const mf_node_model *model, const mf_flash *flash) {
    const uint8_t *found = mf_store_newest(flash, MF_MODEL_A, mf_model_layout(model));
    return found == NULL || mf_body_version(found) == 0 ? model->base : found;
}

uint32_t mf_version_check(const mf_node_model *model, const int32_t *codes, const float *scales) {
    uint32_t crc = 0;
    for (int32_t k = 0; k < model->tensor_count; k++) {
        const mf_parameters *t = &model->tensors[k];
        for (int32_t i = 0; i < t->count; i++) {
            const int32_t code = mf_is_masked(t, i) ? 0 : *codes++;
            crc = mf_crc32(crc, &code, sizeof code);
        }
    }
    return mf_crc32(crc, scales, (uint32_t)model->scale_count * (uint32_t)sizeof *scales);
}

/* Put the codes of all biases, or of all weights.  False: one does not fit an int8. */
static bool put_codes(const mf_node_model *model, mf_store *store, bool biases,
                      const int32_t *codes) {
    bool fits = true;
    for (int32_t k = 0; k < model->tensor_count; k++) {
        const mf_parameters *t = &model->tensors[k];
        if (is_bias(t) != biases) {
            codes += model->bounds[k + 1] - model->bounds[k];
            continue;
        }
        for (int32_t i = 0; i < t->count; i++) {
            const int32_t code = mf_is_masked(t, i) ? 0 : *codes++;
            const int8_t narrow = (int8_t)code;
            fits = fits && (biases || narrow == code);
            mf_store_put(store, biases ? (const void *)&code : &narrow, biases ? 4 : 1);
        }
    }
    return fits;
}

const uint8_t *mf_version_write(const mf_node_model *model, const mf_flash *flash, uint32_t version,
                                const int32_t *codes, const float *scales) {
    const uint32_t head[2] = {version, mf_version_check(model, codes, scales)};
    mf_store store;
    mf_store_begin(&store, flash, MF_MODEL_A, mf_model_layout(model));
    mf_store_put(&store, head, sizeof head);
    mf_store_put(&store, scales, (uint32_t)model->scale_count * (uint32_t)sizeof *scales);
    if (!put_codes(model, &store, true, codes) || !put_codes(model, &store, false, codes)) {
        return NULL; /* without its first page it is no record */
    }
    return mf_store_end(&store);
}

const uint8_t *mf_version_forget(const mf_node_model *model, const mf_flash *flash) {
    const uint32_t none[2] = {0, 0};
    if (mf_store_newest(flash, MF_MODEL_A, mf_model_layout(model)) != NULL) {
        mf_store store;
        mf_store_begin(&store, flash, MF_MODEL_A, mf_model_layout(model));
        mf_store_put(&store, none, sizeof none);
        mf_store_end(&store);
    }
    return model->base;
}

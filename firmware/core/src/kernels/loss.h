/* The two losses: each sample's is added to `loss`, one after the other; and their gradients by
 * the output times `share`, none where that is NULL.  Included by each path. */

enum { LANES = 16 };

static void cross_entropy(const mf_labels *labels, const float *logits, int32_t classes,
                          int32_t samples, mf_sum *loss, float share, float *gradient) {
    for (int32_t s = 0; s < samples; s++, logits += classes) {
        const int32_t label = labels->y[labels->order == NULL ? (uint32_t)s : labels->order[s]];
        float most = logits[0];
        for (int32_t i = 1; i < classes; i++) {
            most = logits[i] > most ? logits[i] : most;
        }
        float total = 0.0f;
        for (int32_t i = 0; i < classes; i++) {
            const float e = mf_exp(logits[i] - most);
            total += e;
            if (gradient != NULL) {
                gradient[i] = e;
            }
        }
        mf_add_to(loss, mf_log(total) - (logits[label] - most));
        if (gradient == NULL) {
            continue;
        }
        for (int32_t i = 0; i < classes; i++) {
            const float wanted = i == label ? 1.0f : 0.0f;
            gradient[i] = (gradient[i] / total - wanted) * share + 0.0f;
        }
        gradient += classes;
    }
}

/* The sum of 16 interleaved sums, as a tree. */
static float folded(float lanes[LANES]) {
    for (int half = LANES / 2; half > 0; half /= 2) {
        for (int i = 0; i < half; i++) {
            lanes[i] += lanes[i + half];
        }
    }
    return lanes[0];
}

static void squared_error(const float *y, const float *target, int32_t size, int32_t samples,
                          mf_sum *loss, float share, float *gradient) {
    const float factor = 2.0f * share / (float)size;
    for (int32_t s = 0; s < samples; s++, y += size, target += size) {
        float lanes[LANES] = {0};
        for (int32_t i = 0; i < size; i++) {
            const float difference = y[i] - target[i];
            lanes[i % LANES] = mf_fma(difference, difference, lanes[i % LANES]);
            if (gradient != NULL) {
                gradient[i] = difference * factor + 0.0f;
            }
        }
        mf_add_to(loss, folded(lanes) / (float)size);
        if (gradient != NULL) {
            gradient += size;
        }
    }
}

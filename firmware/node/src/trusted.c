/* A program whose tables were checked by the core where they were made need not check them
 * again: link it with mf_check_model as another name of this, and that check is left out. */
#include "microfed/train.h"

mf_status mf_trust_model(const mf_train_model *model);

mf_status mf_trust_model(const mf_train_model *model) {
    return model->step_count > 0 ? MF_OK : MF_BAD_MODEL;
}

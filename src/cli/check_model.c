/* SPDX-License-Identifier: Apache-2.0
 *
 * Cases of whole models: a text goes in; ids, hidden states, attention weights and the embedding
 * come out. */
#include "check_case.h"

#include <string.h>

/* `got` holds count floats of the model's; the case must expect as many. */
static void keep_floats(check_case *c, const char *role, const float *got, int64_t count) {
    const attend_tensor out = check_output(c, role);
    if (!out.type) return;
    if (out.type != ATTEND_F32 || check_count(&out) != count)
        check_damaged(c, "%s: the model gives %lld f32 values", role, (long long)count);
    else
        memcpy(out.data, got, (size_t)count * sizeof *got);
}

static void keep_ids(check_case *c, const attend_encoding *encoding, int64_t length) {
    const attend_tensor out = check_output(c, "ids");
    if (!out.type) return;
    if (out.type != ATTEND_I64 || check_count(&out) != length) {
        check_damaged(c, "ids: the model gives %lld ids", (long long)length);
        return;
    }
    const int32_t *const ids = attend_encoding_ids(encoding);
    for (int64_t i = 0; i < length; ++i)
        ((int64_t *)out.data)[i] = ids[i];
}

static void compare_tokens(check_case *c, const attend_encoding *encoding, int64_t length) {
    const json_t *const tokens = json_object_get(c->attributes, "tokens");
    if (!tokens) return;
    if (!json_is_array(tokens) || (int64_t)json_array_size(tokens) != length) {
        check_damaged(c, "tokens: the model makes %lld of the text", (long long)length);
        return;
    }
    for (size_t i = 0; i < (size_t)length; ++i) {
        const char *const want = json_string_value(json_array_get(tokens, i));
        const char *const got = attend_encoding_token(encoding, i);
        if (!want || strcmp(want, got))
            check_damaged(c, "tokens[%zu]: got '%s', want '%s'", i, got, want ? want : "?");
    }
}

static void keep_weights(check_case *c, const attend_encoding *encoding,
                         const attend_model_info *info, int64_t length) {
    const attend_tensor out = check_output(c, "attentions");
    const int64_t sizes[4] = {info->layers, info->heads, length, length};
    if (!out.type) return;
    if (out.type != ATTEND_F32 || out.rank != 4 || memcmp(out.sizes, sizes, sizeof sizes)) {
        check_damaged(c, "attentions: the model gives f32[%lld,%lld,%lld,%lld]",
                      (long long)sizes[0], (long long)sizes[1], (long long)length,
                      (long long)length);
        return;
    }
    float *at = out.data;
    const size_t count = (size_t)(length * length);
    for (int32_t layer = 0; layer < info->layers; ++layer)
        for (int32_t head = 0; head < info->heads; ++head, at += count)
            memcpy(at, attend_encoding_weights(encoding, layer, head), count * sizeof *at);
}

static void run_text(check_case *c) {
    const char *const text = check_string(c, "text", NULL);
    attend_model_info info = {.size = sizeof info};
    attend_encoding *encoding = NULL;
    if (!text) check_damaged(c, "attribute text is missing");
    if (!check_ready(c) || !check_called(c, attend_model_get_info(c->model, &info)) ||
        !check_called(c, attend_model_encode(c->model, text, strlen(text), &encoding)))
        return;
    const int64_t length = (int64_t)attend_encoding_length(encoding);
    compare_tokens(c, encoding, length);
    keep_ids(c, encoding, length);
    keep_floats(c, "hidden", attend_encoding_hidden(encoding), length * info.model_size);
    keep_floats(c, "embedding", attend_encoding_embedding(encoding), info.model_size);
    keep_weights(c, encoding, &info, length);
    attend_encoding_release(encoding);
}

const check_operation check_text_model = {
    .name = "text_model",
    .roles = "ids hidden attentions embedding",
    .attributes = "text tokens",
    .needs_model = true,
    .run = run_text,
};

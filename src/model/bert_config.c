/* SPDX-License-Identifier: Apache-2.0
 *
 * Reads config.json of a model of the BERT family; see bert_config.h. Names are those of Hugging
 * Face's BertConfig. */
#include "model/bert_config.h"

#include "model/json_file.h"
#include "model/model_error.h"

#include <math.h>
#include <string.h>

/* Names of activations in config.json. */
static const struct activation_name {
    const char *name;
    attend_activation activation;
} activations[] = {
    {"gelu", ATTEND_GELU}, {"gelu_new", ATTEND_GELU_TANH}, {"gelu_pytorch_tanh", ATTEND_GELU_TANH},
    {"relu", ATTEND_RELU}, {"silu", ATTEND_SILU},          {"swish", ATTEND_SILU},
};

static attend_status read_sizes(const char *path, const json_t *root, attend__bert_config *config) {
    const struct {
        const char *key;
        int64_t *value;
    } sizes[] = {
        {"hidden_size", &config->model_size},
        {"num_attention_heads", &config->heads},
        {"num_hidden_layers", &config->layers},
        {"intermediate_size", &config->inner_size},
        {"max_position_embeddings", &config->positions},
        {"type_vocab_size", &config->types},
        {"vocab_size", &config->words},
    };
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
        const attend_status status =
            attend__json_integer(path, root, sizes[i].key, 1, INT32_MAX, sizes[i].value);
        if (status) return status;
    }
    if (config->model_size % config->heads != 0)
        return attend__model_fail(ATTEND_FORMAT,
                                  "%s: hidden_size %lld is no multiple of num_attention_heads %lld",
                                  path, (long long)config->model_size, (long long)config->heads);
    return ATTEND_OK;
}

static attend_status read_activation(const char *path, const json_t *root,
                                     attend__bert_config *config) {
    const char *name;
    const attend_status status = attend__json_text(path, root, "hidden_act", &name);
    if (status) return status;
    for (size_t i = 0; i < sizeof activations / sizeof *activations; i++) {
        if (strcmp(name, activations[i].name) != 0) continue;
        config->activation = activations[i].activation;
        return ATTEND_OK;
    }
    return attend__model_fail(ATTEND_UNSUPPORTED, "%s: hidden_act \"%.40s\" is not supported", path,
                              name);
}

static attend_status read_family(const char *path, const json_t *root) {
    const char *family;
    const attend_status status = attend__json_text(path, root, "model_type", &family);
    if (status) return status;
    if (strcmp(family, "bert") != 0)
        return attend__model_fail(ATTEND_UNSUPPORTED,
                                  "%s: model_type is \"%.40s\", only \"bert\" is supported", path,
                                  family);
    const char *const positions =
        json_string_value(json_object_get(root, "position_embedding_type"));
    if (positions && strcmp(positions, "absolute") != 0)
        return attend__model_fail(
            ATTEND_UNSUPPORTED,
            "%s: position_embedding_type is \"%.40s\", only \"absolute\" is supported", path,
            positions);
    if (json_is_true(json_object_get(root, "is_decoder")))
        return attend__model_fail(ATTEND_UNSUPPORTED,
                                  "%s: is_decoder is true, only encoders are supported", path);
    return ATTEND_OK;
}

static attend_status read_all(const char *path, const json_t *root, attend__bert_config *config) {
    attend_status status = read_family(path, root);
    if (!status) status = read_sizes(path, root, config);
    if (!status) status = read_activation(path, root, config);
    if (status) return status;
    const json_t *const eps = json_object_get(root, "layer_norm_eps");
    config->eps = json_number_value(eps);
    if (!json_is_number(eps) || !isfinite(config->eps) || config->eps < 0)
        return attend__model_fail(ATTEND_FORMAT, "%s: layer_norm_eps is missing or no number >= 0",
                                  path);
    return ATTEND_OK;
}

attend_status attend__bert_config_open(const char *path, attend__bert_config *config) {
    json_t *root;
    attend_status status = attend__json_open(path, &root);
    if (status) return status;
    status = read_all(path, root, config);
    json_decref(root);
    return status;
}

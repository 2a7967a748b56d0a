/* SPDX-License-Identifier: Apache-2.0
 *
 * A model of two small layers for tests: its configuration, and its weights in any of the forms
 * that a file can have, good or bad. */
#ifndef ATTEND_TESTS_TINY_MODEL_H
#define ATTEND_TESTS_TINY_MODEL_H

#include <jansson.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { M = 8, F = 12, POSITIONS = 40, TYPES = 2, WORDS = 200, LAYERS = 2, TINY_ROOM = 1 << 17 };

static const char config[] =
    "{\"model_type\":\"bert\",\"hidden_size\":8,\"num_attention_heads\":2,\"num_hidden_layers\":2,"
    "\"intermediate_size\":12,\"hidden_act\":\"gelu\",\"layer_norm_eps\":1e-12,"
    "\"max_position_embeddings\":40,\"type_vocab_size\":2,\"vocab_size\":200}";

/* Name, rows, columns (0: rank 1) of what every layer has. */
static const struct shape {
    const char *name;
    int rows, columns;
} layer_shapes[] = {
    {"attention.self.query.weight", M, M},
    {"attention.self.query.bias", M, 0},
    {"attention.self.key.weight", M, M},
    {"attention.self.key.bias", M, 0},
    {"attention.self.value.weight", M, M},
    {"attention.self.value.bias", M, 0},
    {"attention.output.dense.weight", M, M},
    {"attention.output.dense.bias", M, 0},
    {"attention.output.LayerNorm.weight", M, 0},
    {"attention.output.LayerNorm.bias", M, 0},
    {"intermediate.dense.weight", F, M},
    {"intermediate.dense.bias", F, 0},
    {"output.dense.weight", M, F},
    {"output.dense.bias", M, 0},
    {"output.LayerNorm.weight", M, 0},
    {"output.LayerNorm.bias", M, 0},
};
static const struct shape table_shapes[] = {
    {"embeddings.word_embeddings.weight", WORDS, M},
    {"embeddings.position_embeddings.weight", POSITIONS, M},
    {"embeddings.token_type_embeddings.weight", TYPES, M},
    {"embeddings.LayerNorm.weight", M, 0},
    {"embeddings.LayerNorm.bias", M, 0},
};
enum {
    LAYER_SHAPES = sizeof layer_shapes / sizeof *layer_shapes,
    TABLE_SHAPES = sizeof table_shapes / sizeof *table_shapes,
    TENSORS = TABLE_SHAPES + LAYERS * LAYER_SHAPES
};

static inline struct shape tensor_shape(int index, char name[128]) {
    const int layer = (index - TABLE_SHAPES) / LAYER_SHAPES;
    struct shape s = index < TABLE_SHAPES ? table_shapes[index]
                                          : layer_shapes[(index - TABLE_SHAPES) % LAYER_SHAPES];
    if (index < TABLE_SHAPES)
        snprintf(name, 128, "%s", s.name);
    else
        snprintf(name, 128, "encoder.layer.%d.%s", layer, s.name);
    s.name = name;
    return s;
}

/* How the weights are written; odd is the tensor that is left out, misshapen or of another type. */
typedef struct form {
    const char *prefix, *type;
    int missing, misshapen, mistyped; /* indices, -1 = none */
} form;

static const form plain = {"", "F32", -1, -1, -1};

/* Small values that bf16 holds exactly, so that every type gives the same model. */
static inline float value(unsigned *state) {
    *state = *state * 1664525u + 1013904223u;
    return (float)((int)(*state >> 24) - 128) / 128.0f;
}

static inline size_t write_value(unsigned char *to, float x, const char *type) {
    uint32_t bits;
    memcpy(&bits, &x, sizeof bits);
    if (strcmp(type, "F32") == 0) {
        memcpy(to, &x, 4);
        return 4;
    }
    uint16_t half = (uint16_t)(bits >> 16);
    if (strcmp(type, "F16") == 0 &&
        x != 0) /* normal in binary16: sign, exponent less 112, 10 bits of fraction */
        half = (uint16_t)((bits >> 16 & 0x8000u) | ((bits & 0x7fffffffu) - (112u << 23)) >> 13);
    memcpy(to, &half, 2);
    return 2;
}

/* The file's bytes in `file`, of TINY_ROOM bytes; returns how many. */
static inline size_t make_weights(const form *how, unsigned char *file) {
    static unsigned char data[1 << 16];
    json_t *const root = json_object();
    size_t at = 0;
    unsigned state = 1;
    for (int i = 0; i < TENSORS; i++) {
        char name[128], full[160];
        const struct shape s = tensor_shape(i, name);
        const int count = s.rows * (s.columns ? s.columns : 1);
        const size_t begin = at;
        if (i == how->missing) continue;
        for (int k = 0; k < count; k++)
            at += write_value(data + at, value(&state), how->type);
        snprintf(full, sizeof full, "%s%s", how->prefix, name);
        json_t *const shape =
            s.columns ? json_pack("[ii]", s.rows, s.columns) : json_pack("[i]", s.rows);
        if (i == how->misshapen) json_array_append_new(shape, json_integer(1));
        json_object_set_new(root, full,
                            json_pack("{sssos[II]}", "dtype",
                                      i == how->mistyped ? "I32" : how->type, "shape", shape,
                                      "data_offsets", (json_int_t)begin, (json_int_t)at));
    }
    char *const header = json_dumps(root, JSON_COMPACT);
    const uint64_t length = strlen(header);
    for (int b = 0; b < 8; b++)
        file[b] = (unsigned char)(length >> (8 * b));
    memcpy(file + 8, header, length);
    memcpy(file + 8 + length, data, at);
    free(header);
    json_decref(root);
    return 8 + length + at;
}

#endif

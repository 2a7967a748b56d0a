/* SPDX-License-Identifier: Apache-2.0
 *
 * Generates tokens with a small random decoder and a key/value cache: two prompts of different
 * lengths go in at once, then each step appends one token to each. Afterwards the finished texts
 * run through the same layers all at once, without a cache, and every prediction is compared. */
#include <attend/attend.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum {
    BATCH = 2,
    WORDS = 50,
    MODEL = 32,
    HEADS = 4,
    KV_HEADS = 2,
    HEAD_SIZE = 8,
    INNER = 64,
    LAYERS = 2,
    SOURCE = 6, /* tokens of the encoder's output that the decoder looks at */
    PROMPT = 5, /* of the longer prompt */
    STEPS = 12,
    LONGEST = PROMPT + STEPS
};

static void must(attend_status status) {
    if (status == ATTEND_OK) return;
    fprintf(stderr, "%s\n", attend_error_text());
    exit(1);
}

static float *random_numbers(size_t count, float most) {
    static uint32_t state = 1;
    float *x = malloc(count * sizeof *x);
    if (x == NULL) exit(1);
    for (size_t i = 0; i < count; i++) {
        state = state * 1664525u + 1013904223u;
        x[i] = ((float)(state >> 8) / 8388608.0f - 1.0f) * most;
    }
    return x;
}

static attend_tensor random_matrix(int64_t rows, int64_t columns) {
    const float most = sqrtf(3.0f / (float)columns);
    return attend_tensor_2d(random_numbers((size_t)(rows * columns), most), ATTEND_F32, rows,
                            columns);
}

/* ---- the decoder ----------------------------------------------------------------------------- */

typedef struct decoder {
    attend_context *context;
    attend_tensor words;   /* [WORDS, MODEL]: embeds tokens */
    attend_tensor next;    /* [WORDS, MODEL]: predicts the next one */
    attend_tensor encoded; /* [BATCH, SOURCE, MODEL] */
    attend_block *layers[LAYERS];
} decoder;

static attend_multihead_desc random_attention(void) {
    attend_multihead_desc d = attend_multihead_default();
    d.heads = HEADS;
    d.kv_heads = KV_HEADS;
    d.w_q = random_matrix(HEADS * HEAD_SIZE, MODEL);
    d.w_k = random_matrix(KV_HEADS * HEAD_SIZE, MODEL);
    d.w_v = random_matrix(KV_HEADS * HEAD_SIZE, MODEL);
    d.w_o = random_matrix(MODEL, HEADS * HEAD_SIZE);
    return d;
}

static void free_attention(attend_multihead_desc *d) {
    free(d->w_q.data);
    free(d->w_k.data);
    free(d->w_v.data);
    free(d->w_o.data);
}

/* A layer copies its weights: what it was made of can go at once. */
static attend_block *random_layer(attend_context *context) {
    static float cosines[LONGEST * HEAD_SIZE / 2], sines[LONGEST * HEAD_SIZE / 2];
    must(attend_rope_tables(LONGEST, HEAD_SIZE, 10000.0, cosines, sines));
    attend_multihead_desc self = random_attention(), cross = random_attention();
    self.causal = 1;
    self.rope_cos = attend_tensor_2d(cosines, ATTEND_F32, LONGEST, HEAD_SIZE / 2);
    self.rope_sin = attend_tensor_2d(sines, ATTEND_F32, LONGEST, HEAD_SIZE / 2);
    attend_feedforward_desc inner = attend_feedforward_default();
    inner.w_1 = random_matrix(INNER, MODEL);
    inner.w_2 = random_matrix(MODEL, INNER);
    attend_block_desc d = attend_block_default();
    d.self_attention = &self;
    d.cross_attention = &cross;
    d.feedforward = &inner;
    d.norm_first = 1;
    attend_block *layer = NULL;
    must(attend_block_create(context, &d, &layer));
    free_attention(&self);
    free_attention(&cross);
    free(inner.w_1.data);
    free(inner.w_2.data);
    return layer;
}

/* The two caches of a layer: its own tokens, in pages of 4, and the encoder's, in one block. */
typedef struct layer_caches {
    attend_cache *self, *encoded;
} layer_caches;

static attend_cache *new_cache(attend_context *context, int64_t capacity, int64_t page_size) {
    attend_cache_desc d = attend_cache_desc_default();
    d.batch = BATCH;
    d.kv_heads = KV_HEADS;
    d.head_size = HEAD_SIZE;
    d.capacity = capacity;
    d.page_size = page_size;
    d.type = ATTEND_F32;
    attend_cache *cache = NULL;
    must(attend_cache_create(context, &d, &cache));
    return cache;
}

/* logits [BATCH, length, WORDS] of tokens [BATCH, length], of which sample b has lengths[b]. With
 * caches the tokens come behind those that are in there. */
static void run_decoder(const decoder *m, const layer_caches *caches, const int32_t *tokens,
                        int64_t length, const int64_t *lengths, float *logits) {
    static float stream[BATCH * LONGEST * MODEL];
    attend_embedding e = attend_embedding_default();
    e.table = m->words;
    e.ids = attend_tensor_2d(tokens, ATTEND_I32, BATCH, length);
    e.out = attend_tensor_3d(stream, ATTEND_F32, BATCH, length, MODEL);
    must(attend_embed(m->context, &e));
    for (int i = 0; i < LAYERS; i++) {
        attend_block_args a = attend_block_args_default();
        a.x = a.out = e.out;
        a.query_lengths = attend_tensor_1d(lengths, ATTEND_I64, BATCH);
        if (caches == NULL) {
            a.key_lengths = a.query_lengths;
            a.memory = m->encoded;
        } else {
            a.cache = caches[i].self;
            a.memory_cache = caches[i].encoded;
            /* projected at the first step, kept for the others */
            if (attend_cache_length(a.memory_cache, 0) == 0) a.memory = m->encoded;
        }
        must(attend_block_run(m->layers[i], &a));
    }
    attend_projection p = attend_projection_default();
    p.x = e.out;
    p.w = m->next;
    p.out = attend_tensor_3d(logits, ATTEND_F32, BATCH, length, WORDS);
    must(attend_project(m->context, &p));
}

static int32_t most_likely(const float *logits) {
    int32_t best = 0;
    for (int32_t w = 1; w < WORDS; w++)
        best = logits[w] > logits[best] ? w : best;
    return best;
}

/* ---- generating and comparing ---------------------------------------------------------------- */

static int32_t text[BATCH][LONGEST]; /* tokens, from the prompt on */
static int64_t text_length[BATCH] = {PROMPT, PROMPT - 2};
static float predicted[BATCH][LONGEST][WORDS]; /* after each token but the last */

static void generate(const decoder *m, const layer_caches *caches) {
    int32_t next[BATCH * PROMPT] = {0};
    int64_t count[BATCH], length = PROMPT;
    for (int b = 0; b < BATCH; b++) {
        count[b] = text_length[b];
        memcpy(next + b * PROMPT, text[b], (size_t)count[b] * sizeof *next);
    }
    for (int step = 0; step < STEPS; step++) {
        float logits[BATCH * PROMPT * WORDS];
        run_decoder(m, caches, next, length, count, logits);
        for (int b = 0; b < BATCH; b++) {
            const int64_t first = text_length[b] - count[b];
            memcpy(predicted[b][first], logits + b * length * WORDS,
                   (size_t)count[b] * sizeof *predicted[b]);
            text[b][text_length[b]] = next[b] = most_likely(predicted[b][text_length[b] - 1]);
            text_length[b]++;
            count[b] = 1;
        }
        length = 1;
    }
}

static float compare_with_all_at_once(const decoder *m) {
    static float logits[BATCH][LONGEST][WORDS];
    run_decoder(m, NULL, text[0], LONGEST, text_length, logits[0][0]);
    float worst = 0;
    for (int b = 0; b < BATCH; b++)
        for (int64_t i = 0; i + 1 < text_length[b]; i++)
            for (int w = 0; w < WORDS; w++)
                worst = fmaxf(worst, fabsf(logits[b][i][w] - predicted[b][i][w]));
    return worst;
}

int main(void) {
    decoder m = {NULL};
    layer_caches caches[LAYERS];
    must(attend_open(NULL, &m.context));
    m.words = random_matrix(WORDS, MODEL);
    m.next = random_matrix(WORDS, MODEL);
    float *encoded = random_numbers(BATCH * SOURCE * MODEL, 1.0f);
    m.encoded = attend_tensor_3d(encoded, ATTEND_F32, BATCH, SOURCE, MODEL);
    for (int i = 0; i < LAYERS; i++) {
        m.layers[i] = random_layer(m.context);
        caches[i].self = new_cache(m.context, LONGEST, 4);
        caches[i].encoded = new_cache(m.context, SOURCE, 0);
    }
    for (int b = 0; b < BATCH; b++)
        for (int i = 0; i < text_length[b]; i++)
            text[b][i] = (7 * b + 3 * i + 1) % WORDS;

    generate(&m, caches);
    for (int b = 0; b < BATCH; b++) {
        printf("text %d:", b);
        for (int i = 0; i < text_length[b]; i++)
            printf("%s%d", i == text_length[b] - STEPS ? " | " : " ", (int)text[b][i]);
        printf("\n");
    }
    const float worst = compare_with_all_at_once(&m);
    printf("%s\nstep by step and all at once differ by %g at most\n", attend_describe(m.context),
           (double)worst);

    for (int i = 0; i < LAYERS; i++) {
        attend_cache_release(caches[i].self);
        attend_cache_release(caches[i].encoded);
        attend_block_release(m.layers[i]);
    }
    attend_close(m.context);
    free(m.words.data);
    free(m.next.data);
    free(encoded);
    return worst <= 1e-4f ? 0 : 1;
}

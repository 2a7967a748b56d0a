/* SPDX-License-Identifier: Apache-2.0
 *
 * The gate: generated attention cases held against float64 and the error bound of docs/numerics.md.
 * Sees the public headers only. gate_case.c and gate_serving.c draw a case from a seed,
 * gate_oracle.c computes rows and bounds, gate_check.c compares, gate.c is the program;
 * gate_faults.c shows that the bound catches wrong arithmetic. */
#ifndef GATE_H
#define GATE_H

#include <attend/attend.h>

#include <stdbool.h>

/* ---- random numbers: the same on every machine ----------------------------------------------- */

typedef struct gate_random {
    uint64_t state;
} gate_random;

uint64_t gate_bits(gate_random *r);
double gate_uniform(gate_random *r); /* 0 <= x < 1 */
double gate_normal(gate_random *r);
int64_t gate_range(gate_random *r, int64_t low, int64_t high); /* both included */
int64_t gate_log_range(gate_random *r, int64_t low, int64_t high);
bool gate_chance(gate_random *r, double probability);

/* ---- elements of any type, as double --------------------------------------------------------- */

double gate_load(const attend_tensor *t, const int64_t *index);
void gate_store(const attend_tensor *t, const int64_t *index, double value);
/* Half a unit in the last place of a 16-bit value near x; 0 for F32, whose rounding is in the
 * bound. */
double gate_half_unit(attend_type type, double x);

/* ---- cases ----------------------------------------------------------------------------------- */

/* What a case can use: name, share of the cases. Each pair must come up at least once in a run. */
#define GATE_OPTION_LIST(X)                                                                        \
    X(CAUSAL, "causal", 0.3)                                                                       \
    X(WINDOW, "window", 0.25)                                                                      \
    X(MASK, "mask", 0.25)                                                                          \
    X(BIAS, "bias", 0.25)                                                                          \
    X(KEY_MASK, "key_mask", 0.25)                                                                  \
    X(KEY_LENGTHS, "key_lengths", 0.25)                                                            \
    X(QUERY_LENGTHS, "query_lengths", 0.25)                                                        \
    X(OFFSETS, "query_offsets", 0.25)                                                              \
    X(ALIBI, "alibi_slopes", 0.25)                                                                 \
    X(SINKS, "sinks", 0.25)                                                                        \
    X(SOFTCAP, "softcap", 0.25)                                                                    \
    X(SCALE, "scale", 0.25)                                                                        \
    X(WEIGHTS, "weights", 0.25)                                                                    \
    X(WEIGHTS_MEAN, "weights_mean", 0.25)                                                          \
    X(SCORES, "scores", 0.25)                                                                      \
    X(LSE, "lse", 0.5)                                                                             \
    X(GROUPED, "grouped heads", 0.35)                                                              \
    X(VALUE_SIZE, "value size", 0.4)                                                               \
    X(HALF, "16-bit q", 0.4)                                                                       \
    X(MIXED, "f32 q over 16-bit k and v", 0.2)                                                     \
    X(STRIDES, "odd strides", 0.5)                                                                 \
    X(BROADCAST, "stride 0", 0.25)                                                                 \
    X(PACKED, "packed batch", 0.25)                                                                \
    X(PAGES, "pages", 0.2)                                                                         \
    X(INT8, "int8 k and v", 0.2)                                                                   \
    X(KEY_RANGE, "key range", 0.2)

typedef enum gate_option {
#define GATE_X(name, text, share) GATE_##name,
    GATE_OPTION_LIST(GATE_X)
#undef GATE_X
        GATE_OPTION_COUNT
} gate_option;

extern const char *const gate_option_text[GATE_OPTION_COUNT];

/* The first option of those that serving brought: drawn from a generator of their own, so that a
 * case without them is what it was before. */
enum { GATE_FIRST_OF_SERVING = GATE_PACKED };

enum { GATE_MAX_TENSORS = 24, GATE_MAX_BATCH = 4 };

typedef struct gate_memory {
    unsigned char *bytes; /* with a guard of GATE_GUARD bytes before and after */
    size_t size;
    attend_tensor *view;
    bool output;
    int64_t rows; /* of an output: rows of dimension 2 that are written; -1 = all */
} gate_memory;

/* How the samples lie in memory where they are packed or in pages. */
typedef struct gate_layout {
    int64_t query_length[GATE_MAX_BATCH], key_length[GATE_MAX_BATCH];
    int64_t query_rows, key_rows; /* packed: rows of q and k; some lie behind the last sample */
    int64_t pages, page_size, entries;
} gate_layout;

typedef struct gate_case {
    int64_t B, H, G, L, S, D, E;
    uint32_t used;      /* bit per gate_option that is really in use */
    attend_attention a; /* the call */
    attend_attention
        truth; /* what it means: k and v as plain floats, lengths for cumulative ones */
    gate_layout layout;
    gate_memory memory[GATE_MAX_TENSORS];
    int count;
    void *plain[3]; /* q, k and v of `truth` where they are not those of the call */
    char text[320]; /* one line: sizes, types, options */
} gate_case;

/* Largest sizes a case may have; smaller for slow backends. plans: cases take their head sizes from
 * that many draws, so that a backend which compiles for each serves many; 0 = each case its own. */
typedef struct gate_limits {
    int64_t length, head_size;
    uint64_t plans;
    bool dense; /* none of packed batches, pages, int8 and key ranges: a backend may lack these */
} gate_limits;

/* false when memory ran out. The same (seed, index, limits) gives the same case. */
bool gate_case_make(gate_case *c, uint64_t seed, uint64_t index, gate_limits limits);
void gate_case_free(gate_case *c);
/* Where row (b, h, i) lies in out and lse. false where a packed batch has no such row. */
bool gate_case_row(const gate_case *c, const int64_t at[3], int64_t row[3]);
/* The name of an output whose gaps or surroundings were written to, or NULL. */
const char *gate_case_damage(const gate_case *c);

/* ---- oracle ---------------------------------------------------------------------------------- */

/* One row (b, h, i) in float64: arrays of S, kept from row to row. */
typedef struct gate_row {
    bool *allowed;
    double *score; /* MASKED: -inf where excluded */
    double *stage; /* as far as the case's scores_stage */
    double *stage_bound;
    double *weight, *weight_bound;
    double *error; /* e_j + m + u t */
    double lse, lse_bound;
    bool beyond;  /* at or beyond the query length */
    int64_t keys; /* key length of the sample */
} gate_row;

bool gate_row_make(gate_row *r, int64_t keys);
void gate_row_free(gate_row *r);
void gate_row_compute(gate_row *r, const attend_attention *a, int64_t b, int64_t h, int64_t i);
/* Output element e of the row and its bound. */
double gate_row_output(const gate_row *r, const attend_attention *a, int64_t b, int64_t h,
                       int64_t e, double *bound);

/* ---- comparison ------------------------------------------------------------------------------ */

typedef enum gate_kind {
    GATE_KIND_OUT,
    GATE_KIND_WEIGHT,
    GATE_KIND_MEAN,
    GATE_KIND_SCORE,
    GATE_KIND_LSE,
    GATE_KINDS
} gate_kind;

typedef struct gate_worst {
    double ratio[GATE_KINDS][2]; /* error / bound; [1] for 16-bit results */
    uint64_t index[GATE_KINDS][2];
    uint64_t values;
    char first_failure[256]; /* of the case at hand; "" if none */
} gate_worst;

extern const char *const gate_kind_text[GATE_KINDS];

/* Compares up to 64 rows of a case that ran. false if a value is outside its bound. */
bool gate_check(const gate_case *c, uint64_t seed, uint64_t index, gate_row *row,
                gate_worst *worst);
/* Whether `got` is within the bound of `want`; infinities and NaN must be the same. */
double gate_ratio(double got, double want, double bound, attend_type type);

#endif

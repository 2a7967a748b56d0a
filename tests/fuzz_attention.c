/* SPDX-License-Identifier: Apache-2.0
 *
 * libFuzzer target: bytes become one call of an operation. A description that fits is built first,
 * then members of it are changed to anything. Views lie in an arena with everything around them
 * known: a refused call leaves every byte as it was and has a sentence; a call that succeeds
 * changes no byte outside its outputs, and rows of weights sum to 1 or 0. Over budget: one table of
 * members for each operation. */
#include <attend/attend.h>

#include <math.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size);

enum { ARENA = 1 << 16, WORKSPACE = 1 << 21, BACKENDS = 3, MOST_CHANGES = 6 };

static _Alignas(64) unsigned char arena[ARENA], before[ARENA], written[ARENA];
static _Alignas(64) unsigned char workspace[WORKSPACE];
static attend_context *contexts[BACKENDS];
static attend_buffer *buffers[BACKENDS];

/* ---- bytes ----------------------------------------------------------------------------------- */

typedef struct source {
    const uint8_t *at, *end;
} source;

static unsigned take(source *s, unsigned limit) {
    if (s->at == s->end) return 0;
    return *s->at++ % limit;
}

static int64_t take_number(source *s) {
    static const int64_t numbers[] = {-1,
                                      INT64_MIN,
                                      INT64_MAX,
                                      INT64_MAX / 2,
                                      INT64_C(1) << 31,
                                      -(INT64_C(1) << 31),
                                      INT64_C(1) << 32,
                                      INT64_C(1) << 60,
                                      INT64_C(1) << 61,
                                      INT64_C(1) << 62,
                                      -(INT64_C(1) << 61),
                                      65536,
                                      1023,
                                      256,
                                      257,
                                      -7};
    const unsigned kind = take(s, 64);
    return kind < 16 ? numbers[kind] : (int64_t)kind - 16;
}

/* ---- operations ------------------------------------------------------------------------------ */

typedef struct member {
    /* letters; '#': indices, '+': they never fall, '!': int32, '?': truths, '1': float32 only,
     * '8': int8 or the trial's type, '9': float32, where '8' is int8 */
    const char *dims;
    size_t offset;
    bool needed;
} member;

typedef enum scalar_kind { WORD, LONG, REAL } scalar_kind;
typedef struct scalar {
    size_t offset;
    scalar_kind kind;
} scalar;

#define IN(dims, name)                                                                             \
    { dims, offsetof(TYPE, name), true }
#define MAY(dims, name)                                                                            \
    { dims, offsetof(TYPE, name), false }

#define TYPE attend_attention
static const member attention_members[] = {IN("BHLD", q),
                                           IN("BGSD", k),
                                           IN("BGSE", v),
                                           IN("BHLE", out),
                                           MAY("BHLS", weights),
                                           MAY("BLS", weights_mean),
                                           MAY("BHLS", scores),
                                           MAY("1BHL", lse),
                                           MAY("#B", query_offsets),
                                           MAY("#B", query_lengths),
                                           MAY("#B", key_lengths),
                                           MAY("?HLS", mask),
                                           MAY("BHLS", bias),
                                           MAY("?BS", key_mask),
                                           MAY("1H", alibi_slopes),
                                           MAY("1H", sinks),
                                           MAY("#B", cu_query_lengths)};
static const scalar attention_scalars[] = {{offsetof(TYPE, scale), REAL},
                                           {offsetof(TYPE, has_scale), WORD},
                                           {offsetof(TYPE, causal), WORD},
                                           {offsetof(TYPE, softcap), REAL},
                                           {offsetof(TYPE, window_left), LONG},
                                           {offsetof(TYPE, window_right), LONG},
                                           {offsetof(TYPE, position), WORD},
                                           {offsetof(TYPE, precision), WORD},
                                           {offsetof(TYPE, query_offset), LONG},
                                           {offsetof(TYPE, scores_stage), WORD},
                                           {offsetof(TYPE, max_query_length), LONG},
                                           {offsetof(TYPE, max_key_length), LONG},
                                           {offsetof(TYPE, key_begin), LONG},
                                           {offsetof(TYPE, key_end), LONG},
                                           {offsetof(TYPE, reserved_flags), WORD},
                                           {offsetof(TYPE, size), LONG}};
static const member packed_members[] = {IN("AHUD", q),
                                        IN("8AGVD", k),
                                        IN("8AGVE", v),
                                        IN("AHUE", out),
                                        MAY("BHLS", weights),
                                        MAY("BLS", weights_mean),
                                        MAY("BHLS", scores),
                                        MAY("1AHU", lse),
                                        IN("+N", cu_query_lengths),
                                        IN("+N", cu_key_lengths),
                                        IN("9AGV", k_scales),
                                        IN("9AGV", v_scales),
                                        MAY("#B", query_offsets),
                                        MAY("?HLS", mask)};
static const member paged_members[] = {IN("BHLD", q),
                                       IN("8PGCD", k),
                                       IN("8PGCE", v),
                                       IN("BHLE", out),
                                       MAY("BHLS", weights),
                                       MAY("BLS", weights_mean),
                                       MAY("BHLS", scores),
                                       MAY("1BHL", lse),
                                       IN("!BW", page_table),
                                       IN("#B", key_lengths),
                                       IN("9PGC", k_scales),
                                       IN("9PGC", v_scales),
                                       MAY("#B", query_lengths),
                                       MAY("?BS", key_mask)};
#define packed_scalars attention_scalars
#define paged_scalars attention_scalars
#undef TYPE
#define TYPE attend_append
#define PAGES                                                                                      \
    IN("8PGCD", k_pages), IN("8PGCE", v_pages), IN("9PGC", k_scales), IN("9PGC", v_scales),        \
        IN("#B", starts), MAY("!BW", page_table), MAY("1ZT", rope_cos), MAY("1ZT", rope_sin)
static const member append_members[] = {PAGES, IN("BGLD", k), IN("BGLE", v), MAY("#B", counts)};
static const member append_packed_members[] = {PAGES, IN("AGUD", k), IN("AGUE", v),
                                               IN("+N", cu_counts)};
#define append_packed_scalars append_scalars
static const scalar append_scalars[] = {{offsetof(TYPE, rotary_dim), LONG},
                                        {offsetof(TYPE, interleaved), WORD},
                                        {offsetof(TYPE, reserved_flags), WORD},
                                        {offsetof(TYPE, size), LONG}};
#undef TYPE
#define TYPE attend_merging
static const member join_members[] = {IN("PBHLE", parts), IN("1PBHL", part_lse), MAY("1H", sinks),
                                      IN("BHLE", out), MAY("1BHL", lse)};
static const scalar join_scalars[] = {{offsetof(TYPE, reserved_flags), LONG},
                                      {offsetof(TYPE, size), LONG}};
#undef TYPE
#define TYPE attend_projection
static const member project_members[] = {IN("BLD", x),         IN("ED", w),
                                         MAY("E", bias),       MAY("BLE", multiplier),
                                         MAY("BLE", residual), IN("BLE", out)};
static const scalar project_scalars[] = {{offsetof(TYPE, activation), WORD},
                                         {offsetof(TYPE, reserved_flags), WORD},
                                         {offsetof(TYPE, size), LONG}};
#undef TYPE
#define TYPE attend_copy
static const member copy_members[] = {IN("BHLD", x), IN("BHLD", out)};
static const member split_members[] = {IN("BLX", x), IN("BHLD", out)};
static const member merge_members[] = {IN("BHLD", x), IN("BLX", out)};
#define split_scalars copy_scalars
#define merge_scalars copy_scalars
static const scalar copy_scalars[] = {{offsetof(TYPE, size), LONG}};
#undef TYPE
#define TYPE attend_norm
static const member norm_members[] = {IN("BLD", x),   MAY("BLD", residual), MAY("D", weight),
                                      MAY("D", bias), IN("BLD", out),       MAY("BLD", sum)};
static const scalar norm_scalars[] = {{offsetof(TYPE, kind), WORD},
                                      {offsetof(TYPE, reserved_flags), WORD},
                                      {offsetof(TYPE, eps), REAL},
                                      {offsetof(TYPE, size), LONG}};
#undef TYPE
#define TYPE attend_elementwise
static const member activate_members[] = {IN("BLD", x), MAY("BLD", multiplier),
                                          MAY("BLD", residual), IN("BLD", out)};
static const scalar activate_scalars[] = {{offsetof(TYPE, activation), WORD},
                                          {offsetof(TYPE, reserved_flags), WORD},
                                          {offsetof(TYPE, size), LONG}};
#undef TYPE
#define TYPE attend_rope
static const member rope_members[] = {IN("BHLD", x), IN("SF", cos), IN("SF", sin),
                                      MAY("#BL", position_ids), IN("BHLD", out)};
static const scalar rope_scalars[] = {{offsetof(TYPE, position_offset), LONG},
                                      {offsetof(TYPE, rotary_dim), LONG},
                                      {offsetof(TYPE, interleaved), WORD},
                                      {offsetof(TYPE, reserved_flags), WORD},
                                      {offsetof(TYPE, size), LONG}};
#undef TYPE
#define TYPE attend_embedding
static const member embed_members[] = {IN("SD", table), MAY("#BL", ids), MAY("BLD", x),
                                       IN("BLD", out)};
static const scalar embed_scalars[] = {
    {offsetof(TYPE, scale), REAL}, {offsetof(TYPE, id_offset), LONG}, {offsetof(TYPE, size), LONG}};
#undef TYPE

/* Room for any description, and for a caller with a longer one. */
typedef union room {
    size_t size;
    attend_attention attention;
    attend_projection projection;
    attend_copy copy;
    attend_norm norm;
    attend_elementwise elementwise;
    attend_rope rope;
    attend_embedding embedding;
    attend_append append;
    attend_merging join;
    unsigned char bytes[sizeof(attend_attention) + 256];
} room;

typedef attend_status run_fn(attend_context *context, const room *d);
typedef attend_status enqueue_fn(attend_context *context, const room *d, attend_event **done);

#define FORMS(name, member, run, enqueue)                                                          \
    static attend_status name##_run(attend_context *c, const room *d) {                            \
        return run(c, &d->member);                                                                 \
    }                                                                                              \
    static attend_status name##_enqueue(attend_context *c, const room *d, attend_event **done) {   \
        return enqueue(c, &d->member, 0, NULL, done);                                              \
    }
FORMS(attention, attention, attend_run, attend_enqueue)
FORMS(scores, attention, attend_scores, attend_scores_enqueue)
FORMS(softmax, attention, attend_softmax, attend_softmax_enqueue)
FORMS(mix, attention, attend_mix, attend_mix_enqueue)
FORMS(project, projection, attend_project, attend_project_enqueue)
FORMS(copy, copy, attend_copy_run, attend_copy_enqueue)
FORMS(split, copy, attend_split_heads, attend_split_heads_enqueue)
FORMS(merge, copy, attend_merge_heads, attend_merge_heads_enqueue)
FORMS(norm, norm, attend_norm_run, attend_norm_enqueue)
FORMS(activate, elementwise, attend_activate, attend_activate_enqueue)
FORMS(rope, rope, attend_rope_run, attend_rope_enqueue)
FORMS(embed, embedding, attend_embed, attend_embed_enqueue)
FORMS(append, append, attend_append_run, attend_append_enqueue)
FORMS(join, join, attend_merge, attend_merge_enqueue)

typedef struct operation {
    const member *members;
    const scalar *scalars;
    size_t member_count, scalar_count;
    unsigned outputs; /* bit i: members[i] is written */
    void (*init)(void *description, size_t size);
    size_t size;
    run_fn *run;
    enqueue_fn *enqueue;
} operation;

#define COUNT(list) (sizeof(list) / sizeof *(list))
/* Places in attention_members. */
enum { OUT = 1 << 3, WEIGHTS = 1 << 4, MEAN = 1 << 5, SCORES = 1 << 6, LSE = 1 << 7 };
#define OPERATION(name, lists, type, start, writes)                                                \
    {                                                                                              \
        lists##_members, lists##_scalars, COUNT(lists##_members), COUNT(lists##_scalars), writes,  \
            start, sizeof(type), name##_run, name##_enqueue                                        \
    }
static const operation operations[] = {
    OPERATION(attention, attention, attend_attention, attend_attention_init,
              OUT | WEIGHTS | MEAN | SCORES | LSE),
    OPERATION(attention, attention, attend_attention, attend_attention_init,
              OUT | WEIGHTS | MEAN | SCORES | LSE),
    OPERATION(attention, packed, attend_attention, attend_attention_init,
              OUT | WEIGHTS | MEAN | SCORES | LSE),
    OPERATION(attention, paged, attend_attention, attend_attention_init,
              OUT | WEIGHTS | MEAN | SCORES | LSE),
    OPERATION(softmax, packed, attend_attention, attend_attention_init, WEIGHTS | MEAN | LSE),
    OPERATION(mix, packed, attend_attention, attend_attention_init, OUT),
    OPERATION(mix, paged, attend_attention, attend_attention_init, OUT),
    OPERATION(append, append, attend_append, attend_append_init, 15),
    OPERATION(append, append_packed, attend_append, attend_append_init, 15),
    OPERATION(join, join, attend_merging, attend_merging_init, 3 << 3),
    OPERATION(scores, attention, attend_attention, attend_attention_init, SCORES),
    OPERATION(softmax, attention, attend_attention, attend_attention_init, WEIGHTS | MEAN | LSE),
    OPERATION(mix, attention, attend_attention, attend_attention_init, OUT),
    OPERATION(project, project, attend_projection, attend_projection_init, 1 << 5),
    OPERATION(copy, copy, attend_copy, attend_copy_init, 1 << 1),
    OPERATION(split, split, attend_copy, attend_copy_init, 1 << 1),
    OPERATION(merge, merge, attend_copy, attend_copy_init, 1 << 1),
    OPERATION(norm, norm, attend_norm, attend_norm_init, 3 << 4),
    OPERATION(activate, activate, attend_elementwise, attend_elementwise_init, 1 << 3),
    OPERATION(rope, rope, attend_rope, attend_rope_init, 1 << 4),
    OPERATION(embed, embed, attend_embedding, attend_embedding_init, 1 << 3)};

static attend_tensor *tensor_of(room *d, const member *m) {
    return (attend_tensor *)(void *)(d->bytes + m->offset);
}

/* ---- a description that fits ----------------------------------------------------------------- */

typedef struct trial {
    const operation *op;
    room d;
    int backend;
    int64_t sizes[26];
    size_t used;        /* bytes of the arena */
    uint32_t seed;      /* of the values */
    attend_type stored; /* '8' */
} trial;

static uint32_t next(trial *t) { /* xorshift32 (Marsaglia 2003) */
    t->seed ^= t->seed << 13;
    t->seed ^= t->seed >> 17;
    t->seed ^= t->seed << 5;
    return t->seed;
}

static void fill(trial *t, unsigned char *to, attend_type type, size_t count) {
    for (size_t i = 0; i < count; i++) {
        const uint32_t r = next(t);
        const float x = ((float)(r % 512) - 256) / 128;
        uint32_t bits;
        memcpy(&bits, &x, sizeof bits);
        const uint16_t brain = (uint16_t)(bits >> 16), half = (uint16_t)(r & 0xbfffu);
        const int32_t word = (int32_t)(r % 4);
        const int64_t wide = word;
        if (type == ATTEND_F32) memcpy(to + 4 * i, &x, 4);
        if (type == ATTEND_BF16) memcpy(to + 2 * i, &brain, 2);
        if (type == ATTEND_F16) memcpy(to + 2 * i, &half, 2);
        if (type == ATTEND_I32) memcpy(to + 4 * i, &word, 4);
        if (type == ATTEND_I64) memcpy(to + 8 * i, &wide, 8);
        if (type == ATTEND_I8) to[i] = (uint8_t)r;
        if (type == ATTEND_BOOL) to[i] = (uint8_t)(word != 0);
    }
}

/* Cumulative lengths: numbers of 0 to 3 are added up. */
static void accumulate(const attend_tensor *t) {
    int64_t sum = 0;
    for (int64_t i = 0; i < t->sizes[0]; i++) {
        int64_t *const wide = (int64_t *)t->data + i;
        int32_t *const word = (int32_t *)t->data + i;
        const int64_t own = t->type == ATTEND_I64 ? *wide : *word;
        if (i > 0) sum += own;
        if (t->type == ATTEND_I64)
            *wide = sum;
        else
            *word = (int32_t)sum;
    }
}

static void place(trial *t, const member *m, attend_type type) {
    const char *dims = m->dims;
    if (*dims == '9' && t->stored != ATTEND_I8) return;
    if (*dims == '#' || *dims == '+') type = next(t) % 2 ? ATTEND_I32 : ATTEND_I64;
    if (*dims == '!') type = ATTEND_I32;
    if (*dims == '8') type = t->stored;
    if (*dims == '9') type = ATTEND_F32;
    if (*dims == '?') type = ATTEND_BOOL;
    if (*dims == '1') type = ATTEND_F32;
    if (*dims < 'A') dims++;
    int64_t sizes[ATTEND_MAX_RANK] = {0}, count = 1;
    const int32_t rank = (int32_t)strlen(dims);
    for (int32_t i = 0; i < rank; i++)
        count *= sizes[i] = t->sizes[dims[i] - 'A'];
    const size_t each = attend_type_bytes(type);
    if ((size_t)count * each > ARENA - t->used) return; /* stays "not given" */
    *tensor_of(&t->d, m) = attend_tensor_nd(arena + t->used, type, rank, sizes);
    fill(t, arena + t->used, type, (size_t)count);
    if (*m->dims == '+') accumulate(tensor_of(&t->d, m));
    t->used += ((size_t)count * each + 63) / 64 * 64;
}

/* Of packed batches and pages: room for all that accumulate may add up to, four pages. */
static void serving_sizes(trial *t, source *s) {
    int64_t *const n = t->sizes;
    n['A' - 'A'] = 1;
    n['N' - 'A'] = n['B' - 'A'] + 1;
    n['U' - 'A'] = n['V' - 'A'] = 3 * n['B' - 'A'] + (int64_t)take(s, 2);
    n['C' - 'A'] = 1 + (int64_t)take(s, 5);
    n['P' - 'A'] = take(s, 4) ? 4 : n['B' - 'A'];
    n['W' - 'A'] = (n['S' - 'A'] + n['C' - 'A'] - 1) / n['C' - 'A'];
    n['Z' - 'A'] = 8;
    n['T' - 'A'] = n['D' - 'A'] / 2;
}

static void build(trial *t, source *s) {
    static const int64_t lengths[] = {0, 1, 2, 3, 5, 16, 17, 40};
    t->op = &operations[take(s, COUNT(operations))];
    t->backend = (int)take(s, BACKENDS);
    t->seed = 1 + take(s, 255);
    for (int i = 0; i < 26; i++)
        t->sizes[i] = 0;
    for (const char *letter = "LSDE"; *letter; letter++)
        t->sizes[*letter - 'A'] = lengths[take(s, COUNT(lengths))];
    if (take(s, 16) == 15) t->sizes['S' - 'A'] = 270; /* more than one block of keys */
    t->sizes['B' - 'A'] = (int64_t)take(s, 4);
    t->sizes['G' - 'A'] = (int64_t)take(s, 3);
    t->sizes['H' - 'A'] = t->sizes['G' - 'A'] * (1 + (int64_t)take(s, 3));
    t->sizes['F' - 'A'] = t->sizes['D' - 'A'] / 2;
    t->sizes['X' - 'A'] = t->sizes['H' - 'A'] * t->sizes['D' - 'A'];
    static const attend_type types[] = {ATTEND_F32, ATTEND_F16, ATTEND_BF16};
    const attend_type type = types[take(s, 3)];
    t->stored = take(s, 2) ? ATTEND_I8 : type;
    serving_sizes(t, s);
    memset(&t->d, 0, sizeof t->d);
    t->op->init(t->d.bytes, t->op->size);
    t->used = 0;
    for (size_t i = 0; i < t->op->member_count; i++) {
        const member *m = &t->op->members[i];
        if (m->needed || take(s, 4) == 3) place(t, m, type);
    }
    if (t->op->members != packed_members && t->op->members != paged_members) return;
    t->d.attention.max_key_length = t->sizes['S' - 'A'];
    if (t->op->members == packed_members) t->d.attention.max_query_length = t->sizes['L' - 'A'];
}

/* ---- changes --------------------------------------------------------------------------------- */

static void swap_dimensions(attend_tensor *t, unsigned a, unsigned b) {
    const int64_t size = t->sizes[a], stride = t->strides[a];
    t->sizes[a] = t->sizes[b];
    t->strides[a] = t->strides[b];
    t->sizes[b] = size;
    t->strides[b] = stride;
}

/* An index anywhere, in a view as it was built. */
static void change_value(const attend_tensor *x, source *s) {
    const unsigned i = take(s, 8);
    const int64_t wide = take_number(s);
    const int32_t word = (int32_t)wide;
    const bool ours = (unsigned char *)x->data >= arena &&
                      (unsigned char *)x->data < arena + ARENA - 8 * sizeof wide;
    if (!ours || x->sizes[0] <= (int64_t)i) return;
    if (x->type == ATTEND_I64) memcpy((char *)x->data + i * sizeof wide, &wide, sizeof wide);
    if (x->type == ATTEND_I32) memcpy((char *)x->data + i * sizeof word, &word, sizeof word);
}

static void change_tensor(trial *t, source *s) {
    attend_tensor *const x =
        tensor_of(&t->d, &t->op->members[take(s, (unsigned)t->op->member_count)]);
    const unsigned what = take(s, 20), d = take(s, ATTEND_MAX_RANK);
    if (what == 0) x->type = (attend_type)(take(s, 12) - 1);
    if (what == 1) x->rank = (int32_t)take_number(s);
    if (what == 2 || what == 3) x->sizes[d] = take_number(s);
    if (what == 4 || what == 5) x->strides[d] = take_number(s);
    if (what == 6) x->offset = take_number(s);
    if (what == 7) x->data = take(s, 2) ? NULL : (void *)(arena + take(s, 200));
    if (what == 8) x->buffer = take(s, 4) ? buffers[t->backend] : buffers[take(s, BACKENDS)];
    if (what == 9) memset(x, 0, sizeof *x);
    if (what == 10) *x = *tensor_of(&t->d, &t->op->members[take(s, (unsigned)t->op->member_count)]);
    if (what == 11) swap_dimensions(x, d, take(s, ATTEND_MAX_RANK));
    if (what == 12) x->scales = take(s, 2) ? x : NULL;
    if (what == 13) x->reserved[d % 2] = take_number(s);
    if (what == 14) x->strides[d] = 0;
    if (what == 15 && x->sizes[d] > 1) x->sizes[d]--;
    if (what > 15) change_value(x, s);
}

static void change_scalar(trial *t, source *s) {
    static const double reals[] = {0,   1,        -0.5,      30,     1e300, -1e300,
                                   NAN, HUGE_VAL, -HUGE_VAL, 5e-324, 1e-38, 0.125};
    const scalar *const x = &t->op->scalars[take(s, (unsigned)t->op->scalar_count)];
    const int64_t number = take_number(s);
    const int32_t word = (int32_t)number;
    const double real = reals[take(s, COUNT(reals))];
    if (x->kind == WORD) memcpy(t->d.bytes + x->offset, &word, sizeof word);
    if (x->kind == REAL) memcpy(t->d.bytes + x->offset, &real, sizeof real);
    if (x->kind == LONG && x->offset != 0) memcpy(t->d.bytes + x->offset, &number, sizeof number);
    /* the size is a promise about memory: within the room */
    if (x->kind == LONG && x->offset == 0) t->d.size = (size_t)(uint64_t)number % sizeof t->d;
}

static bool well_formed(const attend_tensor *x) {
    bool good = attend_type_bytes(x->type) > 0 && x->rank >= 1 && x->rank <= ATTEND_MAX_RANK &&
                x->offset >= 0;
    for (int32_t i = 0; good && i < x->rank; i++)
        good = x->sizes[i] > 0 && x->strides[i] >= 0;
    return good;
}

/* Elements behind `data` that the view reaches, in floating point: exact where it matters. */
static double reach_of(const attend_tensor *x) {
    double last = (double)x->offset;
    for (int32_t i = 0; i < x->rank; i++)
        last += (double)(x->sizes[i] - 1) * (double)x->strides[i];
    return (last + 1) * (double)attend_type_bytes(x->type);
}

static void use_buffer(trial *t, attend_tensor *x) {
    const size_t each = attend_type_bytes(x->type);
    const size_t at = (size_t)((const unsigned char *)x->data - arena);
    if (each == 0 || at % each != 0 || x->offset > INT64_MAX - ARENA) return;
    x->offset += (int64_t)(at / each);
    x->data = NULL;
    x->buffer = buffers[t->backend];
}

/* How far host memory goes is the caller's word: a view that goes beyond the arena is made one of a
 * buffer, where the library knows. False if the call would be of a kind that may take hours. */
static bool make_true(trial *t) {
    double work = 1;
    bool all_fit = true;
    for (size_t i = 0; i < t->op->member_count; i++) {
        attend_tensor *const x = tensor_of(&t->d, &t->op->members[i]);
        if (x->type == ATTEND_NO_TYPE) continue;
        for (int32_t d = 0; d < x->rank && d < ATTEND_MAX_RANK; d++)
            if (x->sizes[d] > 300) work *= (double)x->sizes[d];
        if (!well_formed(x)) continue;
        const bool outside = x->data != NULL &&
                             reach_of(x) > (double)(arena + ARENA - (const unsigned char *)x->data);
        all_fit = all_fit && !outside;
        if (!outside || x->buffer != NULL) continue;
        use_buffer(t, x);
        if (x->buffer == NULL) return false;
    }
    return work < 1e5 || !all_fit;
}

/* ---- what must hold -------------------------------------------------------------------------- */

static void wrong(const trial *t, const char *what, attend_status status) {
    fprintf(stderr, "operation %d, backend %d: %s (%s: %s)\n", (int)(t->op - operations),
            t->backend, what, attend_status_name(status), attend_error_text());
    abort();
}

static void mark_outputs(trial *t) {
    memset(written, 0, sizeof written);
    for (size_t i = 0; i < t->op->member_count; i++) {
        attend_tensor *const x = tensor_of(&t->d, &t->op->members[i]);
        if ((t->op->outputs >> i & 1u) == 0 || !well_formed(x)) continue;
        const size_t each = attend_type_bytes(x->type);
        const size_t start = x->data ? (size_t)((const unsigned char *)x->data - arena) : 0;
        int64_t count = 1;
        for (int32_t d = 0; d < x->rank; d++)
            count *= x->sizes[d];
        for (int64_t e = 0; e < count; e++) {
            int64_t at = x->offset, rest = e;
            for (int32_t d = 0; d < x->rank; d++) {
                at += rest % x->sizes[d] * x->strides[d];
                rest /= x->sizes[d];
            }
            memset(written + start + (size_t)at * each, 1, each);
        }
    }
}

static void check_weights(trial *t, attend_status status) {
    const attend_attention *const a = &t->d.attention;
    const attend_tensor *const w = &a->weights;
    if (t->op->run != attention_run || w->type != ATTEND_F32 || w->sizes[3] == 0) return;
    const float *const data = (const float *)(const void *)(w->data ? w->data : arena) + w->offset;
    for (int64_t r = 0; r < w->sizes[0] * w->sizes[1] * w->sizes[2]; r++) {
        const int64_t i = r % w->sizes[2], h = r / w->sizes[2] % w->sizes[1],
                      b = r / w->sizes[2] / w->sizes[1];
        double sum = 0;
        for (int64_t j = 0; j < w->sizes[3]; j++)
            sum += (double)
                data[b * w->strides[0] + h * w->strides[1] + i * w->strides[2] + j * w->strides[3]];
        if (!isfinite(sum)) continue;
        const bool partial = a->sinks.type != ATTEND_NO_TYPE;
        const bool good =
            fabs(sum) < 1e-4 || fabs(sum - 1) < 1e-4 || (partial && sum > 0 && sum < 1);
        if (!good) wrong(t, "a row of weights sums to neither 0 nor 1", status);
    }
}

static attend_status call(trial *t, unsigned form) {
    attend_context *const context = contexts[t->backend];
    if (form == 0) { /* enqueued */
        attend_event *done = NULL;
        attend_status status = t->op->enqueue(context, &t->d, &done);
        if ((status == ATTEND_OK) != (done != NULL)) wrong(t, "event and status disagree", status);
        if (status == ATTEND_OK) status = attend_event_wait(done, -1);
        attend_event_release(done);
        return status;
    }
    if (form == 1 && t->op->run == attention_run) { /* with a plan */
        attend_plan *plan = NULL;
        attend_status status = attend_plan_create(context, &t->d.attention, &plan);
        if ((status == ATTEND_OK) != (plan != NULL)) wrong(t, "plan and status disagree", status);
        if (status == ATTEND_OK) status = attend_plan_run(plan, &t->d.attention);
        attend_plan_release(plan);
        return status;
    }
    return t->op->run(context, &t->d);
}

static void check(trial *t, attend_status status) {
    if (status == ATTEND_OK) {
        mark_outputs(t);
        for (size_t i = 0; i < ARENA; i++)
            if (arena[i] != before[i] && !written[i]) wrong(t, "wrote beyond its outputs", status);
        check_weights(t, status);
        return;
    }
    if (memcmp(arena, before, ARENA) != 0) wrong(t, "was refused and wrote", status);
    if (status > 0 || strcmp(attend_status_name(status), "unknown status") == 0)
        wrong(t, "no status", status);
    if (*attend_error_text() == '\0') wrong(t, "no sentence", status);
    if (status == ATTEND_INTERNAL) wrong(t, "an internal fault", status);
}

static void open_contexts(void) {
    static const char *const names[BACKENDS] = {"cpu", "cpu", "reference"};
    for (int i = 0; i < BACKENDS; i++) {
        attend_options o = attend_options_default();
        o.backend = names[i];
        o.isa = i == 1 ? "scalar" : NULL;
        o.threads = i == 1 ? 1 : 2;
        if (attend_open(&o, &contexts[i]) != ATTEND_OK ||
            attend_buffer_import(contexts[i], "host", arena, 0, ARENA, &buffers[i]) != ATTEND_OK)
            abort();
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size) {
    if (contexts[0] == NULL) open_contexts();
    source s = {bytes, bytes + size};
    static trial t;
    build(&t, &s);
    const unsigned form = take(&s, 4), changes = take(&s, MOST_CHANGES + 1);
    for (unsigned i = 0; i < changes; i++) {
        if (take(&s, 3) == 0)
            change_scalar(&t, &s);
        else
            change_tensor(&t, &s);
    }
    if (t.op->init == attend_attention_init && take(&s, 8) == 7)
        t.d.attention.workspace =
            attend_tensor_1d(workspace + take(&s, 2), ATTEND_U8, WORKSPACE - 1);
    if (!make_true(&t)) return 0;
    for (size_t i = 0; form == 0 && i < t.op->member_count; i++) {
        attend_tensor *const x = tensor_of(&t.d, &t.op->members[i]);
        if (x->data != NULL && x->buffer == NULL) use_buffer(&t, x);
    }
    if (t.d.size < t.op->size) { /* what the library does not see is off */
        memset(t.d.bytes + t.d.size, 0, sizeof t.d - t.d.size);
        if (t.d.size < sizeof t.d.size) t.d.size = take(&s, 2) ? 0 : sizeof t.d.size;
    }
    memcpy(before, arena, ARENA);
    check(&t, call(&t, form));
    return 0;
}

/* SPDX-License-Identifier: Apache-2.0
 *
 * One strip of attention_lanes.cl and one chunk of keys, for strips of VECTORS vectors: a template,
 * which attention_lanes.cl includes once for each number of vectors, so that the sums of a pass
 * have constant places and stay in registers. */
#define JOIN_NAMES(name, n) name##_##n
#define OF_WIDTH(name, n) JOIN_NAMES(name, n)
#define OF(name) OF_WIDTH(name, VECTORS)
#if VECTORS == 1
#define AT_ONCE 16 /* keys, or columns of values, of one pass */
#else
#define AT_ONCE 8
#endif

/* sum[n] += sum over i of left[i * step + n * pitch], in all lanes, times right[i]. A copy of the
 * sums stays in registers: with an index in the place of the pointer that advances, Intel's
 * compiler loads all of an i's elements of left first, and keeps three sums in memory. */
#define DEFINE_MULTIPLY(name, left_type)                                                           \
    static void name(left_type left, i64 step, i64 pitch, const lanes *right, int count,           \
                     float16 sum[AT_ONCE * VECTORS]) {                                             \
        float16 own[AT_ONCE * VECTORS];                                                            \
        _Pragma("unroll") for (int n = 0; n < AT_ONCE * VECTORS; n++) own[n] = sum[n];             \
        for (int i = 0; i < count; i++, left += step) {                                            \
            _Pragma("unroll") for (int n = 0; n < AT_ONCE; n++) {                                  \
                const float16 x = (float16)(left[n * pitch]);                                      \
                _Pragma("unroll") for (int v = 0; v < VECTORS; v++) own[n * VECTORS + v] =         \
                    FMA(x, right[i][v], own[n * VECTORS + v]);                                     \
            }                                                                                      \
        }                                                                                          \
        _Pragma("unroll") for (int n = 0; n < AT_ONCE * VECTORS; n++) sum[n] = own[n];             \
    }
DEFINE_MULTIPLY(OF(multiply_copied), const float *)
DEFINE_MULTIPLY(OF(multiply_there), __global const float *)

static void OF(zero)(float16 sum[AT_ONCE * VECTORS]) {
#pragma unroll
    for (int n = 0; n < AT_ONCE * VECTORS; n++)
        sum[n] = (float16)(0.0f);
}

/* Scores of the chunk, [key][row], times `factor`, and the largest of each row. */
static void OF(products)(const strip *t, const block *x, span keys, float factor, lanes *s,
                         float16 *top, ahead *next) {
#pragma unroll
    for (int v = 0; v < VECTORS; v++)
        top[v] = (float16)(-INFINITY);
    for (int j = keys.from; j < keys.until; j += AT_ONCE) {
        float16 sum[AT_ONCE * VECTORS];
        look_ahead(next, AT_ONCE);
        OF(zero)(sum);
        if (j >= x->k.direct && j < x->k.direct_until)
            OF(multiply_there)(x->k.there + j * x->k.pitch, 1, x->k.pitch, t->queries, DP, sum);
        else
            OF(multiply_copied)(x->k.copied + j * DP, 1, DP, t->queries, DP, sum);
#pragma unroll
        for (int n = 0; n < AT_ONCE * VECTORS; n++) {
            const float16 one = sum[n] * factor;
            s[j + n / VECTORS][n % VECTORS] = one;
            top[n % VECTORS] = LARGER(one, top[n % VECTORS]);
        }
    }
}

/* Scores become weights relative to their row's largest. */
static void OF(weigh)(span keys, lanes *s, const float16 *top, float16 *sum) {
    float16 base[VECTORS];
#pragma unroll
    for (int v = 0; v < VECTORS; v++) {
        base[v] = anchors(top[v]);
        sum[v] = (float16)(0.0f);
    }
    if (!keys.some)
        for (int j = keys.from; j < keys.until; j++)
#pragma unroll
            for (int v = 0; v < VECTORS; v++) {
                s[j][v] = exponential16(s[j][v] - base[v]);
                sum[v] += s[j][v];
            }
    else
        for (int j = keys.from; j < keys.until; j++)
#pragma unroll
            for (int v = 0; v < VECTORS; v++) {
                const float16 w = exponential16(s[j][v] - base[v]);
                s[j][v] = select(w, (float16)(-0.0f), isequal(s[j][v], (float16)(-INFINITY)));
                sum[v] += s[j][v];
            }
}

static int OF(finite)(const float16 sum[AT_ONCE * VECTORS]) {
    float16 zero = (float16)(0.0f);
    for (int n = 0; n < AT_ONCE * VECTORS; n++)
        zero = FMA(sum[n], (float16)(0.0f), zero);
    return all(isequal(zero, (float16)(0.0f)));
}

/* values = values * old + (weights times V of the chunk) * new. */
static void OF(add_values)(strip *t, const block *x, const lanes *s, span keys, const float16 *old,
                           const float16 *new) {
    const int from = keys.from, until = min(keys.until, t->until - keys.j0);
    float16 sum[AT_ONCE * VECTORS];
    const int first = clamp(x->v.direct, from, until),
              last = clamp(x->v.direct_until, first, until);
    for (int e = 0; e < EC; e += AT_ONCE) {
        OF(zero)(sum);
        OF(multiply_copied)(x->v.copied + from * EC + e, EC, 1, s + from, first - from, sum);
        OF(multiply_there)(x->v.there + first * x->v.pitch + e, x->v.pitch, 1, s + first,
                           last - first, sum);
        OF(multiply_copied)(x->v.copied + last * EC + e, EC, 1, s + last, until - last, sum);
        if (keys.some && !OF(finite)(sum))
            for (int n = 0; n < AT_ONCE * VECTORS; n++)
                sum[n] = chosen(&x->v, e + n / VECTORS, s, keys, n % VECTORS);
#pragma unroll
        for (int n = 0; n < AT_ONCE * VECTORS; n++) {
            float16 *const to = &t->values[e + n / VECTORS][n % VECTORS];
            *to = FMA(*to, old[n % VECTORS], sum[n] * new[n % VECTORS]);
        }
    }
}

static void OF(chunk)(strip *t, const inputs *in, const block *x, span keys, int dense,
                      ahead *next) {
    lanes s[CHUNK], top, sum, old, new;
    OF(products)(t, x, keys, dense ? 1.0f : in->p->scale, s, top, next);
    if (dense)
        advance(t, in, keys, s);
    else if (keys.some)
        limit_all(t, keys, s);
    if (keys.some) largest_of(t, keys, s, top);
    OF(weigh)(keys, s, top, sum);
    for (int v = 0; v < VECTORS; v++) {
        const float16 largest = LARGER(top[v], t->maximum[v]);
        const float16 base = anchors(largest);
        old[v] = exponential16(t->maximum[v] - base);
        new[v] = exponential16(top[v] - base);
        t->maximum[v] = largest;
        t->sum[v] = FMA(t->sum[v], old[v], sum[v] * new[v]);
    }
    OF(add_values)(t, x, s, keys, old, new);
}

#undef DEFINE_MULTIPLY
#undef AT_ONCE
#undef OF
#undef OF_WIDTH
#undef JOIN_NAMES

/* SPDX-License-Identifier: Apache-2.0
 *
 * Attention in one call, on whatever ATTEND_BACKEND says: two padded sentences, causal, with the
 * weights to look at. cc attention.c $(pkg-config --cflags --libs attend) */
#include <attend/attend.h>

#include <stdio.h>

enum { B = 2, H = 2, L = 4, D = 8 };

int main(void) {
    static float q[B * H * L * D], k[B * H * L * D], v[B * H * L * D], out[B * H * L * D];
    static float weights[B * H * L * L];
    const int32_t lengths[B] = {4, 2}; /* the second sentence has two words, then padding */
    for (int i = 0; i < B * H * L * D; i++) {
        q[i] = (float)(i % 7) - 3.0f;
        k[i] = (float)(i % 5) - 2.0f;
        v[i] = (float)i;
    }

    attend_context *ctx;
    if (attend_open(NULL, &ctx)) { /* NULL: the environment decides, read now */
        fprintf(stderr, "%s\n", attend_error_text());
        return 1;
    }
    attend_attention a = attend_attention_default(); /* every option off; scale 1/sqrt(D) */
    a.q = attend_tensor_4d(q, ATTEND_F32, B, H, L, D);
    a.k = attend_tensor_4d(k, ATTEND_F32, B, H, L, D);
    a.v = attend_tensor_4d(v, ATTEND_F32, B, H, L, D);
    a.out = attend_tensor_4d(out, ATTEND_F32, B, H, L, D);
    a.causal = 1;
    a.position = ATTEND_TOP_LEFT; /* query i sees keys 0..i */
    a.query_lengths = a.key_lengths = attend_tensor_1d(lengths, ATTEND_I32, B);
    a.weights = attend_tensor_4d(weights, ATTEND_F32, B, H, L, L);
    if (attend_run(ctx, &a)) { /* finished when it returns */
        fprintf(stderr, "%s\n", attend_error_text());
        attend_close(ctx);
        return 1;
    }
    for (int b = 0; b < B; b++)
        for (int i = 0; i < L; i++) {
            printf("sample %d, head 0, query %d:", b, i);
            for (int j = 0; j < L; j++)
                printf(" %.3f", (double)weights[(b * H * L + i) * L + j]);
            printf("\n");
        }
    printf("%s\n", attend_describe(ctx));
    attend_close(ctx);
    return 0;
}

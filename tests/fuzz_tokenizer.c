/* SPDX-License-Identifier: Apache-2.0
 *
 * libFuzzer target: any bytes as a text for the small tokenizer; spans must lie inside the text. */
#include "model/tokenizer.h"

#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size) {
    static attend__tokenizer *tokenizer;
    if (!tokenizer && attend__tokenizer_open(ATTEND_TEST_DATA "/tokenizer_small.json", &tokenizer))
        abort();
    attend__tokens tokens = {0};
    if (attend__tokenizer_run(tokenizer, (const char *)bytes, size, &tokens)) return 0;
    for (size_t i = 0; i < tokens.count; i++)
        if (tokens.items[i].begin > tokens.items[i].end || tokens.items[i].end > size) abort();
    attend__tokens_free(&tokens);
    return 0;
}

/* SPDX-License-Identifier: Apache-2.0
 *
 * Texts of drivers, and sentences of our own. */
#include "ocl_text.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static char *cleaned(char *text, size_t bytes) {
    if (text == NULL) return NULL;
    text[bytes] = 0;
    for (char *c = text; *c; c++)
        if ((unsigned char)*c < ' ' || *c == 0x7f) *c = ' ';
    for (size_t n = strlen(text); n > 0 && text[n - 1] == ' ';)
        text[--n] = 0;
    return text;
}

char *attend__ocl_platform_text(const ocl_api *cl, cl_platform_id platform, cl_platform_info what) {
    size_t bytes = 0;
    if (cl->clGetPlatformInfo(platform, what, 0, NULL, &bytes) != CL_SUCCESS) bytes = 0;
    char *const text = malloc(bytes + 1);
    if (text && bytes && cl->clGetPlatformInfo(platform, what, bytes, text, NULL) != CL_SUCCESS)
        bytes = 0;
    return cleaned(text, bytes);
}

char *attend__ocl_device_text(const ocl_api *cl, cl_device_id device, cl_device_info what) {
    size_t bytes = 0;
    if (cl->clGetDeviceInfo(device, what, 0, NULL, &bytes) != CL_SUCCESS) bytes = 0;
    char *const text = malloc(bytes + 1);
    if (text && bytes && cl->clGetDeviceInfo(device, what, bytes, text, NULL) != CL_SUCCESS)
        bytes = 0;
    return cleaned(text, bytes);
}

bool attend__ocl_has_word(const char *list, const char *word) {
    const size_t length = strlen(word);
    while (*list) {
        const size_t n = strcspn(list, " ");
        if (n == length && !strncmp(list, word, n)) return true;
        list += n + strspn(list + n, " ");
    }
    return false;
}

attend_status attend__ocl_refuse(const attend_host *host, attend_status status, const char *format,
                                 ...) {
    char sentence[1000];
    va_list arguments;
    va_start(arguments, format);
    (void)vsnprintf(sentence, sizeof sentence, format, arguments);
    va_end(arguments);
    host->set_error(host->self, sentence);
    return status;
}

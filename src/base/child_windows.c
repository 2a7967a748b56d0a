/* SPDX-License-Identifier: Apache-2.0
 *
 * child.h on Windows. A job object kills the child and what it started when its handle is closed,
 * which also happens when this process dies. */
#include "base/child.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <windows.h>

typedef struct handles {
    HANDLE job, process, thread, from, to, nothing;
} handles;

/* "a" "b": quoted as the C runtime reads it; what is passed are paths and names without quotes. */
static bool command_line(const char *const *argv, char *text, size_t bytes) {
    size_t used = 0;
    for (; *argv; argv++) {
        const size_t length = strlen(*argv);
        const char *slash = length && (*argv)[length - 1] == '\\' ? "\\" : "";
        const int n =
            snprintf(text + used, bytes - used, "%s\"%s%s\"", used ? " " : "", *argv, slash);
        if (strchr(*argv, '"') || n < 0 || (size_t)n >= bytes - used) return false;
        used += (size_t)n;
    }
    return true;
}

static bool start_suspended(handles *h, const char *const *argv) {
    char text[8192];
    SECURITY_ATTRIBUTES inherit = {.nLength = sizeof inherit, .bInheritHandle = TRUE};
    JOBOBJECT_EXTENDED_LIMIT_INFORMATION limits = {0};
    limits.BasicLimitInformation.LimitFlags = JOB_OBJECT_LIMIT_KILL_ON_JOB_CLOSE;
    if (!command_line(argv, text, sizeof text)) return false;
    if (!CreatePipe(&h->from, &h->to, &inherit, 0)) return false;
    SetHandleInformation(h->from, HANDLE_FLAG_INHERIT, 0);
    h->nothing = CreateFileA("NUL", GENERIC_READ, FILE_SHARE_READ | FILE_SHARE_WRITE, &inherit,
                             OPEN_EXISTING, 0, NULL);
    h->job = CreateJobObjectA(NULL, NULL);
    if (!h->job ||
        !SetInformationJobObject(h->job, JobObjectExtendedLimitInformation, &limits, sizeof limits))
        return false;
    STARTUPINFOA startup = {.cb = sizeof startup,
                            .dwFlags = STARTF_USESTDHANDLES,
                            .hStdInput = h->nothing,
                            .hStdOutput = h->to,
                            .hStdError = h->to};
    PROCESS_INFORMATION info;
    if (!CreateProcessA(argv[0], text, NULL, NULL, TRUE, CREATE_SUSPENDED | CREATE_NO_WINDOW, NULL,
                        NULL, &startup, &info))
        return false;
    h->process = info.hProcess;
    h->thread = info.hThread;
    if (AssignProcessToJobObject(h->job, h->process)) return true;
    TerminateProcess(h->process, 1);
    return false;
}

static void close_handle(HANDLE handle) {
    if (handle && handle != INVALID_HANDLE_VALUE) CloseHandle(handle);
}

static bool read_some(attend__child *child, size_t *room, size_t most, HANDLE from) {
    DWORD waiting = 0;
    while (PeekNamedPipe(from, NULL, 0, NULL, &waiting, NULL) && waiting > 0) {
        if (*room - child->bytes < 2) {
            char *larger = *room < most ? realloc(child->output, 2 * *room) : NULL;
            if (!larger) return false;
            child->output = larger;
            *room *= 2;
        }
        const size_t left = *room - child->bytes - 1;
        if (!ReadFile(from, child->output + child->bytes, left < waiting ? (DWORD)left : waiting,
                      &waiting, NULL))
            return true;
        child->bytes += waiting;
        child->output[child->bytes] = 0;
    }
    return true;
}

static void follow(attend__child *child, const handles *h, double seconds, size_t most) {
    const ULONGLONG start = GetTickCount64();
    char *text = child->ended;
    const size_t bytes = sizeof child->ended;
    size_t room = 4096;
    child->output = calloc(1, room);
    if (!child->output) {
        (void)snprintf(text, bytes, "was killed, for there is no memory");
        return;
    }
    for (;;) {
        const bool ended = WaitForSingleObject(h->process, 10) == WAIT_OBJECT_0;
        if (!read_some(child, &room, most, h->from)) {
            (void)snprintf(text, bytes, "wrote text without end and was killed");
            return;
        }
        if (ended) break;
        if ((double)(GetTickCount64() - start) < 1000 * seconds) continue;
        child->killed = true;
        (void)snprintf(text, bytes, "did not end within %g s and was killed", seconds);
        return;
    }
    DWORD code = 1;
    GetExitCodeProcess(h->process, &code);
    child->well = code == 0;
    if (code >= 0xC0000000u)
        (void)snprintf(text, bytes, "crashed (Windows exception %#lx)", code);
    else if (code != 0)
        (void)snprintf(text, bytes, "ended with status %lu", code);
}

void attend__child_run(const char *const *argv, double seconds, size_t most, attend__child *child) {
    memset(child, 0, sizeof *child);
    const ULONGLONG start = GetTickCount64();
    handles h = {0};
    if (start_suspended(&h, argv)) {
        ResumeThread(h.thread);
        follow(child, &h, seconds, most);
    } else {
        (void)snprintf(child->ended, sizeof child->ended, "could not be started: Windows error %lu",
                       GetLastError());
    }
    close_handle(h.job); /* kills what still runs */
    close_handle(h.process);
    close_handle(h.thread);
    close_handle(h.from);
    close_handle(h.to);
    close_handle(h.nothing);
    child->seconds = (double)(GetTickCount64() - start) / 1000;
}

void attend__child_limit_self(double seconds) {
    (void)seconds; /* the job does it */
}

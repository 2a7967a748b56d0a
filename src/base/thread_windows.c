/* SPDX-License-Identifier: Apache-2.0
 *
 * thread.h on Windows: slim locks, condition variables and one-time initialisation, all of which
 * are one pointer wide and need no release. */
#include "base/thread.h"

#include <limits.h>
#include <process.h>
#include <stdlib.h>
#include <windows.h>

_Static_assert(sizeof(SRWLOCK) == sizeof(attend__mutex), "a lock is one pointer");
_Static_assert(sizeof(CONDITION_VARIABLE) == sizeof(attend__condition),
               "a condition is one pointer");
_Static_assert(sizeof(INIT_ONCE) == sizeof(attend__once), "a one-time lock is one pointer");

bool attend__mutex_create(attend__mutex *mutex) {
    InitializeSRWLock((SRWLOCK *)mutex);
    return true;
}

void attend__mutex_destroy(attend__mutex *mutex) {
    (void)mutex;
}

void attend__mutex_lock(attend__mutex *mutex) {
    AcquireSRWLockExclusive((SRWLOCK *)mutex);
}

void attend__mutex_unlock(attend__mutex *mutex) {
    ReleaseSRWLockExclusive((SRWLOCK *)mutex);
}

bool attend__condition_create(attend__condition *condition) {
    InitializeConditionVariable((CONDITION_VARIABLE *)condition);
    return true;
}

void attend__condition_destroy(attend__condition *condition) {
    (void)condition;
}

void attend__condition_wait(attend__condition *condition, attend__mutex *mutex) {
    (void)SleepConditionVariableSRW((CONDITION_VARIABLE *)condition, (SRWLOCK *)mutex, INFINITE, 0);
}

/* Rounded up, so that a wait is never shorter than asked; INFINITE stays reserved for no limit. */
static DWORD milliseconds(int64_t nanoseconds) {
    const int64_t whole = nanoseconds / 1000000 + (nanoseconds % 1000000 != 0);
    return whole >= (int64_t)INFINITE ? INFINITE - 1 : (DWORD)whole;
}

bool attend__condition_wait_for(attend__condition *condition, attend__mutex *mutex,
                                int64_t nanoseconds) {
    const DWORD limit = nanoseconds < 0 ? INFINITE : milliseconds(nanoseconds);
    return SleepConditionVariableSRW((CONDITION_VARIABLE *)condition, (SRWLOCK *)mutex, limit, 0) !=
               0 ||
           GetLastError() != ERROR_TIMEOUT;
}

void attend__condition_wake_all(attend__condition *condition) {
    WakeAllConditionVariable((CONDITION_VARIABLE *)condition);
}

typedef struct start {
    void (*run)(void *argument);
    void *argument;
} start;

static unsigned __stdcall thread_main(void *memory) {
    const start begin = *(start *)memory;
    free(memory);
    begin.run(begin.argument);
    return 0;
}

bool attend__thread_start(attend__thread *thread, void (*run)(void *argument), void *argument) {
    start *begin = malloc(sizeof *begin);
    if (begin == NULL) return false;
    begin->run = run;
    begin->argument = argument;
    unsigned id = 0;
    thread->handle = (void *)_beginthreadex(NULL, 0, thread_main, begin, 0, &id);
    thread->id = id;
    if (thread->handle == NULL) free(begin);
    return thread->handle != NULL;
}

void attend__thread_join(attend__thread thread) {
    (void)WaitForSingleObject(thread.handle, INFINITE);
    (void)CloseHandle(thread.handle);
}

void attend__thread_detach(attend__thread thread) {
    (void)CloseHandle(thread.handle);
}

bool attend__thread_is_current(const attend__thread *thread) {
    return thread->id == GetCurrentThreadId();
}

void attend__thread_sleep(int64_t nanoseconds) {
    Sleep(milliseconds(nanoseconds < 0 ? 0 : nanoseconds));
}

static BOOL CALLBACK run_once(INIT_ONCE *once, void *argument, void **context) {
    (void)once;
    (void)context;
    (*(void (**)(void))argument)();
    return TRUE;
}

void attend__once_run(attend__once *once, void (*run)(void)) {
    (void)InitOnceExecuteOnce((INIT_ONCE *)once, run_once, (void *)&run, NULL);
}

int32_t attend__processor_count(void) {
    DWORD_PTR process = 0, machine = 0;
    int32_t count = 0;
    if (GetProcessAffinityMask(GetCurrentProcess(), &process, &machine))
        for (; process != 0; process &= process - 1)
            count++;
    return count > 0 ? count : 1;
}

uint64_t attend__memory_bytes(void) {
    MEMORYSTATUSEX status = {.dwLength = sizeof status};
    return GlobalMemoryStatusEx(&status) ? status.ullTotalPhys : 0;
}

int64_t attend__process_id(void) {
    return (int64_t)GetCurrentProcessId();
}

int64_t attend__clock_nanoseconds(void) {
    LARGE_INTEGER now, frequency;
    (void)QueryPerformanceCounter(&now);
    (void)QueryPerformanceFrequency(&frequency);
    const int64_t whole = now.QuadPart / frequency.QuadPart;
    const int64_t rest = now.QuadPart % frequency.QuadPart;
    return whole * 1000000000 + rest * 1000000000 / frequency.QuadPart;
}

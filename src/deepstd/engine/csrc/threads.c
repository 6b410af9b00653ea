/* Equal shares of some work, each in a thread of its own; the last one in the caller's. */
#include "engine.h"

#define MOST_THREADS 64

struct share {
    shared_work *work;
    const void *context;
    int64_t begin, end;
};

#if defined(_WIN32)
#include <windows.h>
typedef HANDLE thread;
static DWORD WINAPI run(LPVOID pointer) {
    struct share *s = pointer;
    s->work(s->context, s->begin, s->end);
    return 0;
}
static int begin_thread(thread *t, struct share *s) {
    return (*t = CreateThread(NULL, 0, run, s, 0, NULL)) != NULL;
}
static void end_thread(thread t) {
    WaitForSingleObject(t, INFINITE);
    CloseHandle(t);
}
#else
#include <pthread.h>
typedef pthread_t thread;
static void *run(void *pointer) {
    struct share *s = pointer;
    s->work(s->context, s->begin, s->end);
    return NULL;
}
static int begin_thread(thread *t, struct share *s) { return pthread_create(t, NULL, run, s) == 0; }
static void end_thread(thread t) { pthread_join(t, NULL); }
#endif

void run_shared(shared_work *work, const void *context, int64_t count, int threads) {
    thread running[MOST_THREADS];
    struct share shares[MOST_THREADS];
    int begun[MOST_THREADS];
    if (threads > MOST_THREADS) threads = MOST_THREADS;
    if (threads > count) threads = (int)count;
    if (threads < 2) {
        work(context, 0, count);
        return;
    }
    for (int n = 0; n < threads - 1; n++) {
        shares[n] = (struct share){work, context, count * n / threads, count * (n + 1) / threads};
        begun[n] = begin_thread(&running[n], &shares[n]);
        /* Without a thread to be had, this one does the work. */
        if (!begun[n]) work(context, shares[n].begin, shares[n].end);
    }
    work(context, count * (threads - 1) / threads, count);
    for (int n = 0; n < threads - 1; n++)
        if (begun[n]) end_thread(running[n]);
}

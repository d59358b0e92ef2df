/* SPDX-License-Identifier: Apache-2.0 */
#include "campaign.h"

#include <inttypes.h>
#include <stdarg.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <time.h>

#include "common/fsutil.h"
#include "updaterd/journal.h"
#include "updaterd/state.h"

#define MAX_JUDGE_SEC 60u

double campaign_now_sec(void)
{
	struct timespec ts;

	(void)clock_gettime(CLOCK_MONOTONIC, &ts);
	return (double)ts.tv_sec + (double)ts.tv_nsec / 1e9;
}

/* splitmix64 */
uint64_t campaign_random(uint64_t *seed)
{
	uint64_t x = *seed += UINT64_C(0x9e3779b97f4a7c15);

	x = (x ^ x >> 30) * UINT64_C(0xbf58476d1ce4e5b9);
	x = (x ^ x >> 27) * UINT64_C(0x94d049bb133111eb);
	return x ^ x >> 31;
}

/* ---- counting and telling ---- */

static void *shared_memory(size_t size)
{
	void *p = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);

	if (p == MAP_FAILED) {
		perror("mmap");
		exit(2);
	}
	return p;
}

struct tally *tally_new(void)
{
	struct tally *t = shared_memory(sizeof *t);

	t->began_sec = campaign_now_sec();
	return t;
}

void tally_free(struct tally *t)
{
	(void)munmap(t, sizeof *t);
}

void tally_broken(struct tally *t, const char *replay, const char *format, ...)
{
	uint64_t n = __atomic_add_fetch(&t->n_failed, 1, __ATOMIC_SEQ_CST);
	char text[1200];
	va_list args;

	if (n > TOLD_FAILURES)
		return;
	va_start(args, format);
	(void)vsnprintf(text, sizeof text, format, args);
	va_end(args);
	(void)printf("NOT OK  %s\n        again: %s\n", text, replay);
	(void)fflush(stdout);
}

void campaign_row(struct campaign *c, const struct tally *t, const char *what,
		  const struct scenario *s, const char *unit)
{
	double seconds = campaign_now_sec() - t->began_sec;
	bool ok = t->n_failed == 0 && t->n_checked > 0;

	c->n_checked += t->n_checked;
	(void)printf("%s  %-8s %-16s %7" PRIu64 " %s", ok ? "ok    " : "NOT OK", what, s->name,
		     t->n_checked, unit);
	(void)printf(", %.1f/s", (double)t->n_checked / (seconds > 0 ? seconds : 1));
	if (t->n_failed > 0)
		(void)printf(", %" PRIu64 " broken", t->n_failed);
	(void)printf("\n");
	(void)fflush(stdout);
	if (ok)
		c->n_passed++;
	else
		c->n_failed++;
}

void campaign_skip(const char *what, const char *format, ...)
{
	va_list args;

	(void)printf("SKIP    %-8s ", what);
	va_start(args, format);
	(void)vprintf(format, args);
	va_end(args);
	(void)printf("\n");
	(void)fflush(stdout);
}

bool campaign_fork(unsigned n, void (*work)(void *context, unsigned job), void *context)
{
	bool ok = true;
	unsigned started = 0;
	int status;

	(void)fflush(stdout);
	for (; started < n; started++) {
		pid_t pid = fork();

		if (pid == 0) {
			work(context, started);
			(void)fflush(stdout);
			_exit(0);
		}
		if (pid < 0)
			break;
	}
	for (unsigned i = 0; i < started; i++)
		if (wait(&status) < 0 || status != 0)
			ok = false;
	return ok && started == n;
}

/* ---- judging a cut ---- */

static void broken(struct verdict *v, const char *format, ...) _printf_(2, 3);
static void broken(struct verdict *v, const char *format, ...)
{
	va_list args;

	if (*v->text)
		return;
	va_start(args, format);
	(void)vsnprintf(v->text, sizeof v->text, format, args);
	va_end(args);
}

static uint64_t journal_sequence_of(const struct world *w)
{
	_cleanup_(state_closep) struct state *s = NULL;

	return state_open(&w->conf, STATE_READ, &s) < 0 ? 0 : journal_sequence(s->journal);
}

/* Nothing is left to be done the second time. */
static void judge_again(const struct cut *cut, struct verdict *verdict)
{
	uint64_t sequence = journal_sequence_of(cut->w);
	int r = world_recover(cut->w, false);

	if (r < 0)
		broken(verdict, "a second recovery failed: %s", strerror(-r));
	else if (journal_sequence_of(cut->w) != sequence)
		broken(verdict, "a second recovery found something to do");
}

static void rescue_first(const struct cut *cut, struct verdict *verdict)
{
	int r = world_rescue(cut->w);

	/* Where nothing is installed yet there is nothing to rescue. */
	if (r < 0 && !cut->s->is_bare && !cut->s->fills_disk)
		broken(verdict, "the rescue failed: %s", strerror(-r));
	if (!cut->s->is_bare)
		invariants_in_between(cut->w, cut->s, cut->before, verdict);
}

void cut_recover_and_judge(const struct cut *cut, struct verdict *verdict)
{
	struct world *w = cut->w;
	int r;

	if (cut->has_answered)
		invariants_of_answer(w, cut->s, cut->before, verdict);
	else
		invariants_at_cut(w, cut->s, cut->before, verdict);
	w->machine->was_off = cut->is_off;
	if (cut->is_off)
		w->machine->b.is_running = false;
	if (cut->has_rescue)
		rescue_first(cut, verdict);
	if (cut->s->fills_disk) {
		/* It may fail, for want of room; what it must not do is to make things worse. */
		(void)!world_recover(w, cut->is_off);
		invariants_in_between(w, cut->s, cut->before, verdict);
		if (cut->stays_full)
			return;
		world_remove_filler(w);
	}
	r = world_recover(w, cut->is_off);
	if (r < 0 && (r != -ENOENT || !cut->s->is_bare))
		broken(verdict, "recovery failed: %s", strerror(-r));
	if (cut->is_off && !cut->s->is_bare)
		world_boot(w);
	invariants_at_rest(w, cut->s, cut->before, verdict);
	if (!cut->s->is_bare)
		judge_again(cut, verdict);
}

void cut_judge(const struct cut *cut, struct verdict *verdict)
{
	struct verdict *shared = shared_memory(sizeof *shared);
	int status = -1;
	pid_t pid = fork();

	if (pid == 0) {
		(void)alarm(MAX_JUDGE_SEC);
		cut_recover_and_judge(cut, shared);
		_exit(0);
	}
	if (pid < 0 || waitpid(pid, &status, 0) != pid || status != 0)
		broken(shared, "recovery died (wait status %#x)", (unsigned)status);
	*verdict = *shared;
	(void)munmap(shared, sizeof *shared);
}

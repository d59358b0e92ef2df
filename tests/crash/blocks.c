/* SPDX-License-Identifier: Apache-2.0 */
#include "blocks.h"

#include <fcntl.h>
#include <inttypes.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/wait.h>

#include "common/fsutil.h"
#include "disk.h"
#include "filesystem.h"

#define MAX_STATE_SEC	  120
#define MAX_JOBS	  8u
#define SEEN_SLOTS	  (1u << 18)
#define DOUBLE_SHARE	  40u /* about as many states as a recovery has blocks */
#define MAX_SUBSET_TRIES  4
#define TRIES_FOR_A_STATE 30u

/* A disk's content, with a note of which blocks are not zero. */
struct content {
	uint64_t size;
	uint8_t *bytes;
	uint8_t *is_used; /* of each block */
};

struct slot {
	pid_t pid; /* 0: free */
	char file[128], device[32], mountpoint[128];
	int loop_fd;
};

struct run {
	struct campaign *c;
	const struct filesystem *fs;
	struct disk disk;
	char mountpoint[128]; /* of the disk that logs */
	struct content empty; /* after mkfs */
	struct slot slots[MAX_JOBS];
	struct machine *machine; /* what is promised is noted here while the log is written */

	/* Of the scenario. */
	const struct scenario *s;
	struct before before;
	struct machine at_end;
	struct tally *tally;
	uint64_t seed;
	uint64_t *seen; /* states that were looked at */
	unsigned round; /* each has a log of its own, and other options of the mount */
	bool is_double;
	bool is_again, again_rescued; /* one kept state */
};

enum kind { PREFIX, TORN, SUBSET };

static const char *const kind_names[] = { "prefix", "torn", "subset" };

/* A state of the disk: all entries before `at`, and then what the kind says. */
struct state_plan {
	uint64_t at;
	uint64_t seed;
	enum kind kind;
};

/* ---- content ---- */

static void *memory(uint64_t size)
{
	void *p = mmap(NULL, size, PROT_READ | PROT_WRITE,
		       MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);

	if (p == MAP_FAILED) {
		perror("mmap");
		exit(2);
	}
	return p;
}

static struct content content_new(uint64_t size)
{
	return (struct content){ .size = size,
				 .bytes = memory(size),
				 .is_used = memory(size / DISK_BLOCK) };
}

static void content_free(struct content *c)
{
	if (c->bytes) {
		(void)munmap(c->bytes, c->size);
		(void)munmap(c->is_used, c->size / DISK_BLOCK);
	}
	*c = (struct content){ 0 };
}

static void content_put(struct content *c, uint64_t offset, const uint8_t *bytes, uint64_t size)
{
	if (size == 0)
		return;
	memcpy(c->bytes + offset, bytes, size);
	memset(c->is_used + offset / DISK_BLOCK, 1,
	       (offset + size - 1) / DISK_BLOCK - offset / DISK_BLOCK + 1);
}

static bool is_zero(const uint8_t *block)
{
	static const uint8_t zeros[DISK_BLOCK];

	return memcmp(block, zeros, sizeof zeros) == 0;
}

/* Copies what is not zero. */
static struct content content_of(const uint8_t *bytes, uint64_t size)
{
	struct content c = content_new(size);

	for (uint64_t at = 0; at < size; at += DISK_BLOCK)
		if (!is_zero(bytes + at))
			content_put(&c, at, bytes + at, DISK_BLOCK);
	return c;
}

static struct content content_copy(const struct content *from)
{
	struct content c = content_new(from->size);

	for (uint64_t i = 0; i < from->size / DISK_BLOCK; i++)
		if (from->is_used[i])
			content_put(&c, i * DISK_BLOCK, from->bytes + i * DISK_BLOCK, DISK_BLOCK);
	return c;
}

/* Of a file or of the disk that logs, the rest is holes. */
static int content_write(const struct content *c, int fd)
{
	uint64_t n = c->size / DISK_BLOCK;

	if (fallocate(fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, 0, (off_t)c->size) < 0)
		return -errno;
	for (uint64_t i = 0; i < n;) {
		uint64_t end = i;
		int r;

		while (end < n && c->is_used[end])
			end++;
		if (end == i) {
			i++;
			continue;
		}
		r = fs_pwrite_all(fd, c->bytes + i * DISK_BLOCK, (end - i) * DISK_BLOCK,
				  i * DISK_BLOCK);
		if (r < 0)
			return r;
		i = end;
	}
	return 0;
}

static void content_load(const struct content *c, struct disk *d)
{
	(void)madvise(d->image, d->size, MADV_REMOVE);
	for (uint64_t i = 0; i < c->size / DISK_BLOCK; i++)
		if (c->is_used[i])
			memcpy(d->image + i * DISK_BLOCK, c->bytes + i * DISK_BLOCK, DISK_BLOCK);
}

static void content_apply(struct content *c, const struct disk_log *log, uint64_t at)
{
	const struct disk_entry *e = &log->entries[at];

	content_put(c, e->offset, log->data + e->data, e->size);
}

/* ---- a log that is replayed ---- */

/* Its own copy, since the disk's log is used again for what recovery writes. */
struct log_copy {
	struct disk_log log;
};

static struct log_copy log_take(const struct disk *d)
{
	struct log_copy copy = { .log = *d->log };
	uint64_t entries_size = (copy.log.n + 1) * sizeof *copy.log.entries;

	copy.log.entries = memory(entries_size);
	copy.log.data = memory(copy.log.n_data + 1);
	memcpy(copy.log.entries, d->log->entries, copy.log.n * sizeof *copy.log.entries);
	memcpy(copy.log.data, d->log->data, copy.log.n_data);
	return copy;
}

static void log_release(struct log_copy *copy)
{
	(void)munmap(copy->log.entries, (copy->log.n + 1) * sizeof *copy->log.entries);
	(void)munmap(copy->log.data, copy->log.n_data + 1);
}

/* The flush that ends the epoch of an entry; log->n if the log ends before. */
static uint64_t epoch_end(const struct disk_log *log, uint64_t at)
{
	while (at < log->n && !log->entries[at].is_flush)
		at++;
	return at;
}

/* ---- one state, in a process of its own ---- */

static void set_machine(const struct run *run, uint64_t end, struct machine *m)
{
	*m = run->at_end;
	m->b.is_running = false;
	m->wrong[0] = '\0';
	m->has_returned = false;
	if (m->recorded.is_made && m->recorded.position > end)
		m->recorded.is_made = false;
	if (m->ended.is_made && m->ended.position > end)
		m->ended.is_made = false;
}

/* The machine boots from this device. */
static void boot(const struct run *run, const char *device, const char *mountpoint,
		 struct machine *m, bool has_rescue, struct verdict *verdict)
{
	struct world w;
	struct cut cut = { .w = &w,
			   .s = run->s,
			   .before = &run->before,
			   .is_off = true,
			   .has_rescue = has_rescue,
			   .stays_full = run->fs->stays_full };
	char root[160];
	int r;

	disk_forget_cache(device);
	r = filesystem_mount(run->fs, device, mountpoint, run->round);
	if (r < 0) {
		(void)snprintf(verdict->text, sizeof verdict->text, "it cannot be mounted: %s",
			       strerror(-r));
		return;
	}
	(void)snprintf(root, sizeof root, "%s/world", mountpoint);
	world_init(&w, root, run->c->inputs, m);
	w.odd_version = run->s->odd_version;
	w.odd = run->s->odd;
	cut_recover_and_judge(&cut, verdict);
	if (umount2(mountpoint, 0) < 0 && !*verdict->text)
		(void)snprintf(verdict->text, sizeof verdict->text, "it cannot be unmounted: %s",
			       strerror(errno));
}

static void check(const struct run *run, const struct slot *slot, uint64_t number,
		  struct verdict *verdict)
{
	int r;

	if (*verdict->text || number % run->fs->check_each != 0)
		return;
	r = filesystem_run(run->fs->check, slot->file);
	if (r != 0)
		(void)snprintf(verdict->text, sizeof verdict->text, "%s finds errors (%d)",
			       run->fs->check[0], r);
}

static const char *outcome_option(const struct machine *m)
{
	static char text[64];
	const char *name = outcome_name(m->outcome);

	if (!m->ended.is_made)
		return "";
	(void)snprintf(text, sizeof text, " --ended=%s", name ? name : "none");
	return text;
}

/* Every other boot has the rescue program before recovery, as all of them have in the field. */
static bool has_rescue(const struct run *run, uint64_t number)
{
	return run->is_again ? run->again_rescued : number % 2;
}

static void keep_state(const struct run *run, const struct content *c, const struct machine *m,
		       uint64_t number, char *ret, size_t size)
{
	char file[400];
	int fd;

	(void)snprintf(ret, size, "(the state was not kept: --keep=DIRECTORY)");
	if (!*run->c->keep || run->tally->n_failed >= TOLD_FAILURES)
		return;
	(void)!fs_mkdir_p(AT_FDCWD, run->c->keep, 0755);
	(void)snprintf(file, sizeof file, "%s/%s-%s-%" PRIu64 "%s.img", run->c->keep, run->fs->name,
		       run->s->name, number, run->is_double ? "-double" : "");
	fd = open(file, O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
	if (fd < 0 || ftruncate(fd, (off_t)c->size) < 0 || content_write(c, fd) < 0)
		return;
	(void)close(fd);
	(void)snprintf(ret, size, "%s image %s --fs=%s --scenario=%s%s%s%s", run->c->program, file,
		       run->fs->name, run->s->name, has_rescue(run, number) ? " --rescue" : "",
		       m->recorded.is_made ? " --recorded" : "", outcome_option(m));
}

static void judge_state(const struct run *run, const struct slot *slot, const struct content *c,
			const struct state_plan *plan, uint64_t end, uint64_t number)
{
	_cleanup_close_ int fd = open(slot->file, O_RDWR | O_CLOEXEC);
	struct machine *m = run->machine, promised;
	struct verdict verdict = { "" };
	char replay[700];
	int r;

	(void)alarm(MAX_STATE_SEC);
	m = mmap(NULL, sizeof *m, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	set_machine(run, end, m);
	promised = *m;
	r = fd < 0 ? -errno : content_write(c, fd);
	if (r < 0)
		(void)snprintf(verdict.text, sizeof verdict.text, "the test itself failed: %s",
			       strerror(-r));
	else
		boot(run, slot->device, slot->mountpoint, m, has_rescue(run, number), &verdict);
	check(run, slot, number, &verdict);
	if (!*verdict.text)
		return;
	keep_state(run, c, &promised, number, replay, sizeof replay);
	tally_broken(run->tally, replay, "%s %s, %s at write %" PRIu64 "%s: %s", run->fs->name,
		     run->s->name, kind_names[plan->kind], plan->at,
		     run->is_double ? " of a recovery" : "", verdict.text);
}

/* ---- the slots ---- */

static int open_slot(struct run *run, struct slot *slot, unsigned number)
{
	_cleanup_close_ int fd = FD_NONE;

	(void)snprintf(slot->file, sizeof slot->file, "%s/image%u", run->c->directory, number);
	(void)snprintf(slot->mountpoint, sizeof slot->mountpoint, "%s/mount%u", run->c->directory,
		       number);
	slot->loop_fd = -1;
	fd = open(slot->file, O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
	if (fd < 0 || ftruncate(fd, (off_t)run->fs->bytes) < 0 || mkdir(slot->mountpoint, 0700) < 0)
		return -errno;
	return disk_attach(slot->file, slot->device, &slot->loop_fd);
}

static void close_slot(struct slot *slot)
{
	if (slot->loop_fd >= 0)
		disk_detach(slot->loop_fd);
	(void)umount2(slot->mountpoint, MNT_DETACH);
	(void)rmdir(slot->mountpoint);
	(void)unlink(slot->file);
}

static void wait_for_one(struct run *run)
{
	int status;
	pid_t pid = wait(&status);

	for (unsigned i = 0; i < run->c->jobs; i++) {
		struct slot *slot = &run->slots[i];

		if (slot->pid != pid || pid <= 0)
			continue;
		slot->pid = 0;
		if (status == 0)
			continue;
		(void)umount2(slot->mountpoint, 0);
		tally_broken(run->tally, "-", "%s %s: recovery died (wait status %#x)",
			     run->fs->name, run->s->name, (unsigned)status);
	}
}

static struct slot *free_slot(struct run *run)
{
	for (;;) {
		for (unsigned i = 0; i < run->c->jobs; i++)
			if (run->slots[i].pid == 0)
				return &run->slots[i];
		wait_for_one(run);
	}
}

static bool is_any_busy(const struct run *run)
{
	for (unsigned i = 0; i < run->c->jobs; i++)
		if (run->slots[i].pid != 0)
			return true;
	return false;
}

/* ---- which states ---- */

/* Of a sequence of bytes that stands for a state; true if it was there before. */
static bool was_seen(struct run *run, uint64_t hash)
{
	uint64_t i = hash % SEEN_SLOTS;

	hash += hash == 0;
	for (unsigned tries = 0; tries < 64; tries++, i = (i + 1) % SEEN_SLOTS) {
		if (run->seen[i] == hash)
			return true;
		if (run->seen[i] == 0) {
			run->seen[i] = hash;
			return false;
		}
	}
	return false;
}

static uint64_t mix(uint64_t hash, uint64_t value)
{
	uint64_t seed = hash ^ value * UINT64_C(0x2545f4914f6cdd1d);

	return campaign_random(&seed);
}

/* Some sectors of a write, and never all of them. */
static uint64_t put_torn(struct content *c, const struct disk_log *log, uint64_t at, uint64_t *seed)
{
	const struct disk_entry *e = &log->entries[at];
	uint64_t n = e->size / DISK_SECTOR, hash = at;
	uint64_t cut = n < 2			   ? 0
		       : campaign_random(seed) % 2 ? 1
						   : 1 + campaign_random(seed) % (n - 1);
	bool is_scattered = campaign_random(seed) % 2;

	for (uint64_t i = 0; i < n; i++) {
		if (is_scattered ? campaign_random(seed) % 2 == 0 : i >= cut)
			continue;
		hash = mix(hash, i);
		if (c)
			content_put(c, e->offset + i * DISK_SECTOR,
				    log->data + e->data + i * DISK_SECTOR, DISK_SECTOR);
	}
	return hash;
}

/* Any of the writes of an epoch, by chance, few or many. */
static uint64_t put_subset(struct content *c, const struct disk_log *log, uint64_t at,
			   uint64_t *seed)
{
	uint64_t end = epoch_end(log, at), hash = at;
	uint64_t chance = 1 + campaign_random(seed) % 7; /* of 8 */

	for (; at < end; at++) {
		if (campaign_random(seed) % 8 >= chance)
			continue;
		hash = mix(hash, at);
		if (c)
			content_apply(c, log, at);
	}
	return hash;
}

/* What a state is beside its prefix, put into c unless that is NULL. Its hash. */
static uint64_t put_state(struct content *c, const struct disk_log *log,
			  const struct state_plan *plan)
{
	uint64_t seed = plan->seed;

	if (plan->kind == TORN)
		return mix(put_torn(c, log, plan->at, &seed), TORN);
	if (plan->kind == SUBSET)
		return mix(put_subset(c, log, plan->at, &seed), SUBSET);
	return mix(plan->at, PREFIX);
}

static int by_position(const void *a, const void *b)
{
	const struct state_plan *pa = a, *pb = b;

	if (pa->at != pb->at)
		return pa->at < pb->at ? -1 : 1;
	return pa->seed < pb->seed ? -1 : pa->seed > pb->seed;
}

struct plans {
	struct state_plan *list;
	uint64_t n;
};

/* What comes out the same is not looked at again. */
static void plan(struct run *run, const struct disk_log *log, struct plans *p,
		 struct state_plan state)
{
	if (!was_seen(run, put_state(NULL, log, &state)))
		p->list[p->n++] = state;
}

static void plan_prefixes(struct run *run, const struct disk_log *log, struct plans *p,
			  uint64_t most)
{
	uint64_t stride = most > 0 && log->n > most ? (log->n + most - 1) / most : 1;

	for (uint64_t at = campaign_random(&run->seed) % stride; at <= log->n; at += stride)
		if (at == 0 || stride > 1 || !log->entries[at - 1].is_flush)
			plan(run, log, p, (struct state_plan){ .at = at, .kind = PREFIX });
}

static bool can_be_torn(const struct run *run, const struct disk_entry *e)
{
	return e->size > DISK_SECTOR && !filesystem_is_superblock(run->fs, e->offset, e->size);
}

static struct state_plan random_state(struct run *run, const struct disk_log *log, bool is_torn)
{
	struct state_plan state = { .at = campaign_random(&run->seed) % log->n,
				    .kind = SUBSET,
				    .seed = campaign_random(&run->seed) };

	if (is_torn && can_be_torn(run, &log->entries[state.at])) {
		state.kind = TORN;
		return state;
	}
	/* The beginning of the epoch. */
	while (state.at > 0 && !log->entries[state.at - 1].is_flush)
		state.at--;
	return state;
}

/* Short epochs have few subsets: where all have been had, there are torn writes. */
static void plan_random(struct run *run, const struct disk_log *log, struct plans *p, uint64_t n)
{
	for (uint64_t i = 0; p->n < n && i < TRIES_FOR_A_STATE * n && log->n > 1; i++)
		plan(run, log, p, random_state(run, log, i % 3 == 0));
}

/* n 0: every prefix, and as many of the others. */
static uint64_t most_plans(const struct disk_log *log, uint64_t n)
{
	return (n > 0 ? n : 2 * log->n) + log->n + 1;
}

static struct plans plan_states(struct run *run, const struct disk_log *log, uint64_t n)
{
	struct plans p = { .list = memory(most_plans(log, n) * sizeof *p.list) };

	memset(run->seen, 0, SEEN_SLOTS * sizeof *run->seen);
	plan_prefixes(run, log, &p, n / 2);
	plan_random(run, log, &p, n > 0 ? n : 2 * log->n);
	qsort(p.list, p.n, sizeof *p.list, by_position);
	return p;
}

#define BY_EPOCH UINT64_MAX

/* Works through the states of a log. base changes. told: how long the log was when the last promise
 * was made that counts. */
static void replay(struct run *run, struct content *base, const struct disk_log *log, uint64_t n,
		   uint64_t told)
{
	struct plans plans = plan_states(run, log, n);
	uint64_t at = 0, checked = 0;

	for (uint64_t i = 0; i < plans.n; i++) {
		const struct state_plan *plan = &plans.list[i];
		uint64_t end = told == BY_EPOCH ? epoch_end(log, plan->at) : told;
		struct slot *slot;

		if (run->c->at >= 0 && plan->at != (uint64_t)run->c->at)
			continue;
		for (; at < plan->at; at++)
			content_apply(base, log, at);
		if (run->c->stop_at_first && run->tally->n_failed > 0)
			break;
		slot = free_slot(run);
		(void)fflush(stdout);
		slot->pid = fork();
		if (slot->pid == 0) {
			(void)put_state(base, log, plan);
			judge_state(run, slot, base, plan, end, checked);
			_exit(0);
		}
		checked++;
		run->tally->n_checked++;
	}
	while (is_any_busy(run))
		wait_for_one(run);
	(void)munmap(plans.list, most_plans(log, n) * sizeof *plans.list);
}

/* ---- making the log ---- */

static int in_child(int (*work)(struct run *run), struct run *run)
{
	int status = -1;
	pid_t pid;

	(void)fflush(stdout);
	pid = fork();
	if (pid == 0)
		_exit(work(run) < 0 ? 1 : 0);
	if (pid < 0 || waitpid(pid, &status, 0) != pid)
		return -ECHILD;
	return status == 0 ? 0 : -EIO;
}

static void world_on_disk(struct run *run, struct world *w)
{
	char root[160];

	(void)snprintf(root, sizeof root, "%s/world", run->mountpoint);
	world_init(w, root, run->c->inputs, run->machine);
	w->odd_version = run->s->odd_version;
	w->odd = run->s->odd;
}

static struct before *shared_before; /* what the child that prepares notes */

static int prepare_on_disk(struct run *run)
{
	struct world w;

	world_on_disk(run, &w);
	if (mkdir(w.root, 0755) < 0)
		return -errno;
	return scenario_prepare(run->s, &w, shared_before);
}

static int run_on_disk(struct run *run)
{
	struct world w;

	world_on_disk(run, &w);
	(void)!run->s->run(&w);
	return 0;
}

static int recover_on_disk(struct run *run)
{
	struct world w;

	world_on_disk(run, &w);
	(void)!world_rescue(&w);
	(void)!world_recover(&w, true);
	return 0;
}

/* Mounts the disk that logs, does the work, unmounts it. */
static int with_disk(struct run *run, int (*work)(struct run *run))
{
	int r;

	disk_forget_cache(run->disk.device);
	r = filesystem_mount(run->fs, run->disk.device, run->mountpoint, run->round);
	if (r < 0)
		return r;
	r = in_child(work, run);
	if (umount2(run->mountpoint, 0) < 0 && r == 0)
		r = -errno;
	return r;
}

static int make_base(struct run *run, struct content *ret)
{
	int r;

	content_load(&run->empty, &run->disk);
	r = with_disk(run, prepare_on_disk);
	if (r < 0)
		return r;
	run->before = *shared_before;
	*ret = content_of(run->disk.image, run->disk.size);
	return 0;
}

static int make_log(struct run *run)
{
	int r;

	disk_log_start(&run->disk);
	run->machine->log_length = 0;
	r = with_disk(run, run_on_disk);
	disk_log_stop(&run->disk);
	if (r == 0 && run->disk.log->is_full)
		r = -EFBIG;
	run->at_end = *run->machine;
	return r;
}

/* ---- recovery cut ---- */

/* From one state: boot and recover with the log on, then cut that: n times, or at every block. */
static int cut_recovery(struct run *run, const struct content *state, uint64_t end, uint64_t n)
{
	struct log_copy log;
	struct content base;
	int r;

	content_load(state, &run->disk);
	disk_log_start(&run->disk);
	set_machine(run, end, run->machine);
	r = with_disk(run, recover_on_disk);
	disk_log_stop(&run->disk);
	if (r < 0)
		return r;
	log = log_take(&run->disk);
	base = content_copy(state);
	replay(run, &base, &log.log, n, end);
	content_free(&base);
	log_release(&log);
	return 0;
}

static int cut_recoveries(struct run *run, const struct content *base, const struct disk_log *log,
			  uint64_t n)
{
	uint64_t n_recoveries = n < DOUBLE_SHARE ? 1 : n / DOUBLE_SHARE;
	int r = 0;

	for (uint64_t i = 0; i < n_recoveries && r == 0; i++) {
		struct state_plan plan = { .at = campaign_random(&run->seed) % (log->n + 1),
					   .kind = i % 2 ? SUBSET : PREFIX,
					   .seed = campaign_random(&run->seed) };
		struct content state = content_copy(base);

		for (uint64_t at = 0; at < plan.at; at++)
			content_apply(&state, log, at);
		(void)put_state(&state, log, &plan);
		r = cut_recovery(run, &state, epoch_end(log, plan.at), n < DOUBLE_SHARE ? n : 0);
		content_free(&state);
	}
	return r;
}

/* ---- a row ---- */

static int run_states(struct run *run, uint64_t n)
{
	struct content base = { 0 };
	struct log_copy log;
	int r = make_base(run, &base);

	if (r == 0)
		r = make_log(run);
	if (r < 0) {
		content_free(&base);
		return r;
	}
	log = log_take(&run->disk);
	if (run->is_double)
		r = cut_recoveries(run, &base, &log.log, n);
	else
		replay(run, &base, &log.log, n, BY_EPOCH);
	content_free(&base);
	log_release(&log);
	return r;
}

static void run_scenario(struct run *run, const struct scenario *s, uint64_t n)
{
	char what[16];
	int r;

	run->s = s;
	run->tally = tally_new();
	r = run_states(run, n);
	if (r < 0)
		tally_broken(run->tally, "-", "%s %s: the test itself failed: %s %s", run->fs->name,
			     s->name, strerror(-r), run->machine->wrong);
	(void)snprintf(what, sizeof what, "%s%s", run->fs->name, run->is_double ? "+" : "");
	campaign_row(run->c, run->tally, what, s, "states");
	tally_free(run->tally);
}

/* ---- all of it ---- */

static int make_filesystem(struct run *run)
{
	_cleanup_close_ int fd = FD_NONE;
	struct slot *slot = &run->slots[0];
	void *bytes;
	int r;

	fd = open(slot->file, O_RDWR | O_CLOEXEC);
	r = filesystem_run(run->fs->make, slot->file);
	if (r != 0)
		return r == 127 ? -ENOENT : -EBADMSG;
	bytes = mmap(NULL, run->fs->bytes, PROT_READ, MAP_SHARED, fd, 0);
	if (bytes == MAP_FAILED)
		return -errno;
	run->empty = content_of(bytes, run->fs->bytes);
	(void)munmap(bytes, run->fs->bytes);
	return 0;
}

static int open_run(struct run *run)
{
	char directory[128];
	int r = 0;

	run->seen = memory(SEEN_SLOTS * sizeof *run->seen);
	run->machine = machine_new();
	shared_before = mmap(NULL, sizeof *shared_before, PROT_READ | PROT_WRITE,
			     MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	(void)snprintf(run->mountpoint, sizeof run->mountpoint, "%s/logged", run->c->directory);
	(void)snprintf(directory, sizeof directory, "%s/fuse", run->c->directory);
	if (mkdir(run->mountpoint, 0700) < 0)
		return -errno;
	for (unsigned i = 0; i < run->c->jobs && r == 0; i++)
		r = open_slot(run, &run->slots[i], i);
	if (r == 0)
		r = make_filesystem(run);
	if (r == 0)
		r = disk_open(&run->disk, directory, run->fs->bytes, &run->machine->log_length);
	return r;
}

static void close_run(struct run *run)
{
	disk_close(&run->disk);
	for (unsigned i = 0; i < run->c->jobs; i++)
		close_slot(&run->slots[i]);
	content_free(&run->empty);
}

static bool is_asked(const struct campaign *c, const struct scenario *s)
{
	return !c->scenario || strcmp(c->scenario, s->name) == 0;
}

/* What one scenario could not give, those after it do. */
static uint64_t share_of(const struct run *run, uint64_t n_left)
{
	uint64_t left = run->c->states - run->c->n_checked, share;

	if (run->c->states == 0)
		return 0;
	if (run->c->n_checked >= run->c->states)
		return 1;
	share = (left + n_left - 1) / n_left;
	return share;
}

static void run_round(struct run *run)
{
	uint64_t n = 0;

	for (size_t i = 0; i < n_scenarios; i++)
		n += is_asked(run->c, &scenarios[i]);
	for (size_t i = 0; i < n_scenarios; i++)
		if (is_asked(run->c, &scenarios[i]) &&
		    (!run->c->stop_at_first || run->c->n_failed == 0))
			run_scenario(run, &scenarios[i], share_of(run, n--));
}

/* A log has so many states and no more: for more of them there is another round. */
static void run_all(struct run *run)
{
	uint64_t before;

	do {
		before = run->c->n_checked;
		run_round(run);
		run->round++;
	} while (run->c->n_checked < run->c->states && run->c->n_checked > before &&
		 run->c->n_failed == 0);
}

void blocks_run(struct campaign *c, const char *fs, bool is_double)
{
	struct run run = { .c = c,
			   .fs = filesystem_find(fs),
			   .seed = c->seed,
			   .is_double = is_double,
			   .disk.loop_fd = -1 };
	int r;

	if (c->jobs > MAX_JOBS)
		c->jobs = MAX_JOBS;
	r = run.fs ? open_run(&run) : -EBADMSG;
	if (r == -EBADMSG) {
		(void)printf("NOT OK  %s: no such file system can be made\n", fs);
		c->n_failed++;
	} else if (r < 0)
		campaign_skip(fs,
			      "no block is cut: /dev/fuse, loop devices or %s are not to be "
			      "had here: %s",
			      run.fs ? run.fs->make[0] : fs, strerror(-r));
	else
		run_all(&run);
	if (run.fs)
		close_run(&run);
}

/* ---- one kept state ---- */

static int read_file(struct run *run, const char *file, struct content *ret)
{
	_cleanup_close_ int fd = open(file, O_RDONLY | O_CLOEXEC);
	void *bytes;

	if (fd < 0)
		return -errno;
	bytes = mmap(NULL, run->fs->bytes, PROT_READ, MAP_SHARED, fd, 0);
	if (bytes == MAP_FAILED)
		return -errno;
	*ret = content_of(bytes, run->fs->bytes);
	(void)munmap(bytes, run->fs->bytes);
	return 0;
}

void blocks_again(struct campaign *c, const char *fs, const char *file,
		  const struct image_facts *facts)
{
	struct run run = { .c = c, .fs = filesystem_find(fs), .disk.loop_fd = -1 };
	struct content base = { 0 }, state = { 0 };
	const struct state_plan plan = { .kind = PREFIX };
	int r;

	run.s = scenario_find(c->scenario);
	run.tally = tally_new();
	r = run.fs ? open_run(&run) : -EINVAL;
	if (r == 0)
		r = make_base(&run, &base);
	if (r == 0)
		r = read_file(&run, file, &state);
	if (r == 0) {
		run.is_again = true;
		run.again_rescued = facts->has_rescue;
		run.at_end = *run.machine;
		run.at_end.recorded.is_made = facts->is_recorded;
		run.at_end.ended.is_made = facts->ended != 0;
		run.at_end.outcome = facts->ended > 0 ? (enum outcome)facts->ended : OUTCOME_NONE;
		judge_state(&run, &run.slots[0], &state, &plan, UINT64_MAX, 0);
		run.tally->n_checked = 1;
	} else {
		(void)printf("NOT OK  %s: %s\n", file, strerror(-r));
	}
	campaign_row(c, run.tally, fs, run.s, "states");
	if (run.fs)
		close_run(&run);
}

/* SPDX-License-Identifier: Apache-2.0 */
#include "world.h"

#include "gateway.h"

#include <stdarg.h>
#include <sys/mman.h>

#include "common/manifest.h"
#include "common/reltar.h"
#include "updaterd/installer.h"
#include "updaterd/record.h"
#include "updaterd/recover.h"
#include "updaterd/rescue.h"
#include "updaterd/swap.h"
#include "updaterd/updater_trial.h"

#define ARCH	      "amd64"
#define PROGRAM_BYTES 23000u
#define FILLER_BYTES  (1u << 20)
#define RESTART_MSEC  100u
#define STARTED_SEC   1790000000u
#define FILLER	      "filler"
#define FILLER_FILES  450u

static const char *const releases[] = { FACTORY_A, FIRST_A,  SECOND_A, FACTORY_B,
					FIRST_B,   SECOND_B, THIRD_B };

int64_t __wrap_conf_effective_time_sec(int64_t last_trusted_sec);
int64_t __wrap_conf_effective_time_sec(int64_t last_trusted_sec)
{
	(void)last_trusted_sec;
	return REPO_NOW_SEC;
}

/* ---- inputs ---- */

struct inputs {
	struct gateway *gateway; /* its repository and its scratch directory */
	struct golden golden[ELEMENTSOF(releases)];
	int program_fds[ELEMENTSOF(releases)];
	int patch_fd; /* FIRST_B to SECOND_B */
	int metadata_fd;
};

/* Some blocks of bytes that no other release has, a directory below a directory, and a small file. */
static void make_tree(struct gateway *g, const char *version)
{
	_cleanup_(manifest_freep) struct manifest *manifest = NULL;
	struct version v = gateway_version(version);
	_cleanup_free_ char *json = NULL;
	char name[64], text[64];
	uint8_t *bytes = malloc(PROGRAM_BYTES);
	uint32_t x = (uint32_t)strtoul(version + 5, NULL, 10);
	size_t size;
	int fd;

	assert_non_null(bytes);
	for (size_t i = 0; i < PROGRAM_BYTES; i++) {
		x = x * 1664525u + 1013904223u;
		bytes[i] = (uint8_t)(x >> 24) & 0x7f;
	}
	(void)snprintf(name, sizeof name, "trees/%s", version);
	fd = scratch_dir(g->scratch->dirfd, name);
	scratch_write(fd, "bin/program", bytes, PROGRAM_BYTES, 0755);
	(void)snprintf(text, sizeof text, "this is %s\n", version);
	scratch_text(fd, "share/doc/readme", text, 0644);
	scratch_text(fd, "etc/defaults", text, 0644);
	assert_int_equal(manifest_from_tree(fd, &v, ARCH, &manifest, NULL), 0);
	assert_int_equal(manifest_format(manifest, &json, &size), 0);
	scratch_write(fd, MANIFEST_NAME, json, size, 0644);
	free(bytes);
	(void)close(fd);
}

static void hash_tree(struct gateway *g, const char *version, struct golden *ret)
{
	_cleanup_(reltar_view_closep) struct reltar_view *view = NULL;
	_cleanup_close_ int fd = open(gateway_make_tree(g, version),
				      O_RDONLY | O_DIRECTORY | O_CLOEXEC);

	assert_true(fd >= 0);
	assert_int_equal(reltar_view_open(fd, &view), 0);
	assert_int_equal(reltar_view_sha256(view, ret->tar_sha256), 0);
	(void)snprintf(ret->version, sizeof ret->version, "%s", version);
}

struct inputs *inputs_new(void)
{
	struct inputs *in = calloc(1, sizeof *in);
	char name[64];

	assert_non_null(in);
	in->gateway = gateway_new();
	for (size_t i = 0; i < ELEMENTSOF(releases); i++) {
		make_tree(in->gateway, releases[i]);
		hash_tree(in->gateway, releases[i], &in->golden[i]);
		gateway_publish(in->gateway, releases[i], NULL);
		(void)snprintf(name, sizeof name, "files/%s", releases[i]);
		in->program_fds[i] = gateway_open(in->gateway, name, O_RDONLY);
	}
	gateway_publish_patch(in->gateway, FIRST_B, SECOND_B, NULL, 0, NULL);
	in->patch_fd = gateway_open(in->gateway, "files/" SECOND_B ".from-" FIRST_B, O_RDONLY);
	in->metadata_fd = gateway_open(in->gateway, "metadata", O_RDONLY | O_DIRECTORY);
	return in;
}

void inputs_free(struct inputs *in)
{
	gateway_free(in->gateway);
	free(in);
}

static size_t index_of(const char *version)
{
	size_t i = 0;

	while (i < ELEMENTSOF(releases) && strcmp(releases[i], version) != 0)
		i++;
	return i;
}

const struct golden *inputs_golden(const struct inputs *in, const char *version)
{
	size_t i = index_of(version);

	return i < ELEMENTSOF(releases) ? &in->golden[i] : NULL;
}

/* ---- the units ---- */

struct machine *machine_new(void)
{
	struct machine *m = mmap(NULL, sizeof *m, PROT_READ | PROT_WRITE,
				 MAP_SHARED | MAP_ANONYMOUS, -1, 0);

	assert_true(m != MAP_FAILED);
	m->listener = -1;
	return m;
}

static _printf_(2, 3) void complain(struct machine *m, const char *format, ...)
{
	va_list args;

	if (*m->wrong)
		return;
	va_start(args, format);
	(void)vsnprintf(m->wrong, sizeof m->wrong, format, args);
	va_end(args);
}

void world_judge_release(const struct world *w, char letter, const char *version, char *ret,
			 size_t size)
{
	const struct golden *golden = inputs_golden(w->inputs, version);
	_cleanup_(reltar_view_closep) struct reltar_view *view = NULL;
	_cleanup_(store_closep) struct store *store = NULL;
	_cleanup_close_ int fd = FD_NONE;
	_cleanup_free_ char *error = NULL;
	uint8_t sha256[SHA256_BYTES];
	struct version v;
	int r;

	*ret = '\0';
	if (!golden || version_parse(version, &v) < 0) {
		(void)snprintf(ret, size, "'%s' is no release", version);
		return;
	}
	r = store_open(conf_program(&w->conf, letter)->space, &store);
	if (r == 0)
		r = store_check_release(store, &v, &error);
	if (r == 0)
		r = fd = store_open_release(store, &v);
	if (r >= 0)
		r = reltar_view_open(fd, &view);
	if (r == 0)
		r = reltar_view_sha256(view, sha256);
	if (r < 0)
		(void)snprintf(ret, size, "%s: %s", version, error ? error : strerror(-r));
	else if (memcmp(sha256, golden->tar_sha256, sizeof sha256) != 0)
		(void)snprintf(ret, size, "%s has other bytes than were signed", version);
}

/* What a start of `current` finds. */
static void start_b(struct world *w)
{
	struct machine *m = w->machine;
	struct version current = { 0 };
	char wrong[160];
	int r;

	m->b.n_starts++;
	m->b.is_running = false;
	m->b.version[0] = '\0';
	r = state_current(&w->conf, 'B', &current);
	if (r < 0) {
		complain(m, "B was started and has no current release: %s", strerror(-r));
		return;
	}
	world_judge_release(w, 'B', current.text, wrong, sizeof wrong);
	if (*wrong) {
		complain(m, "B was started and is not whole: %s", wrong);
		return;
	}
	memcpy(m->b.version, current.text, sizeof m->b.version);
	m->b.is_running = true;
}

void world_boot(struct world *w)
{
	start_b(w);
}

static bool is_odd(const struct world *w, const char *version, enum play play)
{
	return w->odd_version && strcmp(w->odd_version, version) == 0 && w->odd == play;
}

/* To the last block, and the last inode. */
static void fill_disk(const struct world *w)
{
	static char bytes[FILLER_BYTES];
	_cleanup_close_ int root = open(w->root, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	int dir = scratch_dir(root, FILLER), fd;
	size_t size = sizeof bytes;
	char name[16];

	for (unsigned i = 0; i < FILLER_FILES; i++) {
		(void)snprintf(name, sizeof name, "%u", i);
		fd = openat(dir, name, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
		if (fd < 0)
			break;
		while (size > 0)
			if (write(fd, bytes, size) <= 0)
				size /= 2;
		(void)close(fd);
	}
	(void)close(dir);
}

void world_remove_filler(const struct world *w)
{
	_cleanup_close_ int root = open(w->root, O_RDONLY | O_DIRECTORY | O_CLOEXEC);

	/* A full btrfs needs room to remove something, and has it back when that is written down. */
	for (int i = 0; i < 3 && fs_remove_tree(root, FILLER) < 0; i++)
		(void)!syncfs(root);
	(void)!syncfs(root);
}

/* So much that the journal needs more than one sector for it. */
static const char long_reason[] =
	"it ended at once, and what it said before that was long: it could not open the port of "
	"the "
	"battery, nor the one beside it, nor any other that it knows of, and it has tried all of "
	"them more than once before it gave up, as it is built to do in such a case";

static int play_restart(void *userdata, const char *unit, uint64_t ready_timeout_sec,
			struct service_start *ret_start, struct failure *failure)
{
	struct world *w = userdata;
	struct machine *m = w->machine;
	int r = 0;

	(void)ready_timeout_sec;
	m->is_outside = true;
	if (strcmp(unit, "bmsd.service") != 0)
		complain(m, "'%s' was started", unit);
	*ret_start = (struct service_start){ .down_at_msec = m->clock_msec, .main_pid = 7 };
	m->clock_msec += RESTART_MSEC;
	m->down_msec += RESTART_MSEC;
	start_b(w);
	if (is_odd(w, m->b.version, PLAYS_FULL))
		fill_disk(w);
	if (is_odd(w, m->b.version, PLAYS_CUT))
		_exit(CUT_STATUS);
	if (is_odd(w, m->b.version, PLAYS_EXIT)) {
		m->b.is_running = false;
		r = failure_set(failure, -EIO, REASON_EXITED, "%s", long_reason);
	} else {
		ret_start->ready_at_msec = m->clock_msec;
	}
	m->is_outside = false;
	return r;
}

static int play_check(void *userdata, const char *unit, const struct service_start *start,
		      struct failure *failure)
{
	(void)userdata;
	(void)unit;
	(void)start;
	(void)failure;
	return 0;
}

static int play_is_alive(void *userdata, const char *unit)
{
	const struct world *w = userdata;

	(void)unit;
	return w->machine->b.is_running;
}

static bool play_is_going_down(void *userdata)
{
	(void)userdata;
	return false;
}

static int play_probe(void *userdata, const struct probe_request *request,
		      struct probe_answer *ret_answer, struct failure *failure)
{
	struct world *w = userdata;
	bool is_bad = is_odd(w, w->machine->b.version, PLAYS_BAD) ||
		      is_odd(w, w->machine->b.version, PLAYS_FULL);

	(void)failure;
	w->machine->clock_msec += RESTART_MSEC;
	ret_answer->verdict = request->phase == PROBE_AFTER && is_bad ? PROBE_BAD : PROBE_GOOD;
	(void)strcpy(ret_answer->output, "{\"cells\":13}");
	ret_answer->output_size = strlen(ret_answer->output);
	return 0;
}

/* What the new installer does last: the proof, in the file that was made for it. */
static void write_proof(const struct world *w)
{
	_cleanup_close_ int fd = FD_NONE;
	char path[PATH_MAX], text[TXID_LENGTH + 2];
	int n = snprintf(text, sizeof text, "%s\n", world_txid(w->attempt));

	(void)snprintf(path, sizeof path, "%s/" UPDATER_TRIAL_PROOF, w->conf.installer_dir);
	fd = open(path, O_WRONLY | O_CLOEXEC);
	if (fd < 0 || pwrite(fd, text, (size_t)n, 0) != n || fsync(fd) < 0)
		complain(w->machine, "the proof cannot be written: %s", strerror(errno));
}

/* The new updater runs, as `current` has it. */
static void try_updater(struct world *w, struct service_end *ret)
{
	struct version current = { 0 };
	char wrong[160];

	w->machine->n_trials_a++;
	if (state_current(&w->conf, 'A', &current) < 0)
		complain(w->machine, "A was tried and has no current release");
	world_judge_release(w, 'A', current.text, wrong, sizeof wrong);
	if (*wrong)
		complain(w->machine, "A was tried and is not whole: %s", wrong);
	if (is_odd(w, current.text, PLAYS_EXIT))
		ret->status = 1;
	else if (!is_odd(w, current.text, PLAYS_BAD))
		write_proof(w);
}

static int play_run(void *userdata, const struct service_job *job, struct service_end *ret,
		    struct failure *failure)
{
	struct world *w = userdata;

	(void)failure;
	w->machine->is_outside = true;
	*ret = (struct service_end){ .is_exited = true };
	if (strcmp(job->unit, w->conf.programs[0].trial_unit) == 0)
		try_updater(w, ret);
	w->machine->is_outside = false;
	return 0;
}

static int play_stop(void *userdata, const char *unit)
{
	(void)userdata;
	(void)unit;
	return 0;
}

static uint64_t play_now_msec(void *userdata)
{
	const struct world *w = userdata;

	return w->machine->clock_msec;
}

static void play_pause(void *userdata, uint64_t msec)
{
	struct world *w = userdata;

	w->machine->clock_msec += msec;
}

struct service world_service(struct world *w)
{
	static const struct service_ops ops = {
		.restart = play_restart,
		.check = play_check,
		.is_alive = play_is_alive,
		.is_going_down = play_is_going_down,
		.probe = play_probe,
		.run = play_run,
		.stop = play_stop,
		.now_msec = play_now_msec,
		.pause = play_pause,
	};

	return (struct service){ .ops = &ops, .userdata = w };
}

/* ---- the world ---- */

static char *path_of(struct world *w, unsigned index, const char *below, const char *name)
{
	(void)snprintf(w->paths[index], sizeof w->paths[index], "%s/%s", below, name);
	return w->paths[index];
}

void world_init(struct world *w, const char *root, const struct inputs *in, struct machine *m)
{
	static char arch[] = ARCH, model[] = "gw1", user[] = "nobody", a[] = "updaterd",
		    b[] = "bmsd", unit[] = "bmsd.service", probe[] = "{release}/bin/bmsd --probe",
		    trial_unit[] = "updaterd-trial.service";
	const char *scratch = in->gateway->scratch->path;

	memset(w, 0, sizeof *w);
	(void)snprintf(w->root, sizeof w->root, "%s", root);
	w->inputs = in;
	w->machine = m;
	w->conf = (struct conf){
		.root_file = path_of(w, 0, scratch, "root.json"),
		.installer_dir = path_of(w, 1, w->root, "installer"),
		.arch = arch,
		.model = model,
		.agent_user = user,
		.max_program_bytes = 16u << 20,
		.n_programs = 2,
	};
	w->conf.programs[0] = (struct conf_program){
		.letter = 'A',
		.name = a,
		.space = path_of(w, 2, w->root, "a"),
		.factory = path_of(w, 3, scratch, "trees/" FACTORY_A),
		.trial_unit = trial_unit,
		.probe_timeout_sec = 600,
		.trial_retry_sec = 60,
		.trial_extend_max_sec = 3600,
	};
	w->conf.programs[1] = (struct conf_program){
		.letter = 'B',
		.name = b,
		.space = path_of(w, 4, w->root, "b"),
		.factory = path_of(w, 5, scratch, "trees/" FACTORY_B),
		.unit = unit,
		.probe = probe,
		.probe_user = user,
		.ready_timeout_sec = 10,
		.probe_timeout_sec = 20,
		.settle_sec = 1,
	};
}

/* ---- attempts ---- */

const char *world_txid(unsigned n)
{
	static char text[TXID_LENGTH + 1];

	(void)snprintf(text, sizeof text, "c4a54000-0000-4000-8000-%012x", n & 0xffffffu);
	return text;
}

static void promise(struct machine *m, struct promise *p)
{
	p->position = m->log_length;
	p->is_made = true;
}

int world_adopt(struct world *w, char letter)
{
	return installer_adopt(&w->conf, letter) == 0 ? 0 : -EIO;
}

int world_recover(struct world *w, bool at_boot)
{
	_cleanup_(state_closep) struct state *s = NULL;
	int r = state_open(&w->conf, STATE_WAIT, &s);

	return r < 0 ? r : recover(s, world_service(w), at_boot);
}

static struct world *rescued; /* whose rescue runs */

/* systemctl try-restart: at boot nothing runs yet. */
static void try_restart(const char *unit)
{
	struct service_start start;
	struct failure failure;

	if (rescued->machine->b.is_running)
		(void)!play_restart(rescued, unit, 0, &start, &failure);
}

/* by_person: the program that a person wants back, or '\0'. */
static int rescue(struct world *w, char by_person)
{
	const struct conf_program *a = &w->conf.programs[0], *b = &w->conf.programs[1];
	_cleanup_free_ char *defaults = NULL;
	struct rescue rescue = { .installer_dir = w->conf.installer_dir, .restart = try_restart };

	if (asprintf(&defaults, "A %s %s\nB %s %s %s\n", a->space, a->factory, b->space, b->factory,
		     b->unit) < 0)
		return -ENOMEM;
	rescue.defaults = defaults;
	rescued = w;
	return by_person ? rescue_rollback(&rescue, by_person) : rescue_run(&rescue);
}

int world_rescue(struct world *w)
{
	return rescue(w, '\0');
}

static bool is_recorded(const struct world *w)
{
	_cleanup_(state_closep) struct state *s = NULL;
	struct result result;

	return state_open(&w->conf, STATE_READ, &s) == 0 &&
	       journal_state(s->journal) == JOURNAL_CONFIRMED &&
	       record_load(s->journal, &result) == 0;
}

int world_rescue_back(struct world *w, char letter)
{
	struct machine *m = w->machine;
	int r = rescue(w, letter);

	/* It does without the record if it must. */
	if (r > 0 && is_recorded(w)) {
		promise(m, &m->ended);
		m->outcome = OUTCOME_CONFIRMED;
		m->reason = REASON_OPERATOR;
	}
	if (r > 0)
		r = world_recover(w, false);
	m->returned = r;
	m->has_returned = true;
	return r;
}

static void hear_recorded(void *userdata)
{
	struct machine *m = userdata;

	promise(m, &m->recorded);
}

int world_attempt(struct world *w, unsigned attempt, char letter, const char *version,
		  bool is_patch)
{
	struct machine *m = w->machine;
	const struct transaction_hooks hooks = { .recorded = hear_recorded, .userdata = m };
	struct transaction_request request = {
		.program = letter,
		.is_rollback = !version,
		.metadata_fd = version ? w->inputs->metadata_fd : -1,
		.program_fd = -1,
		.share.started_sec = STARTED_SEC,
	};
	_cleanup_(state_closep) struct state *s = NULL;
	char target[96];
	struct result result = { 0 };
	int r;

	w->attempt = attempt;
	(void)snprintf(request.txid, sizeof request.txid, "%s", world_txid(attempt));
	if (version) {
		request.program_fd = is_patch ? w->inputs->patch_fd
					      : w->inputs->program_fds[index_of(version)];
		(void)snprintf(target, sizeof target,
			       is_patch ? "%c/%s-" ARCH ".from-" FIRST_B ".patch"
					: "%c/%s-" ARCH ".tar.xz",
			       letter, version);
		request.target = target;
	}
	r = state_open(&w->conf, STATE_TRY, &s);
	if (r == 0)
		r = recover(s, world_service(w), false);
	if (r == 0)
		r = transaction_run(s, world_service(w), &request, &hooks, &result);
	if (r == 0)
		promise(m, &m->ended);
	m->returned = r;
	m->outcome = result.outcome;
	m->reason = result.failure.reason;
	m->has_returned = true;
	return r;
}

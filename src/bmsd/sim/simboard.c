/* SPDX-License-Identifier: Apache-2.0 */
#include "bmsd/simboard.h"

#include <math.h>
#include <string.h>

#include "bmsd/sample.h"
#include "bmsd/simguard.h"
#include "bmsd/simwire.h"
#include "bmsd/simwords.h"

/* The board measures four times a second; between, it says what it measured last. */
#define STEP_MSEC	  UINT64_C(250)
#define AMBIENT_C	  22.0
#define CYCLES_AT_FIRST	  100
#define OPEN_DECICELSIUS  (-400)
#define BALANCE_BELOW_MV  100 /* of full */
#define BALANCE_SPREAD_UV INT64_C(10000)
#define BALANCE_A	  0.05
#define FULL_WITHIN_MV	  20
#define FULL_CURRENT_C	  0.05
#define NEVER_STUCK	  INT64_C(-1)
#define ALL_PROTECTIONS	  ((UINT32_C(1) << PROTECTION_COUNT) - 1)
#define SEC_PER_HOUR	  3600.0

struct request {
	uint8_t bytes[SIMWIRE_REQUEST_BYTES];
	size_t used;
};

struct simboard {
	struct simboard_settings s;
	const struct simwire *wire;
	struct plant *plant;
	struct plant_sensors sensors;
	struct plant_reading reading;
	struct simload load;
	struct simguard guard;
	struct request requests[SIMBOARD_LINES];
	uint64_t owed_msec; /* of time that is less than a step */
	uint64_t answers;
	double residual_mah, throughput_mah;
	uint32_t balancing;
	bool charge_locked, discharge_locked;
	/* Faults. */
	double silent_sec, asleep_sec;
	unsigned zeros, refusals;
	int64_t stuck_uv[SAMPLE_MAX_CELLS];
	bool ntc_open[SIMWIRE_NTCS];
};

/* ---- making ---- */

static void begin_life(struct simboard *b)
{
	b->guard = (struct simguard){ .table = b->s.table,
				      .capacity_ah = b->s.capacity_mah / 1000.0 };
	b->throughput_mah = 0;
	b->charge_locked = b->discharge_locked = false;
}

static int make_plant(struct simboard *b)
{
	struct plant_settings p = {
		.table = b->s.table,
		.cells = b->s.cells,
		.capacity_ah = b->s.capacity_mah / 1000.0 * b->s.true_capacity_part,
		.soc = b->s.soc_percent / 100.0,
		.ambient_c = AMBIENT_C,
		.spread = 1,
		.seed = b->s.seed,
	};

	return plant_new(&p, &b->plant);
}

static void use_usual_values(struct simboard_settings *s)
{
	if (!s->table)
		s->table = plant_table_find("p42a");
	if (s->true_capacity_part == 0)
		s->true_capacity_part = 1;
	if (s->load.mode == SIMLOAD_STEADY) {
		s->load.mode = SIMLOAD_SWING;
		s->load.current_a = s->current_ma / 1000.0;
	}
	simload_init(&s->load, s->capacity_mah / 1000.0);
}

int simboard_new(const struct simboard_settings *settings, struct simboard **ret)
{
	_cleanup_(simboard_freep) struct simboard *b = NULL;
	int r;

	if (settings->cells < 1 || settings->cells > SAMPLE_MAX_CELLS ||
	    settings->ntcs > SIMWIRE_NTCS || settings->soc_percent > 100 ||
	    settings->capacity_mah == 0 || settings->protocol >= _SIMBOARD_PROTOCOL_MAX)
		return -EINVAL;
	b = calloc(1, sizeof *b);
	if (!b)
		return -ENOMEM;
	b->s = *settings;
	use_usual_values(&b->s);
	b->wire = settings->protocol == SIMBOARD_DALY ? &simwire_daly : &simwire_jbd;
	b->load = b->s.load;
	b->sensors = (struct plant_sensors){
		.pack_lsb_volt = settings->protocol == SIMBOARD_DALY ? 0.1 : 0.01,
		.cell_lsb_volt = 0.001,
		.current_lsb_a = settings->protocol == SIMBOARD_DALY ? 0.1 : 0.01,
		.temperature_lsb_c = 0.1,
		.current_gain_error = settings->current_gain_error,
		.current_offset_a = settings->current_offset_a,
		.current_noise_a = settings->current_noise_a,
	};
	for (size_t i = 0; i < ELEMENTSOF(b->stuck_uv); i++)
		b->stuck_uv[i] = NEVER_STUCK;
	begin_life(b);
	r = make_plant(b);
	if (r < 0)
		return r;
	b->residual_mah = (double)b->s.capacity_mah * b->s.soc_percent / 100;
	plant_measure(b->plant, &b->sensors, &b->reading);
	*ret = TAKE_PTR(b);
	return 0;
}

struct simboard *simboard_free(struct simboard *b)
{
	if (b)
		(void)plant_free(b->plant);
	free(b);
	return NULL;
}

uint32_t simboard_random(struct simboard *b)
{
	return plant_random(b->plant);
}

/* ---- what the board does ---- */

static bool charge_fet(const struct simboard *b)
{
	return !b->charge_locked && simguard_lets_charge(&b->guard);
}

static bool discharge_fet(const struct simboard *b)
{
	return !b->discharge_locked && simguard_lets_discharge(&b->guard);
}

static double flowing_a(struct simboard *b, double seconds)
{
	double wanted_a = simload_step(&b->load, b->plant, b->s.table, seconds);

	if ((wanted_a > 0 && !charge_fet(b)) || (wanted_a < 0 && !discharge_fet(b)))
		return 0;
	return wanted_a;
}

/* As real boards do, by voltage: that is their own anchor, and a jump for who reads it. */
static void adjust_residual(struct simboard *b, double current_a, uint32_t just_set)
{
	double max_uv = 0, tail_a = FULL_CURRENT_C * b->s.capacity_mah / 1000;

	for (unsigned i = 0; i < b->reading.n_cells; i++)
		max_uv = fmax(max_uv, (double)b->reading.cells_uv[i]);
	if (just_set & UINT32_C(1) << PROTECTION_CELL_UNDERVOLTAGE)
		b->residual_mah = 0;
	if (just_set & UINT32_C(1) << PROTECTION_CELL_OVERVOLTAGE ||
	    (current_a > 0 && current_a <= tail_a &&
	     max_uv >= (b->s.table->full_mv - FULL_WITHIN_MV) * 1000))
		b->residual_mah = b->s.capacity_mah;
}

static void count_charge(struct simboard *b, double current_a, double seconds)
{
	double measured_a = current_a * (1 + b->sensors.current_gain_error) +
			    b->sensors.current_offset_a;
	double mah = measured_a * 1000 * seconds / SEC_PER_HOUR;

	b->residual_mah = fmin(fmax(b->residual_mah + mah, 0), b->s.capacity_mah);
	b->throughput_mah += fabs(mah) / 2;
}

static void balance(struct simboard *b, double current_a)
{
	int64_t min_uv = INT64_MAX, from_uv;

	for (unsigned i = 0; i < b->reading.n_cells; i++)
		min_uv = b->reading.cells_uv[i] < min_uv ? b->reading.cells_uv[i] : min_uv;
	from_uv = (int64_t)(b->s.table->full_mv - BALANCE_BELOW_MV) * 1000;
	b->balancing = 0;
	for (unsigned i = 0; i < b->reading.n_cells && current_a > 0; i++)
		if (b->reading.cells_uv[i] > from_uv &&
		    b->reading.cells_uv[i] > min_uv + BALANCE_SPREAD_UV)
			b->balancing |= UINT32_C(1) << i;
	plant_bleed(b->plant, b->balancing, BALANCE_A);
}

static void step(struct simboard *b, double seconds)
{
	double current_a = flowing_a(b, seconds);
	uint32_t just_set;

	plant_advance(b->plant, current_a, seconds);
	plant_measure(b->plant, &b->sensors, &b->reading);
	count_charge(b, current_a, seconds);
	just_set = simguard_step(&b->guard, &b->reading, seconds);
	adjust_residual(b, current_a, just_set);
	balance(b, current_a);
	b->silent_sec = fmax(b->silent_sec - seconds, 0);
	b->asleep_sec = fmax(b->asleep_sec - seconds, 0);
}

void simboard_advance(struct simboard *b, uint64_t msec)
{
	b->owed_msec += msec;
	while (b->owed_msec >= STEP_MSEC) {
		step(b, (double)STEP_MSEC / 1000);
		b->owed_msec -= STEP_MSEC;
	}
}

/* ---- what the board says ---- */

static void say_cells(const struct simboard *b, struct simwire_values *v)
{
	v->n_cells = b->reading.n_cells;
	for (unsigned i = 0; i < v->n_cells; i++) {
		int64_t uv = b->stuck_uv[i] == NEVER_STUCK ? b->reading.cells_uv[i]
							   : b->stuck_uv[i];

		v->cells_mv[i] = (int)(uv / 1000);
	}
}

static void say_temperatures(const struct simboard *b, struct simwire_values *v)
{
	v->n_ntcs = b->s.ntcs;
	for (unsigned i = 0; i < v->n_ntcs; i++)
		v->ntcs_decicelsius[i] = b->ntc_open[i]
						 ? OPEN_DECICELSIUS
						 : (int)(b->reading.temperature_decicelsius + i);
}

static void say(const struct simboard *b, struct simwire_values *v)
{
	uint32_t lock = UINT32_C(1) << PROTECTION_SOFTWARE_LOCK;

	*v = (struct simwire_values){
		.model = b->s.model,
		.voltage_mv = b->reading.voltage_uv / 1000,
		.current_ma = b->reading.current_ua / 1000,
		.residual_mah = b->residual_mah,
		.nominal_mah = b->s.capacity_mah,
		.soc_percent = 100 * b->residual_mah / b->s.capacity_mah,
		.cycles = CYCLES_AT_FIRST + (unsigned)(b->throughput_mah / b->s.capacity_mah),
		.balancing = b->balancing,
		.protections = simguard_protections(&b->guard),
		.charge_fet = charge_fet(b),
		.discharge_fet = discharge_fet(b),
		.heartbeat = (uint8_t)(b->answers & 0xff),
		.all_zero = b->zeros > 0 || b->asleep_sec > 0,
		.refuses = b->refusals > 0,
	};
	if (b->charge_locked || b->discharge_locked)
		v->protections |= lock;
	memcpy(v->counters, b->guard.counters, sizeof v->counters);
	say_cells(b, v);
	say_temperatures(b, v);
}

static void obey(struct simboard *b, const struct simwire_order *order)
{
	if (order->sets_charge_fet)
		b->charge_locked = !order->charge_fet;
	if (order->sets_discharge_fet)
		b->discharge_locked = !order->discharge_fet;
}

static size_t answer(struct simboard *b, const struct request *q, uint8_t *ret_frame)
{
	struct simwire_values v;
	struct simwire_order order = {};
	size_t size;

	if (b->silent_sec > 0)
		return 0;
	b->answers++;
	if (b->asleep_sec > 0 && b->wire->echoes_asleep) {
		memcpy(ret_frame, q->bytes, q->used);
		return q->used;
	}
	say(b, &v);
	size = b->wire->answer(&v, q->bytes, &order, ret_frame);
	if (!v.refuses && !v.all_zero)
		obey(b, &order);
	b->zeros -= b->zeros > 0;
	b->refusals -= b->refusals > 0;
	return size;
}

size_t simboard_rx_line(struct simboard *b, unsigned line, uint8_t byte,
			uint8_t ret_frame[SIMBOARD_ANSWER_BYTES])
{
	struct request *q = &b->requests[line % SIMBOARD_LINES];
	size_t size;
	int r;

	q->bytes[q->used++] = byte;
	r = b->wire->check(q->bytes, q->used);
	/* The byte that did not fit may be the start of a request. */
	if (r < 0) {
		q->bytes[0] = byte;
		q->used = b->wire->check(q->bytes, 1) < 0 ? 0 : 1;
	}
	if (r <= 0)
		return 0;
	size = answer(b, q, ret_frame);
	q->used = 0;
	return size;
}

size_t simboard_rx(struct simboard *b, uint8_t byte, uint8_t ret_frame[SIMBOARD_ANSWER_BYTES])
{
	return simboard_rx_line(b, 0, byte, ret_frame);
}

void simboard_truth(const struct simboard *b, struct plant_truth *ret)
{
	plant_look(b->plant, ret);
}

double simboard_residual_mah(const struct simboard *b)
{
	return b->residual_mah;
}

uint64_t simboard_answers(const struct simboard *b)
{
	return b->answers;
}

/* ---- commands ---- */

static int set_load(struct simboard *b, const struct simwords *w)
{
	static const struct {
		const char *name;
		enum simload_mode mode;
		size_t words;
	} modes[] = {
		{ "current", SIMLOAD_STEADY, 2 },  { "swing", SIMLOAD_SWING, 2 },
		{ "profile", SIMLOAD_PROFILE, 1 }, { "charge", SIMLOAD_CHARGE, 1 },
		{ "rest", SIMLOAD_REST, 1 },	   { "cycle", SIMLOAD_CYCLE, 1 },
	};
	long ma = 0;

	for (size_t i = 0; i < ELEMENTSOF(modes); i++) {
		if (strcmp(w->at[0], modes[i].name) != 0)
			continue;
		if (w->n != modes[i].words ||
		    (w->n == 2 && simwords_number(w->at[1], -600000, 600000, &ma) < 0))
			return -EINVAL;
		b->load.mode = modes[i].mode;
		b->load.phase = 0;
		b->load.phase_sec = 0;
		b->load.charged = false;
		if (w->n == 2)
			b->load.current_a = (double)ma / 1000;
		return 0;
	}
	return -EINVAL;
}

static int set_ambient(struct simboard *b, const struct simwords *w)
{
	long c = 0;
	int r = simwords_number(w->at[1], -40, 120, &c);

	if (r >= 0)
		plant_set_ambient(b->plant, (double)c);
	return r;
}

static int set_sleep(struct simboard *b, const struct simwords *w)
{
	long sec = 0;
	int r = simwords_number(w->at[1], 0, 1000000, &sec);

	if (r < 0)
		return r;
	*(strcmp(w->at[0], "sleep") == 0 ? &b->silent_sec : &b->asleep_sec) = (double)sec;
	return 0;
}

static int wake(struct simboard *b, const struct simwords *w)
{
	(void)w;
	b->silent_sec = b->asleep_sec = 0;
	return 0;
}

static int set_refusals(struct simboard *b, const struct simwords *w)
{
	long count = 1;

	if (w->n > 1 && simwords_number(w->at[1], 0, 1000000, &count) < 0)
		return -EINVAL;
	*(strcmp(w->at[0], "zero") == 0 ? &b->zeros : &b->refusals) = (unsigned)count;
	return 0;
}

static int reset(struct simboard *b, const struct simwords *w)
{
	(void)w;
	begin_life(b);
	b->residual_mah = b->s.capacity_mah / 2.0;
	return 0;
}

static int set_residual(struct simboard *b, const struct simwords *w)
{
	long mah = 0;
	int r = simwords_number(w->at[1], 0, (long)b->s.capacity_mah, &mah);

	if (r >= 0)
		b->residual_mah = (double)mah;
	return r;
}

static int set_cell(struct simboard *b, const struct simwords *w)
{
	long cell = 0, mv = 0;

	if (simwords_number(w->at[1], 1, (long)b->s.cells, &cell) < 0 || w->n < 3)
		return -EINVAL;
	cell--;
	if (strcmp(w->at[2], "drift") == 0 && w->n == 4 &&
	    simwords_number(w->at[3], -5000, 5000, &mv) == 0) {
		plant_drift(b->plant, (unsigned)cell, (double)mv / 1000);
	} else if (strcmp(w->at[2], "stuck") == 0 && w->n == 3) {
		b->stuck_uv[cell] = b->reading.cells_uv[cell];
	} else if (strcmp(w->at[2], "free") == 0 && w->n == 3) {
		b->stuck_uv[cell] = NEVER_STUCK;
		plant_drift(b->plant, (unsigned)cell, 0);
	} else {
		return -EINVAL;
	}
	return 0;
}

static int set_ntc(struct simboard *b, const struct simwords *w)
{
	long ntc = 0;

	if (w->n != 3 || simwords_number(w->at[1], 1, (long)b->s.ntcs, &ntc) < 0)
		return -EINVAL;
	if (strcmp(w->at[2], "open") != 0 && strcmp(w->at[2], "free") != 0)
		return -EINVAL;
	b->ntc_open[ntc - 1] = strcmp(w->at[2], "open") == 0;
	return 0;
}

static uint32_t protection_bits(const char *name)
{
	if (strcmp(name, "all") == 0)
		return ALL_PROTECTIONS;
	for (unsigned i = 0; i < PROTECTION_COUNT; i++)
		if (strcmp(name, protection_name(i)) == 0)
			return UINT32_C(1) << i;
	return 0;
}

static int protect(struct simboard *b, const struct simwords *w)
{
	uint32_t bits = w->n == 2 ? protection_bits(w->at[1]) : 0;

	if (!bits)
		return -EINVAL;
	if (strcmp(w->at[0], "protect") == 0)
		simguard_force(&b->guard, bits);
	else
		simguard_clear(&b->guard, bits);
	return 0;
}

static int set_fet(struct simboard *b, const struct simwords *w)
{
	bool on, charge;

	if (w->n != 3)
		return -EINVAL;
	on = strcmp(w->at[2], "on") == 0;
	charge = strcmp(w->at[1], "charge") == 0;
	if ((!on && strcmp(w->at[2], "off") != 0) ||
	    (!charge && strcmp(w->at[1], "discharge") != 0))
		return -EINVAL;
	*(charge ? &b->charge_locked : &b->discharge_locked) = !on;
	return 0;
}

static const struct {
	const char *name;
	int (*run)(struct simboard *b, const struct simwords *w);
} commands[] = {
	{ "current", set_load },    { "swing", set_load },	  { "profile", set_load },
	{ "charge", set_load },	    { "rest", set_load },	  { "cycle", set_load },
	{ "ambient", set_ambient }, { "sleep", set_sleep },	  { "asleep", set_sleep },
	{ "wake", wake },	    { "refuse", set_refusals },	  { "zero", set_refusals },
	{ "reset", reset },	    { "residual", set_residual }, { "cell", set_cell },
	{ "ntc", set_ntc },	    { "protect", protect },	  { "clear", protect },
	{ "fet", set_fet },
};

int simboard_command(struct simboard *b, const char *line)
{
	struct simwords w;
	int r = simwords_split(line, &w);

	if (r < 0)
		return r;
	for (size_t i = 0; i < ELEMENTSOF(commands); i++)
		if (strcmp(w.at[0], commands[i].name) == 0)
			return commands[i].run(b, &w);
	return -ENOENT;
}

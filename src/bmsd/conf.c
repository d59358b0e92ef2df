/* SPDX-License-Identifier: Apache-2.0 */
#include "bmsd/conf.h"

#include <stdarg.h>
#include <string.h>

#include "bmsd/driver.h"
#include "bmsd/sample.h"
#include "common/config.h"
#include "common/fsutil.h"

#define SECTION_PREFIX "pack "

static const char *const bauds[] = { "9600", "19200", "38400", "57600", "115200", NULL };

#define GENERAL(member) offsetof(struct bmsd_conf, member)
#define PACK(member)	offsetof(struct bmsd_conf_pack, member)

static const struct config_key keys[] = {
	{ "limits", "cell_min_mv", CONFIG_U64, GENERAL(cell_min_mv), 100, 5000, NULL },
	{ "limits", "cell_max_mv", CONFIG_U64, GENERAL(cell_max_mv), 100, 10000, NULL },
	{ "limits", "current_max_ma", CONFIG_U64, GENERAL(current_max_ma), 1000, 2000000, NULL },
	{ "limits", "update_current_max_ma", CONFIG_U64, GENERAL(update_current_max_ma), 0, 2000000,
	  NULL },
	{ "limits", "stale_msec", CONFIG_U64, GENERAL(stale_msec), 500, 600000, NULL },
	{ "state", "dir", CONFIG_PATH, GENERAL(state_dir), 0, 0, NULL },
	{ "state", "save_interval_sec", CONFIG_U64, GENERAL(save_interval_sec), 5, 3600, NULL },
	{ "pack *", "name", CONFIG_STRING, PACK(name), 0, 0, NULL },
	{ "pack *", "driver", CONFIG_CHOICE, PACK(driver), 0, 0, driver_names },
	{ "pack *", "device", CONFIG_PATH, PACK(device), 0, 0, NULL },
	{ "pack *", "baud", CONFIG_CHOICE, PACK(baud), 0, 0, bauds },
	{ "pack *", "poll_interval_msec", CONFIG_U64, PACK(poll_interval_msec), 100, 60000, NULL },
	{ "pack *", "timeout_msec", CONFIG_U64, PACK(timeout_msec), 50, 5000, NULL },
	{ "pack *", "cells", CONFIG_U64, PACK(cells), 0, SAMPLE_MAX_CELLS, NULL },
};

static int _printf_(2, 3) invalid(char **ret_error, const char *format, ...)
{
	va_list args;

	if (!ret_error)
		return -EINVAL;
	va_start(args, format);
	if (vasprintf(ret_error, format, args) < 0)
		*ret_error = NULL;
	va_end(args);
	return -EINVAL;
}

static void set_pack_defaults(struct bmsd_conf_pack *p, unsigned number)
{
	char name[4];

	(void)snprintf(name, sizeof name, "%u", number % BMSD_MAX_PACKS);
	p->used = true;
	p->number = number;
	p->name = strdup(name);
	p->driver = strdup("jbd");
	p->baud = strdup("9600");
	p->poll_interval_msec = 1000;
	p->timeout_msec = 500;
}

static void *resolve(const char *section, void *userdata)
{
	struct bmsd_conf *c = userdata;
	const char *digit = section + strlen(SECTION_PREFIX);
	unsigned number;

	if (strncmp(section, SECTION_PREFIX, strlen(SECTION_PREFIX)) != 0 || *digit < '0' ||
	    *digit >= '0' + BMSD_MAX_PACKS || digit[1] != '\0')
		return NULL;
	number = (unsigned)(*digit - '0');
	if (!c->packs[number].used)
		set_pack_defaults(&c->packs[number], number);
	return &c->packs[number];
}

static struct bmsd_conf *new_with_defaults(void)
{
	struct bmsd_conf *c = calloc(1, sizeof *c);

	if (!c)
		return NULL;
	c->cell_min_mv = 1000;
	c->cell_max_mv = 5000;
	c->current_max_ma = 500000;
	c->update_current_max_ma = 1000;
	c->stale_msec = 5000;
	c->save_interval_sec = 60;
	c->state_dir = strdup("/var/lib/bmsd");
	return c;
}

static void close_gaps(struct bmsd_conf *c)
{
	for (size_t i = 0; i < BMSD_MAX_PACKS; i++) {
		struct bmsd_conf_pack pack = c->packs[i];

		if (!pack.used)
			continue;
		c->packs[i] = (struct bmsd_conf_pack){};
		c->packs[c->n_packs++] = pack;
	}
}

static int check_pack(const struct bmsd_conf *c, struct bmsd_conf_pack *p, char **ret_error)
{
	if (!p->name || !p->driver || !p->baud)
		return invalid(ret_error, "[pack %u]: name, driver and baud may not be empty",
			       p->number);
	if (!p->device)
		return invalid(ret_error, "[pack %u]: device is missing", p->number);
	if (!fs_is_safe_name(p->name))
		return invalid(ret_error, "[pack %u]: name is not a file name", p->number);
	p->baud_rate = (unsigned)strtoul(p->baud, NULL, 10);
	for (const struct bmsd_conf_pack *o = c->packs; o < p; o++)
		if (strcmp(o->name, p->name) == 0 || strcmp(o->device, p->device) == 0)
			return invalid(ret_error,
				       "[pack %u]: name or device is the same as of [pack %u]",
				       p->number, o->number);
	if (p->poll_interval_msec * 2 > c->stale_msec)
		return invalid(ret_error,
			       "[pack %u]: poll_interval_msec must be at most half of stale_msec",
			       p->number);
	return 0;
}

static int check(struct bmsd_conf *c, char **ret_error)
{
	if (c->cell_min_mv >= c->cell_max_mv)
		return invalid(ret_error, "[limits]: cell_min_mv must be less than cell_max_mv");
	if (!c->state_dir)
		return invalid(ret_error, "[state]: dir may not be empty");
	for (size_t i = 0; i < c->n_packs; i++) {
		int r = check_pack(c, &c->packs[i], ret_error);

		if (r < 0)
			return r;
	}
	return 0;
}

int bmsd_conf_load(const char *path, struct bmsd_conf **ret, char **ret_error)
{
	_cleanup_(bmsd_conf_freep) struct bmsd_conf *c = new_with_defaults();
	int r;

	if (!c)
		return -ENOMEM;
	r = config_load(path, keys, ELEMENTSOF(keys), c, resolve, c, ret_error);
	if (r < 0)
		return r;
	close_gaps(c);
	r = check(c, ret_error);
	if (r < 0)
		return r;
	*ret = TAKE_PTR(c);
	return 0;
}

struct bmsd_conf *bmsd_conf_free(struct bmsd_conf *c)
{
	if (!c)
		return NULL;
	for (size_t i = 0; i < BMSD_MAX_PACKS; i++) {
		free(c->packs[i].name);
		free(c->packs[i].driver);
		free(c->packs[i].device);
		free(c->packs[i].baud);
	}
	free(c->state_dir);
	free(c);
	return NULL;
}

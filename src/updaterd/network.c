/* SPDX-License-Identifier: Apache-2.0 */
#include "updaterd/network.h"

#include <string.h>

#include "common/log.h"
#include "updaterd/identity.h"

#define METERED_LIMIT_MSEC 10000u

/* Small segments cost their hashes (32 bytes each), large ones what is lost of them when a connection
 * breaks, half of one on average: 4096 bytes cost 0.8 % and some 2 KiB a break, less than making the
 * connection again. Two requests in flight hide the round trip between them; more hide nothing else.
 * NB-IoT may sleep for minutes, and in poor coverage trickles. */
static const struct network_preset presets[] = {
	{ "nb-iot", 4096, 2, 120, 1800, 5, 300 },    { "2g", 4096, 2, 60, 1800, 10, 120 },
	{ "lte-m", 4096, 2, 60, 600, 20, 120 },	     { "3g", 4096, 2, 30, 300, 50, 60 },
	{ "4g", 10240, 2, 30, 300, 100, 60 },	     { "wifi", 65536, 2, 15, 300, 1000, 30 },
	{ "ethernet", 65536, 2, 15, 300, 1000, 30 },
};

const char *const network_types[] = {
	"nb-iot", "2g", "lte-m", "3g", "4g", "wifi", "ethernet", NULL
};

const struct network_preset *network_preset(const char *type)
{
	for (size_t i = 0; i < ELEMENTSOF(presets); i++)
		if (strcmp(presets[i].type, type) == 0)
			return &presets[i];
	return NULL;
}

static bool says(const char *text, const char *word)
{
	size_t length = strlen(word);

	/* NetworkManager may add "(guessed)". */
	return strncmp(text, word, length) == 0 && strchr(" \n", text[length]);
}

/* Who does not know pays. */
static bool is_metered(const struct conf *conf)
{
	_cleanup_free_ char *said = NULL;
	int r;

	if (strcmp(conf->metered, "auto") != 0)
		return strcmp(conf->metered, "yes") == 0;
	r = identity_run_command(conf->metered_command, METERED_LIMIT_MSEC, &said);
	if (r < 0)
		log_warning("metered_command '%s': %s", conf->metered_command, strerror(-r));
	return r < 0 || !says(said, "no");
}

int network_admit(const struct conf *conf, uint64_t bytes, struct failure *failure)
{
	if (conf->metered_max_bytes == 0 || bytes <= conf->metered_max_bytes || !is_metered(conf))
		return 0;
	return failure_set(failure, -EAGAIN, REASON_NOT_NOW,
			   "the network is metered, and %ju bytes are more than metered_max_bytes",
			   (uintmax_t)bytes);
}

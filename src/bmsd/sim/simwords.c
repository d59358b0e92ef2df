/* SPDX-License-Identifier: Apache-2.0 */
#include "bmsd/simwords.h"

#include <string.h>

int simwords_split(const char *line, struct simwords *ret)
{
	const char *at[SIMWORDS_MAX + 1] = { NULL };
	char *rest = NULL;
	size_t n = 0;

	if (strlen(line) >= sizeof ret->bytes)
		return -EINVAL;
	memcpy(ret->bytes, line, strlen(line) + 1);
	for (char *t = strtok_r(ret->bytes, " \t\r\n", &rest); t;
	     t = strtok_r(NULL, " \t\r\n", &rest)) {
		if (n >= SIMWORDS_MAX)
			return -EINVAL;
		at[n++] = t;
	}
	if (n == 0)
		return -EINVAL;
	ret->n = n;
	memcpy(ret->at, at, sizeof ret->at);
	return 0;
}

int simwords_number(const char *word, long min, long max, long *ret)
{
	char *end = NULL;
	long value;

	if (!word)
		return -EINVAL;
	errno = 0;
	value = strtol(word, &end, 10);
	if (errno || end == word || *end || value < min || value > max)
		return -EINVAL;
	*ret = value;
	return 0;
}

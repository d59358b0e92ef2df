/* SPDX-License-Identifier: Apache-2.0 */
#include "updaterd/programs.h"

#include <fcntl.h>
#include <string.h>

#include "common/fsutil.h"
#include "common/log.h"

#define FILE_MAX_BYTES 16384u

static bool is_path(const char *text)
{
	return text && *text == '/' && fs_is_safe_path(text + 1);
}

static int parse_line(char *line, struct programs *p)
{
	const char *letter = strsep(&line, " "), *space = strsep(&line, " "),
		   *factory = strsep(&line, " "), *unit = strsep(&line, " ");

	if (strlen(letter) != 1 || *letter < 'A' || *letter > 'Z' || !is_path(space) || !factory ||
	    programs_find(p, *letter))
		return -EBADMSG;
	p->list[p->n++] = (struct program){ .letter = *letter,
					    .space = space,
					    .factory = is_path(factory) ? factory : NULL,
					    .unit = unit && *unit ? unit : NULL };
	return 0;
}

/* Takes text, whatever comes of it. */
static int parse(char *text, size_t size, struct programs *ret)
{
	struct programs p = { .text = text };
	char *line, *rest = text;
	int r = size > 0 && strlen(text) == size && text[size - 1] == '\n' ? 0 : -EBADMSG;

	while (r == 0 && (line = strsep(&rest, "\n")) && rest)
		r = parse_line(line, &p);
	if (r == 0)
		*ret = p;
	else
		free(text);
	return r;
}

int programs_load(int dirfd, const char *defaults, struct programs *ret)
{
	char *text = NULL;
	size_t size = 0;
	int r = -ENOENT;

	if (dirfd >= 0)
		r = fs_read_file(dirfd, PROGRAMS_FILE, FILE_MAX_BYTES, &text, &size);
	if (r == 0)
		r = parse(text, size, ret);
	if (r == 0)
		return 0;
	if (r != -ENOENT)
		log_debug("'" PROGRAMS_FILE "' cannot be used: %s", strerror(-r));
	text = strdup(defaults);
	return text ? parse(text, strlen(text), ret) : -ENOMEM;
}

void programs_done(struct programs *p)
{
	free(p->text);
}

struct program *programs_find(struct programs *p, char letter)
{
	for (size_t i = 0; i < p->n; i++)
		if (p->list[i].letter == letter)
			return &p->list[i];
	return NULL;
}

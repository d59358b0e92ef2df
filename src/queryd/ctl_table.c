/* SPDX-License-Identifier: Apache-2.0 */
#include <stdarg.h>

#include "common/log.h"

#include "queryd/ctl.h"

#define GAP 2 /* blanks between columns */

struct table {
	const char *const *headings;
	size_t n_columns;
	char **cells;
	size_t n_cells, capacity;
	int error;
};

int table_new(const char *const *headings, struct table **ret)
{
	struct table *t = calloc(1, sizeof *t);

	if (!t)
		return -ENOMEM;
	t->headings = headings;
	while (headings[t->n_columns])
		t->n_columns++;
	*ret = t;
	return 0;
}

struct table *table_free(struct table *t)
{
	if (!t)
		return NULL;
	for (size_t i = 0; i < t->n_cells; i++)
		free(t->cells[i]);
	free(t->cells);
	free(t);
	return NULL;
}

static int append(struct table *t, char *text)
{
	if (t->n_cells == t->capacity) {
		size_t capacity = t->capacity ? 2 * t->capacity : 64;
		char **cells = reallocarray(t->cells, capacity, sizeof *cells);

		if (!cells)
			return -ENOMEM;
		t->cells = cells;
		t->capacity = capacity;
	}
	t->cells[t->n_cells++] = text;
	return 0;
}

void table_cell(struct table *t, const char *format, ...)
{
	char *text = NULL;
	va_list args;
	int n;

	va_start(args, format);
	n = vasprintf(&text, format, args);
	va_end(args);
	if (n < 0) {
		t->error = -ENOMEM;
		return;
	}
	log_mask_controls(text);
	if (append(t, text) < 0) {
		free(text);
		t->error = -ENOMEM;
	}
}

/* Code points, as good a width as can be had without a locale. */
static size_t width_of(const char *text)
{
	size_t n = 0;

	for (; *text; text++)
		n += ((unsigned char)*text & 0xc0) != 0x80;
	return n;
}

static size_t column_width(const struct table *t, size_t column)
{
	size_t width = width_of(t->headings[column]);

	for (size_t i = column; i < t->n_cells; i += t->n_columns) {
		size_t w = width_of(t->cells[i]);

		width = w > width ? w : width;
	}
	return width;
}

static void print_cell(const char *text, size_t width, bool is_last, FILE *to)
{
	(void)fputs(text, to);
	/* No trailing blanks. */
	for (size_t i = width_of(text); !is_last && i < width + GAP; i++)
		(void)fputc(' ', to);
	if (is_last)
		(void)fputc('\n', to);
}

int table_print(const struct table *t, FILE *to, bool is_terminal)
{
	_cleanup_free_ size_t *widths = calloc(t->n_columns + 1, sizeof *widths);

	if (t->error < 0)
		return t->error;
	if (!widths || t->n_columns == 0)
		return widths ? -EINVAL : -ENOMEM;
	for (size_t i = 0; i < t->n_columns; i++)
		widths[i] = column_width(t, i);
	if (is_terminal)
		(void)fputs("\033[1m", to);
	for (size_t i = 0; i < t->n_columns; i++)
		print_cell(t->headings[i], widths[i], i + 1 == t->n_columns, to);
	if (is_terminal)
		(void)fputs("\033[0m", to);
	for (size_t i = 0; i < t->n_cells; i++)
		print_cell(t->cells[i], widths[i % t->n_columns],
			   i % t->n_columns + 1 == t->n_columns, to);
	return ferror(to) ? -EIO : 0;
}

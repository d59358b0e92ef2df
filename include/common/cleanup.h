/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Ownership by scope: a variable declared with one of these attributes is released when it goes out
 * of scope, on every path. TAKE_PTR() and TAKE_FD() hand the resource on and disarm the release.
 *
 * Every destructor here accepts the empty value (NULL, or a negative descriptor).
 */
#ifndef COMMON_CLEANUP_H
#define COMMON_CLEANUP_H

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#define _cleanup_(f)	 __attribute__((cleanup(f)))
#define _must_check_	 __attribute__((warn_unused_result))
#define _printf_(fmt, a) __attribute__((format(printf, fmt, a)))

#define ELEMENTSOF(x) (sizeof(x) / sizeof((x)[0]))

/* The empty descriptor: a close() of it by mistake fails with EBADF instead of closing stdin. */
#define FD_NONE (-EBADF)

static inline void free_ptr(void *p)
{
	free(*(void **)p);
}

/* close() that keeps errno: for paths that already failed. Where data was written, close by hand and
 * check the result, since a failed close means that the data may be lost. */
static inline void close_fd(const int *fd)
{
	if (*fd >= 0) {
		int saved = errno;

		(void)close(*fd);
		errno = saved;
	}
}

static inline void close_file(FILE **f)
{
	if (*f)
		(void)fclose(*f);
}

#define _cleanup_free_	_cleanup_(free_ptr)
#define _cleanup_close_ _cleanup_(close_fd)
#define _cleanup_file_	_cleanup_(close_file)

#define TAKE_PTR(p)                                                                                \
	({                                                                                         \
		__typeof__(p) *take_pp_ = &(p);                                                    \
		__typeof__(p) take_p_ = *take_pp_;                                                 \
		*take_pp_ = NULL;                                                                  \
		take_p_;                                                                           \
	})

#define TAKE_FD(fd)                                                                                \
	({                                                                                         \
		int *take_fdp_ = &(fd);                                                            \
		int take_fd_ = *take_fdp_;                                                         \
		*take_fdp_ = FD_NONE;                                                              \
		take_fd_;                                                                          \
	})

/* Makes the scope-exit helper of a type from its free function: DEFINE_CLEANUP(struct x *, x_free)
 * gives x_freep for _cleanup_(x_freep). */
/* NOLINTBEGIN(bugprone-macro-parentheses): a type cannot stand in parentheses */
#define DEFINE_CLEANUP(type, func)                                                                 \
	static inline void func##p(type *p)                                                        \
	{                                                                                          \
		if (*p)                                                                            \
			(void)func(*p);                                                            \
	}                                                                                          \
	struct func##_cleanup_needs_semicolon
/* NOLINTEND(bugprone-macro-parentheses) */

#endif

/* SPDX-License-Identifier: Apache-2.0 */
/* Exit codes of updaterd(8); part of its interface. */
#ifndef UPDATERD_EXIT_CODES_H
#define UPDATERD_EXIT_CODES_H

enum updaterd_exit {
	EXIT_OK = 0,	 /* done, or nothing to do (also of a timer run with nothing new) */
	EXIT_FAILED = 1, /* an attempt failed, was refused or rolled back */
	EXIT_USAGE = 2,
	EXIT_NOTHING_NEW = 3, /* --check and --missed only */
	EXIT_CONFIG = 78,     /* sysexits EX_CONFIG */
	EXIT_TEMPORARY = 75,  /* EX_TEMPFAIL: network down, postponed, busy; try at the next run */
	EXIT_NOT_PERMITTED = 77, /* EX_NOPERM */
};

#endif

/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The words of a result: at which step an attempt ended, how, and why. One table for the agent, the
 * installer, the log, --status and the archive, so a reason means one thing everywhere. The names
 * are part of the protocol (docs/PROTOCOL.md): add, never rename.
 */
#ifndef COMMON_REASON_H
#define COMMON_REASON_H

enum step {
	STEP_NONE = 0,
	STEP_QUERY,
	STEP_TRUST,
	STEP_FETCH,
	STEP_CHECK, /* the installer's preconditions and its own verification */
	STEP_STAGE,
	STEP_BACKUP,
	STEP_SWAP,
	STEP_RESTART,
	STEP_PROBE,
	STEP_CONFIRM,
	STEP_ROLLBACK,
	STEP_REPORT,
	STEP_WAIT, /* progress only: a trial that waits for the server */
	_STEP_MAX,
};

enum outcome {
	OUTCOME_NONE = 0,
	OUTCOME_CONFIRMED,   /* the new version runs and is kept */
	OUTCOME_ROLLED_BACK, /* it was swapped in, was bad, and the old one runs again */
	OUTCOME_FAILED, /* ended before the swap, nothing was changed; or a repair that did not help */
	OUTCOME_REFUSED,   /* judged unacceptable before the swap (trust, version, content) */
	OUTCOME_POSTPONED, /* the program says that now is no good time */
	_OUTCOME_MAX,
};

enum reason {
	REASON_NONE = 0,
	/* network */
	REASON_NETWORK,	      /* no connection, time-out, TLS failure */
	REASON_SERVER_ERROR,  /* HTTP status that is no answer */
	REASON_BAD_ANSWER,    /* an answer that is not what the protocol says */
	REASON_RANGE_IGNORED, /* the file server does not honour Range */
	REASON_FILE_CHANGED,  /* another file behind the same name while fetching */
	REASON_SEGMENT_HASH,  /* a segment was wrong twice */
	/* trust */
	REASON_BAD_SIGNATURE,	  /* metadata not signed by the threshold of its role's keys */
	REASON_BAD_METADATA,	  /* malformed or inconsistent metadata */
	REASON_EXPIRED,		  /* metadata past its date */
	REASON_METADATA_ROLLBACK, /* metadata older than what was trusted before */
	REASON_NO_TARGET,	  /* the offered file is not authorised by the metadata */
	REASON_HASH,		  /* the program file is not the one that was signed */
	REASON_LENGTH,
	/* policy */
	REASON_WRONG_PROGRAM,
	REASON_WRONG_ARCH,
	REASON_WRONG_MODEL,
	REASON_OLDER_VERSION, /* not newer than what runs, or below the floor */
	REASON_QUARANTINED,   /* it failed before, or a person rolled it back */
	REASON_NOT_NOW,	      /* the program's probe said so */
	REASON_HELD,	      /* a person said so */
	REASON_REQUIRES,      /* needs another version of the other program first */
	REASON_BASE_DIFFERS,  /* the patch is not for the bytes that run */
	/* content */
	REASON_BAD_PATCH, /* the patch is signed, and does not make what was signed */
	REASON_TAR_MALFORMED,
	REASON_TAR_ESCAPE,
	REASON_TAR_LINK,
	REASON_TAR_SPECIAL,
	REASON_TAR_SETID,
	REASON_TAR_TOO_BIG,
	REASON_TAR_CONTENT,
	/* the machine */
	REASON_NO_SPACE,
	REASON_IO,
	REASON_NO_MEMORY,
	REASON_DAMAGED, /* the running release or its backup does not match its manifest */
	REASON_BUSY,
	REASON_NO_PREVIOUS, /* nothing to roll back to */
	/* health */
	REASON_EXITED,	      /* the program ended at once */
	REASON_NOT_READY,     /* it never said READY */
	REASON_CRASHED,	      /* READY, then it ended or was restarted */
	REASON_WRONG_VERSION, /* it says that it is another version */
	REASON_UNHEALTHY,     /* the probe says that it does worse than before */
	REASON_CANNOT_REACH,  /* the server that the old version reaches */
	REASON_PROBE_FAILED,  /* the probe itself could not be run or timed out */
	/* ends */
	REASON_INTERRUPTED, /* a crash, power cut or shut-down; it was undone or finished */
	REASON_OPERATOR,    /* a person asked for the roll back */
	REASON_INTERNAL,
	_REASON_MAX,
};

/* Names as in the protocol: "tar-escape". NULL for values outside the range. */
const char *step_name(enum step step);
const char *outcome_name(enum outcome outcome);
const char *reason_name(enum reason reason);
/* One sentence for people: what it means and, where something can be done, what. */
const char *reason_help(enum reason reason);
/* The reverse; -1 if there is no such name. */
int step_from_name(const char *name);
int outcome_from_name(const char *name);
int reason_from_name(const char *name);

/* For errors of the file system and memory: -ENOSPC → REASON_NO_SPACE and so on, else REASON_IO. */
enum reason reason_from_errno(int error);

#endif

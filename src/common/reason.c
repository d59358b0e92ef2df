/* SPDX-License-Identifier: Apache-2.0 */
#include "common/reason.h"

#include <errno.h>
#include <stddef.h>
#include <string.h>

#include "common/cleanup.h"

static const char *const step_names[] = {
	[STEP_NONE] = "none",	  [STEP_QUERY] = "query",     [STEP_TRUST] = "trust",
	[STEP_FETCH] = "fetch",	  [STEP_CHECK] = "check",     [STEP_STAGE] = "stage",
	[STEP_BACKUP] = "backup", [STEP_SWAP] = "swap",	      [STEP_RESTART] = "restart",
	[STEP_PROBE] = "probe",	  [STEP_CONFIRM] = "confirm", [STEP_ROLLBACK] = "rollback",
	[STEP_REPORT] = "report", [STEP_WAIT] = "wait",
};
_Static_assert(ELEMENTSOF(step_names) == _STEP_MAX, "a step has no name");

static const char *const outcome_names[] = {
	[OUTCOME_NONE] = "none",
	[OUTCOME_CONFIRMED] = "confirmed",
	[OUTCOME_ROLLED_BACK] = "rolled_back",
	[OUTCOME_FAILED] = "failed",
	[OUTCOME_REFUSED] = "refused",
	[OUTCOME_POSTPONED] = "postponed",
};
_Static_assert(ELEMENTSOF(outcome_names) == _OUTCOME_MAX, "an outcome has no name");

static const char *const reason_names[] = {
	[REASON_NONE] = "none",
	[REASON_NETWORK] = "network",
	[REASON_SERVER_ERROR] = "server-error",
	[REASON_BAD_ANSWER] = "bad-answer",
	[REASON_RANGE_IGNORED] = "range-ignored",
	[REASON_FILE_CHANGED] = "file-changed",
	[REASON_SEGMENT_HASH] = "segment-hash",
	[REASON_BAD_SIGNATURE] = "bad-signature",
	[REASON_BAD_METADATA] = "bad-metadata",
	[REASON_EXPIRED] = "expired",
	[REASON_METADATA_ROLLBACK] = "metadata-rollback",
	[REASON_NO_TARGET] = "no-target",
	[REASON_HASH] = "hash",
	[REASON_LENGTH] = "length",
	[REASON_WRONG_PROGRAM] = "wrong-program",
	[REASON_WRONG_ARCH] = "wrong-arch",
	[REASON_WRONG_MODEL] = "wrong-model",
	[REASON_OLDER_VERSION] = "older-version",
	[REASON_QUARANTINED] = "quarantined",
	[REASON_NOT_NOW] = "not-now",
	[REASON_HELD] = "held",
	[REASON_REQUIRES] = "requires",
	[REASON_BASE_DIFFERS] = "base-differs",
	[REASON_BAD_PATCH] = "bad-patch",
	[REASON_TAR_MALFORMED] = "tar-malformed",
	[REASON_TAR_ESCAPE] = "tar-escape",
	[REASON_TAR_LINK] = "tar-link",
	[REASON_TAR_SPECIAL] = "tar-special",
	[REASON_TAR_SETID] = "tar-setid",
	[REASON_TAR_TOO_BIG] = "tar-too-big",
	[REASON_TAR_CONTENT] = "tar-content",
	[REASON_NO_SPACE] = "no-space",
	[REASON_IO] = "io",
	[REASON_NO_MEMORY] = "no-memory",
	[REASON_DAMAGED] = "damaged",
	[REASON_BUSY] = "busy",
	[REASON_NO_PREVIOUS] = "no-previous",
	[REASON_EXITED] = "exited",
	[REASON_NOT_READY] = "not-ready",
	[REASON_CRASHED] = "crashed",
	[REASON_WRONG_VERSION] = "wrong-version",
	[REASON_UNHEALTHY] = "unhealthy",
	[REASON_CANNOT_REACH] = "cannot-reach",
	[REASON_PROBE_FAILED] = "probe-failed",
	[REASON_INTERRUPTED] = "interrupted",
	[REASON_OPERATOR] = "operator",
	[REASON_INTERNAL] = "internal",
};
_Static_assert(ELEMENTSOF(reason_names) == _REASON_MAX, "a reason has no name");

static const char *const reason_helps[] = {
	[REASON_NONE] = "Nothing went wrong.",
	[REASON_NETWORK] =
		"The server could not be reached, did not answer in time, or could not "
		"prove who it is (TLS). The next run tries again; if it lasts, check the "
		"link, the clock, and ca_file=.",
	[REASON_SERVER_ERROR] = "The server answered with an error status. The next run tries "
				"again; the server's log tells more.",
	[REASON_BAD_ANSWER] = "The server's answer is not what the protocol says. Check that url= "
			      "names a query server and that nothing in between rewrites answers.",
	[REASON_RANGE_IGNORED] = "The file server sends whole files when asked for a part. Use a "
				 "file server that honours Range requests.",
	[REASON_FILE_CHANGED] = "The file on the file server changed while it was fetched. Publish "
				"files before the metadata that names them, and never change them.",
	[REASON_SEGMENT_HASH] = "A segment arrived with wrong bytes twice. Check the file on the "
				"file server, and any cache on the way to it.",
	[REASON_BAD_SIGNATURE] = "Metadata of the repository is not signed by enough of the keys "
				 "that may sign it. Somebody may be in between, or the repository "
				 "was signed with other keys.",
	[REASON_BAD_METADATA] =
		"Metadata of the repository is malformed, or its files do not agree "
		"with each other. Publish the repository again.",
	[REASON_EXPIRED] = "Metadata of the repository is past its date. Sign and publish it anew; "
			   "check that the copy on the file server is kept up to date.",
	[REASON_METADATA_ROLLBACK] = "Metadata of the repository is older than what this gateway "
				     "has seen before. An old copy is being served, perhaps on "
				     "purpose.",
	[REASON_NO_TARGET] = "The query server offers a file that the repository's signed metadata "
			     "does not authorise. Publish the release, or correct the server.",
	[REASON_HASH] = "The program file is not the one that was signed. Check the file on the "
			"file server.",
	[REASON_LENGTH] = "The program file does not have the length that was signed. Check the "
			  "file on the file server.",
	[REASON_WRONG_PROGRAM] = "The file is a release of another program than the one it was "
				 "offered for.",
	[REASON_WRONG_ARCH] = "The release was built for another architecture than this gateway's.",
	[REASON_WRONG_MODEL] = "The release is not meant for this model of gateway.",
	[REASON_OLDER_VERSION] =
		"The version is not newer than the one that runs, or is below the "
		"newest one that was ever confirmed here. To go back, use updaterd "
		"--rollback.",
	[REASON_QUARANTINED] = "This version failed here before, or a person rolled it back. "
			       "Publish a new version, or let it in again with updaterd "
			       "--clear-quarantine.",
	[REASON_NOT_NOW] = "The program said that now is no good time, or the network is metered "
			   "and the file large. The next run asks again.",
	[REASON_HELD] =
		"A person holds the program: it is not upgraded until then, or until updaterd "
		"--unhold.",
	[REASON_REQUIRES] = "The release needs a newer version of the other program first.",
	[REASON_BASE_DIFFERS] =
		"The patch starts from other bytes than those that run here: another "
		"version, or another build of it. The full file is fetched instead.",
	[REASON_BAD_PATCH] = "The patch is the one that was signed, and does not make the release "
			     "that was signed. The full file is fetched instead; make the patch "
			     "again, and see what bms-release verify says.",
	[REASON_TAR_MALFORMED] = "The content of the program file is not a release's tar, or not "
				 "exactly the form that bms-release writes.",
	[REASON_TAR_ESCAPE] = "The release has a path that leads out of its directory.",
	[REASON_TAR_LINK] = "The release has a symbolic or hard link; only regular files are "
			    "allowed.",
	[REASON_TAR_SPECIAL] = "The release has a device, a FIFO, a directory entry or an extended "
			       "header; only regular files are allowed.",
	[REASON_TAR_SETID] = "The release has a file with a set-user-id, set-group-id or sticky "
			     "bit.",
	[REASON_TAR_TOO_BIG] = "The release unpacks to more bytes or files than are allowed; see "
			       "max_program_bytes=.",
	[REASON_TAR_CONTENT] = "A file of the release is not as its release.json says.",
	[REASON_NO_SPACE] = "There is not enough free space, or there are not enough free inodes. "
			    "Make room on the file system of the space.",
	[REASON_IO] = "Reading or writing a file failed. The kernel's log tells whether the disk "
		      "is at fault.",
	[REASON_NO_MEMORY] = "There was not enough memory. The next run tries again.",
	[REASON_DAMAGED] = "The running release or its backup does not match its manifest: files "
			   "were changed by hand, or the disk loses data. The running release is "
			   "repaired with its program file if the server has it.",
	[REASON_BUSY] = "Another upgrade or roll back is under way. Wait until it has ended.",
	[REASON_NO_PREVIOUS] = "There is no kept previous version to roll back to.",
	[REASON_EXITED] = "The new version ended as soon as it was started. Its log tells why.",
	[REASON_NOT_READY] = "The new version was started, and did not say in time that it is "
			     "ready. Its log tells why; see ready_timeout_sec=.",
	[REASON_CRASHED] = "The new version was ready, and then it ended or was restarted. Its log "
			   "tells why.",
	[REASON_WRONG_VERSION] = "The program that runs says that it is another version than the "
				 "one that was installed. The release was built wrongly.",
	[REASON_UNHEALTHY] = "The new version does worse than the one before it; the detail says "
			     "in what.",
	[REASON_CANNOT_REACH] = "The new version cannot reach the server, and the old one can. "
				"Its log tells why.",
	[REASON_PROBE_FAILED] = "The probe could not be run, or gave no answer in time. Check "
				"probe= and probe_user=.",
	[REASON_INTERRUPTED] =
		"A crash, a power cut or a shut-down came in between, and what had begun was "
		"undone or finished. The next run tries again.",
	[REASON_OPERATOR] = "A person asked for the roll back.",
	[REASON_INTERNAL] = "The updater itself is at fault. Please report it with its log.",
};
_Static_assert(ELEMENTSOF(reason_helps) == _REASON_MAX, "a reason has no explanation");

static const char *word(const char *const *words, size_t n, unsigned index)
{
	return index < n ? words[index] : NULL;
}

static int find(const char *const *words, size_t n, const char *name)
{
	for (size_t i = 0; i < n; i++)
		if (strcmp(words[i], name) == 0)
			return (int)i;
	return -1;
}

const char *step_name(enum step step)
{
	return word(step_names, ELEMENTSOF(step_names), step);
}

const char *outcome_name(enum outcome outcome)
{
	return word(outcome_names, ELEMENTSOF(outcome_names), outcome);
}

const char *reason_name(enum reason reason)
{
	return word(reason_names, ELEMENTSOF(reason_names), reason);
}

const char *reason_help(enum reason reason)
{
	return word(reason_helps, ELEMENTSOF(reason_helps), reason);
}

int step_from_name(const char *name)
{
	return find(step_names, ELEMENTSOF(step_names), name);
}

int outcome_from_name(const char *name)
{
	return find(outcome_names, ELEMENTSOF(outcome_names), name);
}

int reason_from_name(const char *name)
{
	return find(reason_names, ELEMENTSOF(reason_names), name);
}

enum reason reason_from_errno(int error)
{
	switch (error < 0 ? -error : error) {
	case 0: return REASON_NONE;
	case ENOSPC:
	case EDQUOT: return REASON_NO_SPACE;
	case ENOMEM: return REASON_NO_MEMORY;
	/* What manifest_check_tree() says, and a file system of its own structures. */
	case EUCLEAN: return REASON_DAMAGED;
	default: return REASON_IO;
	}
}

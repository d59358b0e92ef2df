/* SPDX-License-Identifier: Apache-2.0 */
/*
 * updaterd.conf(5) in memory. Read by both halves; it holds no secrets. Every key has a default, so
 * a file with only [server] url and the identity works. Keys, ranges and reasons: etc/updaterd.conf.
 */
#ifndef UPDATERD_CONF_H
#define UPDATERD_CONF_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/cleanup.h"
#include "tuf/client.h"

#define CONF_PATH	  "/etc/updaterd/updaterd.conf"
#define CONF_MAX_PROGRAMS 4
#define CONF_OWN_LETTER	  'A' /* the program that is updaterd itself */

/* The system bus (docs/PROTOCOL.md). */
#define UPDATER_BUS_NAME  "org.bmsgateway.Updater1"
#define UPDATER_BUS_PATH  "/org/bmsgateway/Updater1"
#define UPDATER_BUS_IFACE "org.bmsgateway.Updater1"

/* One section [program X]. */
struct conf_program {
	char letter;   /* 'A' is updaterd itself */
	char *name;    /* for people: "bmsd" */
	char *space;   /* "/opt/bmsd" */
	char *factory; /* release directory shipped by the package; NULL: none */
	char *unit;    /* restarted after a swap; NULL: none */
	char *probe;   /* command line, "{release}" is expanded; NULL: only the unit is watched */
	char *probe_user; /* runs the probe */
	char *trial_unit; /* runs once after a swap, in the place of the probe: updater_trial.h */
	uint64_t ready_timeout_sec; /* the unit must be active (READY=1 for Type=notify) by then */
	uint64_t probe_timeout_sec; /* the probe must have said yes by then, counted from ready */
	uint64_t settle_sec;	    /* and nothing may go wrong for this long after READY */
	uint64_t postpone_max_sec;  /* after so long of "not now" people are told */
	/* trial_unit, where neither the new nor the old one reaches the server: the first pause, and how
	 * long all of it may take */
	uint64_t trial_retry_sec, trial_extend_max_sec;
};

struct conf {
	/* [server] */
	char *url;     /* base URL of the query server, https */
	char *ca_file; /* trust only these CAs; NULL: the system's */
	char *client_cert;
	char *client_key;
	char *allowed_hosts; /* space separated; file servers an offer may name beside url's host */
	/* [gateway] */
	char *identity_type;  /* imei, machine-id, name */
	char *identity_value; /* one of value, file, command; machine-id needs none */
	char *identity_file;
	char *identity_command;
	char *model;
	char *arch; /* as dpkg names it; default: what this was built for */
	/* [network]: what the file does not say is the preset's (updaterd/network.h) */
	char *network_type;
	uint64_t segment_bytes;
	uint64_t in_flight; /* requests at a time */
	uint64_t connect_timeout_sec;
	uint64_t request_timeout_sec;
	uint64_t low_speed_bytes_per_sec;
	uint64_t low_speed_sec;
	uint64_t rate_limit_bytes_per_sec; /* 0: none */
	uint64_t attempts;		   /* requests in a row that may bring nothing */
	uint64_t query_timeout_sec;	   /* each phase as a whole: the question, … */
	uint64_t metadata_timeout_sec;	   /* … what is signed, … */
	uint64_t fetch_timeout_sec;	   /* … a program file, … */
	uint64_t result_timeout_sec;	   /* … and the results that are sent */
	char *proxy;
	char *interface;
	char *metered; /* yes, no, auto: as metered_command says */
	char *metered_command;
	uint64_t metered_max_bytes; /* 0: none */
	/* [backup] */
	char *backup_where;	     /* local, server, both */
	uint64_t upload_timeout_sec; /* in one run */
	/* [trust] */
	char *root_file; /* the root that trust starts from: "/etc/updaterd/root.json" */
	/* 0: the TUF client's own */
	uint64_t max_root_bytes, max_timestamp_bytes, max_snapshot_bytes, max_targets_bytes;
	/* [limits] */
	uint64_t max_program_bytes; /* program file, and tar */
	/* [paths]: for tests and unusual layouts */
	char *agent_dir;     /* "/var/lib/updaterd/agent" */
	char *installer_dir; /* "/var/lib/updaterd/installer" */
	char *agent_user;    /* "updaterd" */

	struct conf_program programs[CONF_MAX_PROGRAMS]; /* sorted by letter */
	size_t n_programs;
};

/* Defaults, then the file. -EINVAL, -ENOENT with a sentence in *ret_error (caller frees). */
_must_check_ int conf_load(const char *path, struct conf **ret, char **ret_error);
struct conf *conf_free(struct conf *c);
DEFINE_CLEANUP(struct conf *, conf_free);

/* NULL if the configuration has no such program. */
const struct conf_program *conf_program(const struct conf *c, char letter);

/* What a repository may cost, for the TUF client of both halves. */
struct tuf_limits conf_tuf_limits(const struct conf *c);

/* A time that had certainly come when this release was built. */
int64_t conf_build_time_sec(void);
/* Effective time for judging what is signed: max(system clock, time of the build, last_trusted_sec).
 * See updaterd/update_time.h. */
int64_t conf_effective_time_sec(int64_t last_trusted_sec);

#endif

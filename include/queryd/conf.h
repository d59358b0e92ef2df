/* SPDX-License-Identifier: Apache-2.0 */
/*
 * queryd.conf(5) in memory, for queryd and queryctl. Keys, ranges and reasons: etc/queryd.conf.
 */
#ifndef QUERYD_CONF_H
#define QUERYD_CONF_H

#include <stdbool.h>
#include <stdint.h>

#include "common/cleanup.h"

/* Gateways tell of their backups once a week; what is kept for less would come and go. */
#define QUERYD_CONF_MIN_KEEP_DAYS 14

#define QUERYD_CONF_PATH "/etc/queryd/queryd.conf"

struct queryd_conf {
	/* [listen] */
	char *address; /* "*": every address of both families */
	uint64_t port; /* 0: any free one, told in the log (for tests) */
	char *cert;    /* PEM files; NULL: no TLS listener */
	char *key;
	bool allow_plain_loopback; /* no TLS on address and port, which must be loopback then */
	char *unix_socket;	   /* NULL: none */
	/* [repository] */
	char *repository;
	char *trusted_root;
	char *file_server; /* base URL named in offers; NULL: the gateway uses our own */
	bool serve;	   /* /metadata and /targets */
	/* [store] */
	char *store;
	/* [backup] */
	char *backup_path;		 /* the directory; by default "backups" beside the store */
	uint64_t backup_max_file_bytes;	 /* 0: none is taken, but by reference */
	uint64_t backup_max_per_gateway; /* backups */
	uint64_t backup_max_total_bytes;
	uint64_t backup_keep_days; /* since the gateway last told of it; 0: for ever */
	/* [admin] */
	char *token_file; /* NULL: /v1/admin is closed */
	/* [limits] */
	uint64_t body_bytes;
	uint64_t connections;
	uint64_t connections_per_address; /* 0: no limit of its own */
	uint64_t timeout_sec;		  /* without a byte from the client */
	uint64_t drain_sec;		  /* to answer what came before the stop */
	uint64_t threads;		  /* of each listener */
};

/* Defaults, then the file. -EINVAL, -ENOENT and so on with a sentence in *ret_error (caller frees). */
_must_check_ int queryd_conf_load(const char *path, struct queryd_conf **ret, char **ret_error);
/* The defaults alone. */
_must_check_ int queryd_conf_default(struct queryd_conf **ret);
struct queryd_conf *queryd_conf_free(struct queryd_conf *c);
DEFINE_CLEANUP(struct queryd_conf *, queryd_conf_free);

/* True for the addresses that only this machine can reach. */
bool queryd_conf_is_loopback(const char *address);

#endif

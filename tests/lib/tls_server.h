/* SPDX-License-Identifier: Apache-2.0 */
/*
 * An HTTPS server that says exactly what a test tells it to: one canned answer after another, byte
 * for byte, over real TLS on the loopback. It is a process of its own, with one more for each
 * connection, which end with the test.
 */
#ifndef TESTS_TLS_SERVER_H
#define TESTS_TLS_SERVER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "common/cleanup.h"

enum tls_then {
	TLS_KEEP = 0, /* wait for the next request on the same connection */
	TLS_CLOSE,    /* shut TLS down and close */
	TLS_DROP,     /* close without a word */
	TLS_REPEAT,   /* send `again` for as long as anybody listens */
	TLS_STALL,    /* say nothing more, and keep the connection */
};

struct tls_answer {
	const char *bytes;
	size_t size; /* 0: strlen(bytes) */
	enum tls_then then;
	const char *again;
};

/* Keys and certificates in a directory: ca.pem, other-ca.pem (signed nothing), and for the name of
 * tls_make_pki() server.pem, for a client client.pem; the .key beside each. */
_must_check_ int tls_make_pki(const char *directory);
/* One more server certificate, `name`.pem and `name`.key, for these subjectAltNames
 * ("DNS:a,IP:127.0.0.1") and so many seconds from now. */
_must_check_ int tls_make_certificate(const char *directory, const char *name,
				      const char *alt_names, long valid_sec);

struct tls_server_options {
	const char *pki_directory;
	const char *certificate; /* NULL: "server", which is for localhost and 127.0.0.1 */
	const char *unix_socket; /* listen here, and without TLS; NULL: 127.0.0.1, any port */
	bool tls11_only;
	const struct tls_answer
		*babble; /* says this instead of TLS, and closes; NULL: it speaks TLS */
	bool wants_client_certificate;
};

struct tls_server {
	pid_t pid;
	char url[64]; /* https://127.0.0.1:port */
	struct tls_server_seen {
		unsigned connections; /* accepted */
		unsigned resumed;     /* of them, by an earlier TLS session */
		unsigned requests;
		unsigned next;	     /* answer */
		char request[16384]; /* the last one: head and body */
	} * seen;		     /* shared with the server's process */
};

/* After the last answer it is given again. Answers are copied by the fork. */
_must_check_ int tls_server_start(const struct tls_server_options *options,
				  const struct tls_answer *answers, size_t n_answers,
				  struct tls_server *ret);
void tls_server_stop(struct tls_server *s);

#endif

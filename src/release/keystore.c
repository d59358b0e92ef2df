/* SPDX-License-Identifier: Apache-2.0 */
#include "release/keystore.h"

#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>

#include "release/passphrase.h"
#include "release/repository.h"
#include "tuf/key.h"

struct keystore {
	int fd;
	struct signer_secrets secrets;
};

struct keystore *keystore_close(struct keystore *k)
{
	if (!k)
		return NULL;
	close_fd(&k->fd);
	signer_secrets_done(&k->secrets);
	free(k);
	return NULL;
}

static int check_mode(int fd, struct problem *problem)
{
	struct stat st;

	if (fstat(fd, &st) < 0)
		return problem_set(problem, -errno, "cannot read '" REPOSITORY_KEYS "/': %m");
	if (st.st_mode & 077)
		return problem_set(problem, -EPERM,
				   "'" REPOSITORY_KEYS "/' is open to other users (mode %04o); "
				   "run 'chmod -R go= " REPOSITORY_KEYS "'",
				   st.st_mode & 07777);
	return 0;
}

int keystore_open(int repofd, const char *passphrase_file, const char *pin_file,
		  struct keystore **ret, struct problem *problem)
{
	_cleanup_(keystore_closep) struct keystore *k = calloc(1, sizeof *k);
	int r;

	if (!k)
		return problem_no_memory(problem);
	k->fd = openat(repofd, REPOSITORY_KEYS, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	if (k->fd < 0)
		return problem_set(problem, -errno, "cannot open '" REPOSITORY_KEYS "/': %m");
	r = check_mode(k->fd, problem);
	if (r < 0)
		return r;
	k->secrets.passphrase_file = passphrase_file;
	k->secrets.pin_file = pin_file;
	*ret = TAKE_PTR(k);
	return 0;
}

int keystore_new_passphrase(struct keystore *k, struct problem *problem)
{
	return passphrase_read(k->secrets.passphrase_file, true, &k->secrets.passphrase, problem);
}

static void public_name(const char *role, char ret[REPOSITORY_NAME_BYTES])
{
	(void)snprintf(ret, REPOSITORY_NAME_BYTES, "%s.pub.pem", role);
}

int keystore_generate(struct keystore *k, const char *role, bool encrypted, struct problem *problem)
{
	_cleanup_(signer_freep) struct signer *s = NULL;
	int r;

	r = signer_generate(SIGNER_ED25519, &s);
	if (r < 0)
		return problem_set(problem, r, "cannot make a key for %s: %s", role, strerror(-r));
	r = signer_save(s, k->fd, role, encrypted ? k->secrets.passphrase : NULL);
	if (r == 0)
		r = signer_save_public(s, k->fd, role);
	return r < 0 ? problem_set(problem, r, "cannot write '" REPOSITORY_KEYS "/%s.pem': %s",
				   role, strerror(-r))
		     : 0;
}

/* A private key that does not belong to the public one would sign metadata that nobody accepts. */
static int check_pair(const struct keystore *k, const char *role, const struct signer *s,
		      struct problem *problem)
{
	_cleanup_(keystore_key_done) struct keystore_key key = { 0 };
	int r = keystore_public(k, role, &key, problem);

	if (r < 0)
		return r;
	if (strcmp(key.id, signer_id(s)) != 0)
		return problem_set(problem, -EKEYREJECTED,
				   "'" REPOSITORY_KEYS "/%s.pem' and '%s.pub.pem' are not one pair",
				   role, role);
	return 0;
}

int keystore_signer(struct keystore *k, const char *role, struct signer **ret,
		    struct problem *problem)
{
	_cleanup_(signer_freep) struct signer *s = NULL;
	struct problem inner = { 0 };
	int r = signer_open(k->fd, role, &k->secrets, &s, &inner);

	if (r == -ENOENT)
		return problem_set(problem, r,
				   "the private key of %s is not here; put it at '" REPOSITORY_KEYS
				   "/%s.pem'",
				   role, role);
	if (r < 0)
		return problem_set(problem, r, "the key of %s: %s", role, inner.text);
	r = check_pair(k, role, s, problem);
	if (r < 0)
		return r;
	*ret = TAKE_PTR(s);
	return 0;
}

void keystore_key_done(struct keystore_key *key)
{
	cJSON_Delete(key->object);
	key->object = NULL;
}

int keystore_public(const struct keystore *k, const char *role, struct keystore_key *ret,
		    struct problem *problem)
{
	_cleanup_(keystore_key_done) struct keystore_key key = { 0 };
	enum signer_place place = SIGNER_ELSEWHERE;
	char name[REPOSITORY_NAME_BYTES];
	int r;

	public_name(role, name);
	r = signer_load_public(k->fd, name, &key.object);
	if (r == 0)
		r = tuf_key_id(key.object, key.id);
	if (r < 0)
		return problem_set(problem, r, "cannot read '" REPOSITORY_KEYS "/%s': %s", name,
				   r == -EBADMSG || r == -ENOTSUP ? "no public key in PEM"
								  : strerror(-r));
	r = signer_find(k->fd, role, &place);
	if (r < 0)
		return problem_set(problem, r, "cannot read '" REPOSITORY_KEYS "/%s.pem': %s", role,
				   strerror(-r));
	key.has_private = place != SIGNER_ELSEWHERE;
	key.encrypted = place == SIGNER_ENCRYPTED;
	*ret = key;
	key.object = NULL;
	return 0;
}

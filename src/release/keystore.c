/* SPDX-License-Identifier: Apache-2.0 */
#include "release/keystore.h"

#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>

#include "common/fsutil.h"
#include "common/log.h"
#include "release/passphrase.h"
#include "release/repository.h"
#include "tuf/key.h"

#define PUBLIC_ENDING ".pub.pem"
#define PEM_MAX_BYTES (16u << 10)

struct entry {
	struct keystore_key key;
	struct signer *signer; /* once it was needed */
	char *from;	       /* the file that keystore_commit() copies to keys/ */
};

struct keystore {
	int fd;
	struct signer_secrets secrets;
	struct entry *entries; /* by name; read when first asked for */
	size_t n_entries;
	bool is_read;
};

void keystore_key_done(struct keystore_key *key)
{
	cJSON_Delete(key->object);
	key->object = NULL;
}

static void forget(struct keystore *k)
{
	for (size_t i = 0; i < k->n_entries; i++) {
		keystore_key_done(&k->entries[i].key);
		signer_free(k->entries[i].signer);
		free(k->entries[i].from);
	}
	free(k->entries);
	k->entries = NULL;
	k->n_entries = 0;
	k->is_read = false;
}

struct keystore *keystore_close(struct keystore *k)
{
	if (!k)
		return NULL;
	forget(k);
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

/* ---- making keys ---- */

int keystore_new_passphrase(struct keystore *k, struct problem *problem)
{
	return passphrase_read(k->secrets.passphrase_file, "the new keys", true,
			       &k->secrets.passphrase, problem);
}

int keystore_generate(struct keystore *k, const char *name, bool encrypted, struct problem *problem)
{
	_cleanup_(signer_freep) struct signer *s = NULL;
	int r;

	r = signer_generate(SIGNER_ED25519, &s);
	if (r < 0)
		return problem_set(problem, r, "cannot make a key for %s: %s", name, strerror(-r));
	r = signer_save(s, k->fd, name, encrypted ? k->secrets.passphrase : NULL);
	if (r == 0)
		r = signer_save_public(s, k->fd, name);
	if (r < 0)
		return problem_set(problem, r, "cannot write the key '" REPOSITORY_KEYS "/%s': %s",
				   name, strerror(-r));
	forget(k);
	return 0;
}

/* ---- what is there ---- */

static int load_public(int dirfd, const char *file, struct keystore_key *ret,
		       struct problem *problem)
{
	int r = signer_load_public(dirfd, file, &ret->object);

	if (r == 0)
		r = tuf_key_id(ret->object, ret->id);
	if (r == -EBADMSG)
		return problem_set(problem, r, "'%s' is no public key in PEM", file);
	if (r == -ENOTSUP)
		return problem_set(problem, r,
				   "'%s' is no key that gateways accept: Ed25519, ECDSA P-256, "
				   "ECDSA P-384 and RSA of 2048 to 8192 bits are",
				   file);
	return r < 0 ? problem_set(problem, r, "cannot read '%s': %s", file, strerror(-r)) : 0;
}

/* "alice.pub.pem" → "alice"; false for other files. */
static bool name_of_file(const char *file, char ret[SIGNER_NAME_MAX_LENGTH + 1])
{
	size_t length = strlen(file), ending = strlen(PUBLIC_ENDING);

	if (length <= ending || strcmp(file + length - ending, PUBLIC_ENDING) != 0 ||
	    length - ending > SIGNER_NAME_MAX_LENGTH)
		return false;
	(void)snprintf(ret, SIGNER_NAME_MAX_LENGTH + 1, "%.*s", (int)(length - ending), file);
	return signer_name_is_valid(ret);
}

static int find_private(const struct keystore *k, struct keystore_key *key, struct problem *problem)
{
	enum signer_place place = SIGNER_ELSEWHERE;
	int r = signer_find(k->fd, key->name, &place);

	if (r < 0 && r != -ENOENT)
		return problem_set(problem, r, "cannot read '" REPOSITORY_KEYS "/%s.pem': %s",
				   key->name, strerror(-r));
	key->has_private = r == 0 && place != SIGNER_ELSEWHERE;
	key->encrypted = key->has_private && place == SIGNER_ENCRYPTED;
	key->in_token = key->has_private && place == SIGNER_TOKEN;
	return 0;
}

/* NULL when out of memory. */
static struct entry *new_entry(struct keystore *k, const char *name)
{
	struct entry *grown = reallocarray(k->entries, k->n_entries + 1, sizeof *grown);

	if (!grown)
		return NULL;
	k->entries = grown;
	grown += k->n_entries;
	*grown = (struct entry){ 0 };
	(void)snprintf(grown->key.name, sizeof grown->key.name, "%s", name);
	return grown;
}

static int add_entry(struct keystore *k, const char *name, const char *file,
		     struct problem *problem)
{
	struct entry *entry = new_entry(k, name);
	struct problem inner = { 0 };
	int r;

	if (!entry)
		return problem_no_memory(problem);
	r = load_public(k->fd, file, &entry->key, &inner);
	if (r < 0)
		r = problem_set(problem, r, "in '" REPOSITORY_KEYS "/': %.900s", inner.text);
	else
		r = find_private(k, &entry->key, problem);
	if (r < 0) {
		keystore_key_done(&entry->key);
		return r;
	}
	k->n_entries++;
	return 0;
}

static int compare_entries(const void *a, const void *b)
{
	const struct entry *x = a, *y = b;

	return strcmp(x->key.name, y->key.name);
}

static int read_entries(struct keystore *k, struct problem *problem)
{
	_cleanup_dir_ DIR *d = NULL;
	const char *file;
	int r;

	if (k->is_read)
		return 0;
	forget(k);
	r = fs_open_dir(k->fd, ".", &d);
	if (r < 0)
		return problem_set(problem, r, "cannot read '" REPOSITORY_KEYS "/': %s",
				   strerror(-r));
	while ((file = fs_next_name(d))) {
		char name[SIGNER_NAME_MAX_LENGTH + 1];

		if (!name_of_file(file, name))
			continue;
		r = add_entry(k, name, file, problem);
		/* One bad file must not make all the keys seem to be missing. */
		if (r == -EBADMSG || r == -ENOTSUP)
			log_warning("%s; it is passed over", problem->text);
		else if (r < 0)
			return r;
	}
	if (errno)
		return problem_set(problem, -errno, "cannot read '" REPOSITORY_KEYS "/': %m");
	if (k->n_entries > 0)
		qsort(k->entries, k->n_entries, sizeof *k->entries, compare_entries);
	k->is_read = true;
	return 0;
}

static struct entry *find_entry(struct keystore *k, const char *id)
{
	struct entry *found = NULL;

	for (size_t i = 0; i < k->n_entries; i++) {
		struct entry *entry = &k->entries[i];

		if (strcmp(entry->key.id, id) == 0 &&
		    (!found || (!found->key.has_private && entry->key.has_private)))
			found = entry;
	}
	return found;
}

const struct keystore_key *keystore_find(struct keystore *k, const char *id)
{
	struct problem problem = { 0 };
	struct entry *entry;

	if (read_entries(k, &problem) < 0) {
		log_debug("%s", problem.text);
		return NULL;
	}
	entry = find_entry(k, id);
	return entry ? &entry->key : NULL;
}

void keystore_label(struct keystore *k, const char *id, char ret[KEYSTORE_LABEL_BYTES])
{
	const struct keystore_key *key = keystore_find(k, id);

	(void)snprintf(ret, KEYSTORE_LABEL_BYTES, "%s%s%.*s", key ? key->name : "", key ? " " : "",
		       KEYSTORE_SHORT_ID_LENGTH, id);
}

static int copy_key(const struct keystore_key *key, struct keystore_key *ret,
		    struct problem *problem)
{
	cJSON *object = cJSON_Duplicate(key->object, true);

	if (!object)
		return problem_no_memory(problem);
	*ret = *key;
	ret->object = object;
	return 0;
}

int keystore_public(struct keystore *k, const char *name, struct keystore_key *ret,
		    struct problem *problem)
{
	int r = read_entries(k, problem);

	if (r < 0)
		return r;
	for (size_t i = 0; i < k->n_entries; i++)
		if (strcmp(k->entries[i].key.name, name) == 0)
			return copy_key(&k->entries[i].key, ret, problem);
	return problem_set(problem, -ENOENT,
			   "there is no key '%s' in '" REPOSITORY_KEYS
			   "/'; 'bms-release keygen' makes one, and the file of a public key is "
			   "named with its '.pem'",
			   name);
}

/* "/media/stick/alice.pub.pem" → "alice". */
static int name_of_path(const char *path, char ret[SIGNER_NAME_MAX_LENGTH + 1],
			struct problem *problem)
{
	const char *slash = strrchr(path, '/');
	const char *base = slash ? slash + 1 : path;
	size_t length = strlen(base);

	if (length > 4 && strcmp(base + length - 4, ".pem") == 0)
		length -= 4;
	if (length > 4 && strncmp(base + length - 4, ".pub", 4) == 0)
		length -= 4;
	if (length <= SIGNER_NAME_MAX_LENGTH) {
		(void)snprintf(ret, SIGNER_NAME_MAX_LENGTH + 1, "%.*s", (int)length, base);
		if (signer_name_is_valid(ret))
			return 0;
	}
	return problem_set(problem, -EINVAL, "no key can be named after the file '%s'", path);
}

int keystore_resolve(struct keystore *k, const char *name_or_file, struct keystore_key *ret,
		     struct problem *problem)
{
	_cleanup_(keystore_key_done) struct keystore_key key = { 0 };
	size_t length = strlen(name_or_file);
	const struct keystore_key *known;
	int r;

	if (!strchr(name_or_file, '/') &&
	    !(length > 4 && strcmp(name_or_file + length - 4, ".pem") == 0))
		return keystore_public(k, name_or_file, ret, problem);
	r = load_public(AT_FDCWD, name_or_file, &key, problem);
	if (r < 0)
		return r;
	known = keystore_find(k, key.id);
	if (known)
		return copy_key(known, ret, problem);
	r = name_of_path(name_or_file, key.name, problem);
	if (r < 0)
		return r;
	*ret = key;
	key.object = NULL;
	return 0;
}

static int copy_pem(int dirfd, const char *from, const char *name)
{
	char to[SIGNER_NAME_MAX_LENGTH + sizeof PUBLIC_ENDING];
	_cleanup_free_ char *bytes = NULL;
	size_t size;
	int r;

	(void)snprintf(to, sizeof to, "%s" PUBLIC_ENDING, name);
	r = fs_read_file(AT_FDCWD, from, PEM_MAX_BYTES, &bytes, &size);
	return r < 0 ? r : fs_write_file_atomic(dirfd, to, bytes, size, 0644);
}

static int remember(struct keystore *k, const struct keystore_key *key, const char *file,
		    struct problem *problem)
{
	struct entry *entry = new_entry(k, key->name);

	if (!entry || copy_key(key, &entry->key, problem) < 0)
		return problem_no_memory(problem);
	entry->from = strdup(file);
	if (!entry->from) {
		keystore_key_done(&entry->key);
		return problem_no_memory(problem);
	}
	k->n_entries++;
	return 0;
}

int keystore_keep(struct keystore *k, const struct keystore_key *key, const char *file,
		  struct problem *problem)
{
	int r = read_entries(k, problem);

	if (r < 0)
		return r;
	if (find_entry(k, key->id))
		return 0;
	for (size_t i = 0; i < k->n_entries; i++)
		if (strcmp(k->entries[i].key.name, key->name) == 0)
			return problem_set(problem, -EEXIST,
					   "'" REPOSITORY_KEYS "/%s" PUBLIC_ENDING
					   "' is another key; give the file '%s' another name",
					   key->name, file);
	return remember(k, key, file, problem);
}

int keystore_commit(struct keystore *k, struct problem *problem)
{
	for (size_t i = 0; i < k->n_entries; i++) {
		struct entry *entry = &k->entries[i];
		int r;

		if (!entry->from)
			continue;
		r = copy_pem(k->fd, entry->from, entry->key.name);
		if (r < 0)
			return problem_set(problem, r,
					   "cannot copy '%s' to '" REPOSITORY_KEYS "/': %s",
					   entry->from, strerror(-r));
		free(TAKE_PTR(entry->from));
	}
	return 0;
}

/* ---- signing ---- */

/* A private key that does not belong to the public one would sign metadata that nobody accepts. */
static int open_signer(struct keystore *k, struct entry *entry, struct problem *problem)
{
	const struct keystore_key *key = &entry->key;
	_cleanup_(signer_freep) struct signer *s = NULL;
	int r;

	if (entry->signer)
		return 0;
	r = signer_open(k->fd, key->name, &k->secrets, &s, problem);
	if (r < 0)
		return r;
	if (strcmp(key->id, signer_id(s)) != 0)
		return problem_set(problem, -EKEYREJECTED,
				   "'" REPOSITORY_KEYS "/%s%s' and '%s" PUBLIC_ENDING
				   "' are not one pair",
				   key->name, key->in_token ? ".uri" : ".pem", key->name);
	entry->signer = TAKE_PTR(s);
	return 0;
}

int keystore_sign(struct keystore *k, const char *id, const void *bytes, size_t size,
		  char **ret_hex, struct problem *problem)
{
	struct entry *entry;
	int r = read_entries(k, problem);

	if (r < 0)
		return r;
	entry = find_entry(k, id);
	if (!entry || !entry->key.has_private)
		return problem_set(problem, -ENOENT, "the private key of %.*s is not here",
				   KEYSTORE_SHORT_ID_LENGTH, id);
	r = open_signer(k, entry, problem);
	if (r < 0)
		return r;
	r = signer_sign(entry->signer, bytes, size, ret_hex);
	return r < 0 ? problem_set(problem, r, "the key '%s' cannot sign: %s", entry->key.name,
				   strerror(-r))
		     : 0;
}

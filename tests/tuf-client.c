/* SPDX-License-Identifier: Apache-2.0 */
/*
 * tuf-client: the TUF client of this project (src/tuf) behind the command line that the public
 * conformance suite of The Update Framework drives. For tests only: it is not shipped, it allows
 * http://, and its clock is whatever time() says, so that a fake-time library governs it.
 *
 * In --metadata-dir is only what is trusted, under names without versions; in --target-dir each
 * artifact under its percent-encoded name, and nothing that failed its length or hash.
 */
#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <stdarg.h>
#include <string.h>
#include <time.h>

#include "common/digest.h"
#include "common/fsutil.h"
#include "common/http.h"
#include "common/log.h"
#include "tuf/client.h"

#define FILE_MODE		0644
#define DIRECTORY_MODE		0755
#define TARGET_MAX_BYTES	(256u << 20)
#define DEFAULT_TIMEOUT_SEC	60
#define CONNECT_TIMEOUT_SEC	10
#define LOW_SPEED_BYTES_PER_SEC 100

static const char help[] =
	"Usage: tuf-client --metadata-dir DIR init ROOT\n"
	"       tuf-client --metadata-dir DIR --metadata-url URL refresh\n"
	"       tuf-client --metadata-dir DIR --metadata-url URL\n"
	"                  --target-name PATH [--target-name PATH]... --target-base-url URL\n"
	"                  --target-dir DIR download\n"
	"A TUF client for conformance tests.\n"
	"\n"
	"  init ROOT   start trusting the root metadata in the file ROOT\n"
	"  refresh     bring the top-level metadata up to date\n"
	"  download    refresh, then fetch the artifacts that are not there yet\n"
	"\n"
	"  --metadata-dir DIR      trusted metadata: root.json, timestamp.json and so on\n"
	"  --metadata-url URL      where the repository's metadata is; http:// is allowed\n"
	"  --target-name PATH      an artifact, by its path in the metadata; repeatable\n"
	"  --target-base-url URL   where the repository's artifacts are\n"
	"  --target-dir DIR        gets each artifact under its percent-encoded path\n"
	"  --timeout SEC           give a request this long, instead of 60 seconds\n"
	"  --help\n"
	"\n"
	"Exit status: 0 done, 1 anything else.\n";

struct program {
	const char *metadata_dir;
	const char *metadata_url;
	const char *target_base_url;
	const char *target_dir;
	const char **target_names;
	size_t n_target_names;
	const char *timeout_text;
	uint64_t timeout_sec;

	int metadata_fd;
	int target_fd;
	struct http *http;
	struct tuf_source source;
	struct tuf_client *client;
};

static void program_done(struct program *p)
{
	(void)tuf_client_free(p->client);
	(void)http_free(p->http);
	close_fd(&p->metadata_fd);
	close_fd(&p->target_fd);
	free(p->target_names);
}

_printf_(2, 3) static int failed(int error, const char *format, ...)
{
	char text[512];
	va_list args;

	va_start(args, format);
	(void)vsnprintf(text, sizeof text, format, args);
	va_end(args);
	log_error("%s: %s", text, strerror(-error));
	return error;
}

/* ---- where the client's files are ---- */

/* Object stores answer 403 for what does not exist. */
static int fetch_url(struct program *p, const char *url, size_t max_bytes, char **ret_bytes,
		     size_t *ret_size)
{
	_cleanup_(http_response_done) struct http_response response = { 0 };
	int r;

	r = http_get(p->http, url, max_bytes, &response);
	if (r < 0)
		return r;
	if (response.status == 404 || response.status == 403)
		return -ENOENT;
	if (response.status != 200 || !response.body)
		return -EPROTO;
	*ret_size = response.body_size;
	*ret_bytes = TAKE_PTR(response.body);
	return 0;
}

static int source_fetch(void *userdata, const char *name, size_t max_bytes, char **ret_bytes,
			size_t *ret_size)
{
	struct program *p = userdata;
	_cleanup_free_ char *url = NULL;
	size_t length = strlen(p->metadata_url);

	while (length > 0 && p->metadata_url[length - 1] == '/')
		length--;
	if (asprintf(&url, "%.*s/%s", (int)length, p->metadata_url, name) < 0) {
		url = NULL;
		return -ENOMEM;
	}
	return fetch_url(p, url, max_bytes, ret_bytes, ret_size);
}

static int source_load(void *userdata, const char *name, size_t max_bytes, char **ret_bytes,
		       size_t *ret_size)
{
	const struct program *p = userdata;

	return fs_read_file(p->metadata_fd, name, max_bytes, ret_bytes, ret_size);
}

/* "7.root.json". No delegated role can have such a name. */
static bool is_versioned_root(const char *name)
{
	size_t digits = strspn(name, "0123456789");

	return digits > 0 && strcmp(name + digits, ".root.json") == 0;
}

static int source_store(void *userdata, const char *name, const void *bytes, size_t size)
{
	const struct program *p = userdata;

	if (is_versioned_root(name))
		return 0;
	if (size == 0)
		return fs_remove_tree(p->metadata_fd, name);
	return fs_write_file_atomic(p->metadata_fd, name, bytes, size, FILE_MODE);
}

/* ---- artifacts ---- */

static bool is_target(const struct tuf_target *target, const void *bytes, size_t size)
{
	uint8_t sha256[SHA256_BYTES], sha512[SHA512_BYTES];

	if (size != target->length || (!target->has_sha256 && !target->has_sha512))
		return false;
	if (target->has_sha256 && (digest_sha256(bytes, size, sha256) < 0 ||
				   memcmp(sha256, target->sha256, sizeof sha256) != 0))
		return false;
	return !target->has_sha512 || (digest_sha512(bytes, size, sha512) == 0 &&
				       memcmp(sha512, target->sha512, sizeof sha512) == 0);
}

/* A path as one file name: '/' is encoded too, so that no path leads out of the directory. */
static int file_name(const char *path, char **ret)
{
	static const char plain[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
				    "0123456789-._~";
	static const char hex[] = "0123456789ABCDEF";
	char *name, *out;

	if (strcmp(path, ".") == 0 || strcmp(path, "..") == 0)
		return -EINVAL;
	name = malloc(3 * strlen(path) + 1);
	if (!name)
		return -ENOMEM;
	for (out = name; *path; path++) {
		unsigned char c = (unsigned char)*path;

		if (strchr(plain, c)) {
			*out++ = *path;
			continue;
		}
		*out++ = '%';
		*out++ = hex[c >> 4];
		*out++ = hex[c & 15];
	}
	*out = '\0';
	*ret = name;
	return 0;
}

static bool is_there(const struct program *p, const char *name, const struct tuf_target *target)
{
	_cleanup_free_ char *bytes = NULL;
	size_t size;

	return fs_read_file(p->target_fd, name, (size_t)target->length, &bytes, &size) >= 0 &&
	       is_target(target, bytes, size);
}

static int fetch_target(struct program *p, const char *name, const struct tuf_target *target)
{
	_cleanup_free_ char *path = NULL, *url = NULL, *bytes = NULL;
	size_t size;
	int r;

	/* A leading slash would be lost in the URL, which then is another artifact's. */
	r = *target->path == '/' ? -EINVAL : tuf_client_target_file(p->client, target, &path);
	if (r >= 0)
		r = http_join_url(p->target_base_url, path, &url);
	if (r < 0)
		return failed(r, "'%s': no URL can be made of it", target->path);
	r = fetch_url(p, url, (size_t)target->length, &bytes, &size);
	if (r < 0)
		return failed(r, "'%s'", url);
	if (!is_target(target, bytes, size))
		return failed(-EBADMSG, "'%s' is not the artifact that was signed", url);
	r = fs_write_file_atomic(p->target_fd, name, bytes, size, FILE_MODE);
	if (r < 0)
		return failed(r, "'%s/%s'", p->target_dir, name);
	return 0;
}

static int download_target(struct program *p, const char *target_path)
{
	_cleanup_free_ char *name = NULL;
	struct tuf_target target;
	int r;

	r = tuf_client_find_target(p->client, target_path, &target);
	if (r < 0) {
		log_error("%s", tuf_client_error(p->client));
		return r;
	}
	if (target.length > TARGET_MAX_BYTES)
		return failed(-EFBIG, "'%s'", target_path);
	r = file_name(target_path, &name);
	if (r < 0)
		return failed(r, "'%s'", target_path);
	if (is_there(p, name, &target))
		return 0;
	return fetch_target(p, name, &target);
}

/* ---- the verbs ---- */

/* Made if it is not there. */
static int open_dir(const char *path, int *ret_fd)
{
	int fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);

	if (fd < 0 && errno == ENOENT) {
		int r = fs_mkdir_p(AT_FDCWD, path, DIRECTORY_MODE);

		if (r < 0)
			return failed(r, "'%s'", path);
		fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	}
	if (fd < 0)
		return failed(-errno, "'%s'", path);
	*ret_fd = fd;
	return 0;
}

static int trust_root(struct program *p, const char *name, const char *bytes, size_t size)
{
	int r;

	r = tuf_client_new(bytes, size, time(NULL), &p->source, NULL, &p->client);
	if (r < 0)
		return failed(r, "'%s' is no valid root", name);
	return 0;
}

static int init(struct program *p, const char *root_file)
{
	_cleanup_free_ char *bytes = NULL;
	size_t size;
	int r;

	r = fs_read_file(AT_FDCWD, root_file, TUF_ROOT_MAX_BYTES, &bytes, &size);
	if (r < 0)
		return failed(r, "'%s'", root_file);
	r = trust_root(p, root_file, bytes, size);
	if (r < 0)
		return r;
	r = fs_write_file_atomic(p->metadata_fd, "root.json", bytes, size, FILE_MODE);
	if (r < 0)
		return failed(r, "'%s/root.json'", p->metadata_dir);
	return 0;
}

static int refresh(struct program *p)
{
	const struct http_options options = {
		.user_agent = "tuf-client/" PROJECT_VERSION,
		.connect_timeout_sec = CONNECT_TIMEOUT_SEC,
		.low_speed_bytes_per_sec = LOW_SPEED_BYTES_PER_SEC,
		.low_speed_sec = p->timeout_sec,
		.request_timeout_sec = p->timeout_sec,
		.allow_plain = true,
	};
	_cleanup_free_ char *bytes = NULL;
	size_t size;
	int r;

	r = fs_read_file(p->metadata_fd, "root.json", TUF_ROOT_MAX_BYTES, &bytes, &size);
	if (r < 0)
		return failed(r, "'%s/root.json'", p->metadata_dir);
	r = trust_root(p, "root.json", bytes, size);
	if (r < 0)
		return r;
	r = http_new(&options, &p->http);
	if (r < 0)
		return failed(r, "HTTP");
	r = tuf_client_refresh(p->client);
	if (r < 0)
		log_error("%s", tuf_client_error(p->client));
	return r;
}

/* Each artifact is tried, whatever became of those before it. */
static int download(struct program *p)
{
	int r, result;

	result = open_dir(p->target_dir, &p->target_fd);
	if (result >= 0)
		result = refresh(p);
	if (result < 0)
		return result;
	for (size_t i = 0; i < p->n_target_names; i++) {
		r = download_target(p, p->target_names[i]);
		if (r < 0)
			result = r;
	}
	return result;
}

/* ---- the command line ---- */

static int usage(const char *what)
{
	(void)fprintf(stderr, "tuf-client: %s; see tuf-client --help\n", what);
	return -EINVAL;
}

static int set_option(struct program *p, int option)
{
	switch (option) {
	case 'd': p->metadata_dir = optarg; break;
	case 'u': p->metadata_url = optarg; break;
	case 'n': p->target_names[p->n_target_names++] = optarg; break;
	case 'b': p->target_base_url = optarg; break;
	case 't': p->target_dir = optarg; break;
	case 's': p->timeout_text = optarg; break;
	default: return usage("unknown option, or one without its value");
	}
	return 0;
}

/* Positive: help was shown. */
static int parse_options(struct program *p, int argc, char *argv[])
{
	static const struct option options[] = {
		{ "metadata-dir", required_argument, NULL, 'd' },
		{ "metadata-url", required_argument, NULL, 'u' },
		{ "target-name", required_argument, NULL, 'n' },
		{ "target-base-url", required_argument, NULL, 'b' },
		{ "target-dir", required_argument, NULL, 't' },
		{ "timeout", required_argument, NULL, 's' },
		{ "help", no_argument, NULL, 'h' },
		{},
	};
	char *end;
	int option, r;

	while ((option = getopt_long(argc, argv, "", options, NULL)) != -1) {
		if (option == 'h') {
			(void)fputs(help, stdout);
			return 1;
		}
		r = set_option(p, option);
		if (r < 0)
			return r;
	}
	if (p->timeout_text) {
		p->timeout_sec = strtoull(p->timeout_text, &end, 10);
		if (*end || p->timeout_sec < 1 || p->timeout_sec > 3600)
			return usage("--timeout takes a number of seconds");
	}
	return 0;
}

static int run(struct program *p, char *verb[], int n)
{
	bool is_init = n == 2 && strcmp(verb[0], "init") == 0;
	bool is_refresh = n == 1 && strcmp(verb[0], "refresh") == 0;
	bool is_download = n == 1 && strcmp(verb[0], "download") == 0;
	int r;

	if (!is_init && !is_refresh && !is_download)
		return usage("it takes init ROOT, refresh or download");
	if (!p->metadata_dir)
		return usage("--metadata-dir is missing");
	if (!is_init && !p->metadata_url)
		return usage("--metadata-url is missing");
	if (is_download && (!p->target_dir || !p->target_base_url || p->n_target_names == 0))
		return usage("download takes --target-name, --target-base-url and --target-dir");
	r = open_dir(p->metadata_dir, &p->metadata_fd);
	if (r < 0)
		return r;
	if (is_init)
		return init(p, verb[1]);
	return is_refresh ? refresh(p) : download(p);
}

int main(int argc, char *argv[])
{
	_cleanup_(program_done) struct program p = {
		.timeout_sec = DEFAULT_TIMEOUT_SEC,
		.metadata_fd = FD_NONE,
		.target_fd = FD_NONE,
		.source = { &p, source_fetch, source_load, source_store },
	};
	int r;

	log_set_name("tuf-client");
	p.target_names = calloc((size_t)argc, sizeof *p.target_names);
	if (!p.target_names)
		return EXIT_FAILURE;
	r = parse_options(&p, argc, argv);
	if (r > 0)
		return EXIT_SUCCESS;
	if (r == 0)
		r = run(&p, argv + optind, argc - optind);
	return r < 0 ? EXIT_FAILURE : EXIT_SUCCESS;
}

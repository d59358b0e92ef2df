/* SPDX-License-Identifier: Apache-2.0 */
#include "queryd/service.h"

#include <stdbool.h>
#include <string.h>

#include "common/log.h"

struct route {
	const char *path; /* with a trailing slash: a prefix, something must follow */
	unsigned methods; /* enum method, or'ed */
	bool needs_body;
	bool is_admin;
	void (*handle)(struct service *s, const struct request *request, struct answer *ret);
};

static const struct route routes[] = {
	{ "/v1/query", METHOD_POST, true, false, query_handle },
	{ "/v1/results/", METHOD_PUT, true, false, results_handle },
	{ "/metadata/", METHOD_GET | METHOD_HEAD, false, false, files_handle_metadata },
	{ "/targets/", METHOD_GET | METHOD_HEAD, false, false, files_handle_targets },
	{ "/v1/backups/", METHOD_GET | METHOD_HEAD | METHOD_PUT, false, false, backups_handle },
	{ "/v1/admin/releases", METHOD_GET, false, true, admin_handle_releases },
	{ "/v1/admin/gateways", METHOD_GET, false, true, admin_handle_gateways },
	{ "/v1/admin/results", METHOD_GET, false, true, admin_handle_results },
	{ "/v1/admin/blacklist", METHOD_GET, false, true, admin_handle_blacklist },
	{ "/v1/admin/blacklist/", METHOD_PUT | METHOD_DELETE, false, true,
	  admin_handle_blacklist_entry },
	{ "/v1/admin/backups", METHOD_GET, false, true, admin_handle_backups },
	{ "/v1/admin/backups/", METHOD_DELETE, false, true, admin_handle_backup },
};

static const struct {
	enum method method;
	const char *name;
} method_names[] = {
	{ METHOD_GET, "GET" }, { METHOD_HEAD, "HEAD" },	    { METHOD_POST, "POST" },
	{ METHOD_PUT, "PUT" }, { METHOD_DELETE, "DELETE" },
};

/* What follows the route's path in path, or NULL if the route is not for it. */
static const char *match(const struct route *route, const char *path)
{
	size_t n = strlen(route->path);
	bool is_prefix = route->path[n - 1] == '/';

	if (strncmp(path, route->path, n) != 0)
		return NULL;
	return is_prefix == (path[n] != '\0') ? path + n : NULL;
}

static const struct route *find(struct request *request)
{
	for (size_t i = 0; i < ELEMENTSOF(routes); i++) {
		request->rest = match(&routes[i], request->path);
		if (request->rest)
			return &routes[i];
	}
	return NULL;
}

static void answer_method_not_allowed(const struct route *route, struct answer *ret)
{
	char allow[64] = "";

	for (size_t i = 0; i < ELEMENTSOF(method_names); i++) {
		size_t n = strlen(allow);

		if (route->methods & method_names[i].method)
			(void)snprintf(allow + n, sizeof allow - n, "%s%s", n ? ", " : "",
				       method_names[i].name);
	}
	answer_error(ret, 405, NULL, "allowed here: %s", allow);
	answer_header(ret, "Allow", "%s", allow);
}

void service_handle(struct service *s, struct request *request, struct answer *ret)
{
	const struct route *route = find(request);

	if (!route) {
		answer_error(ret, 404, NULL, "no such call");
		return;
	}
	if (!(route->methods & request->method)) {
		answer_method_not_allowed(route, ret);
		return;
	}
	if (route->is_admin && !admin_is_allowed(s, request, ret))
		return;
	if (route->needs_body && !request->announced_body) {
		answer_error(ret, 411, NULL, "a body with its length is needed");
		return;
	}
	route->handle(s, request, ret);
}

int service_begin_upload(struct service *s, struct request *request, struct backup_upload **ret,
			 struct answer *ret_answer)
{
	const struct route *route = find(request);

	if (!route || route->handle != backups_handle || request->method != METHOD_PUT)
		return 0;
	return backups_begin_call(s, request, ret, ret_answer);
}

void service_end_upload(struct service *s, struct backup_upload *upload, int write_error,
			struct answer *ret)
{
	backups_end_call(s, upload, write_error, ret);
}

void service_note_store(struct service *s, int error)
{
	bool failed = error < 0;

	if (atomic_exchange(&s->store_failed, failed) == failed)
		return;
	if (failed)
		log_error("store '%s': %s; this is told once until it works again", s->conf->store,
			  strerror(-error));
	else
		log_notice("store '%s': works again", s->conf->store);
}

void service_answer_store_error(struct service *s, int error, struct answer *ret)
{
	service_note_store(s, error);
	answer_error(ret, 503, NULL, "the archive is not available now");
	answer_header(ret, "Retry-After", "300");
}

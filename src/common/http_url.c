/* SPDX-License-Identifier: Apache-2.0 */
#include "common/http.h"

#include <ctype.h>
#include <curl/curl.h>
#include <string.h>
#include <strings.h>

/* ---- joining ---- */

static bool is_unreserved(char c)
{
	return isalnum((unsigned char)c) || strchr("-._~", c);
}

/* A component that is empty or leads elsewhere would not name what the caller means. */
static bool is_plain_component(const char *component, size_t length)
{
	return length > 0 && !(length == 1 && component[0] == '.') &&
	       !(length == 2 && component[0] == '.' && component[1] == '.');
}

static int check_url_path(const char *path)
{
	for (;;) {
		size_t length = strcspn(path, "/");

		if (!is_plain_component(path, length))
			return -EINVAL;
		if (!path[length])
			return 0;
		path += length + 1;
	}
}

int http_join_url(const char *base, const char *path, char **ret)
{
	static const char hex[] = "0123456789ABCDEF";
	size_t base_length = strlen(base);
	char *url, *out;

	while (base_length > 0 && base[base_length - 1] == '/')
		base_length--;
	if (*path == '/')
		path++;
	if (base_length == 0 || strpbrk(base, "?#") || check_url_path(path) < 0)
		return -EINVAL;
	url = malloc(base_length + 1 + 3 * strlen(path) + 1);
	if (!url)
		return -ENOMEM;
	memcpy(url, base, base_length);
	out = url + base_length;
	*out++ = '/';
	for (; *path; path++) {
		unsigned char c = (unsigned char)*path;

		if (*path == '/' || is_unreserved(*path)) {
			*out++ = *path;
			continue;
		}
		*out++ = '%';
		*out++ = hex[c >> 4];
		*out++ = hex[c & 15];
	}
	*out = '\0';
	*ret = url;
	return 0;
}

/* ---- hosts: by the parser that will be given the URL ---- */

static void curlu_free(CURLU **u)
{
	curl_url_cleanup(*u);
}

static void curl_text_free(char **text)
{
	curl_free(*text);
}

static bool has_user_info(CURLU *u)
{
	_cleanup_(curl_text_free) char *user = NULL, *password = NULL;

	return curl_url_get(u, CURLUPART_USER, &user, 0) != CURLUE_NO_USER ||
	       curl_url_get(u, CURLUPART_PASSWORD, &password, 0) != CURLUE_NO_PASSWORD;
}

int http_url_host(const char *url, char **ret_host)
{
	_cleanup_(curlu_free) CURLU *u = curl_url();
	_cleanup_(curl_text_free) char *scheme = NULL, *host = NULL;
	char *copy;

	if (!u)
		return -ENOMEM;
	if (curl_url_set(u, CURLUPART_URL, url, 0) != CURLUE_OK ||
	    curl_url_get(u, CURLUPART_SCHEME, &scheme, 0) != CURLUE_OK ||
	    curl_url_get(u, CURLUPART_HOST, &host, 0) != CURLUE_OK)
		return -EINVAL;
	if (strcasecmp(scheme, "https") != 0 || !*host || has_user_info(u))
		return -EINVAL;
	copy = strdup(host);
	if (!copy)
		return -ENOMEM;
	for (char *p = copy; *p; p++)
		*p = (char)tolower((unsigned char)*p);
	*ret_host = copy;
	return 0;
}

bool http_host_is_listed(const char *list, const char *host)
{
	_cleanup_free_ char *copy = strdup(list ? list : "");
	char *rest = NULL;

	if (!copy)
		return false;
	for (char *word = strtok_r(copy, " \t", &rest); word; word = strtok_r(NULL, " \t", &rest))
		if (strcasecmp(word, host) == 0)
			return true;
	return false;
}

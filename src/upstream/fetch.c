/*
 * fetch -- see fetch.h. omni2ctl only: never in the daemon.
 */
#include "upstream/fetch.h"

#include <curl/curl.h>
#include <stdio.h>
#include <stdlib.h>

#include "config.h"

#define CONNECT_S	10L
#define PROBE_S		30L	/* keep-alive: a verification takes long */

static size_t
on_body(char *p, size_t size, size_t n, void *arg)
{
	return buf_add(arg, p, size * n) < 0 ? 0 : size * n;
}

static struct curl_slist *
add_header(struct curl_slist *list, const char *line)
{
	struct curl_slist *more = curl_slist_append(list, line);

	if (more == NULL)
		curl_slist_free_all(list);
	return more;
}

static struct curl_slist *
headers(const struct fetch *f)
{
	struct curl_slist *list;
	struct buf line;

	buf_init(&line, 16384);
	buf_printf(&line, "Authorization: Bearer %s", f->token);
	buf_add_char(&line, '\0');
	list = line.overflow ? NULL : add_header(NULL, line.p);
	explicit_bzero(line.p, line.n);
	buf_free(&line);
	if (list != NULL)
		list = add_header(list, "Accept: application/json, "
		    "application/problem+json");
	if (list != NULL && f->body.n > 0)
		list = add_header(list, "Content-Type: application/json");
	return list == NULL ? NULL : add_header(list, "Expect:");
}

static void
set_options(CURL *easy, const struct fetch *f, struct curl_slist *list,
    struct buf *out, char *error)
{
	const char *ca = f->ca_file != NULL ? f->ca_file :
	    getenv("SSL_CERT_FILE");

	curl_easy_setopt(easy, CURLOPT_URL, f->url);
	curl_easy_setopt(easy, CURLOPT_PROTOCOLS_STR, "http,https");
	curl_easy_setopt(easy, CURLOPT_FOLLOWLOCATION, 0L);
	curl_easy_setopt(easy, CURLOPT_NOSIGNAL, 1L);
	curl_easy_setopt(easy, CURLOPT_HTTP_VERSION,
	    (long)CURL_HTTP_VERSION_1_1);
	curl_easy_setopt(easy, CURLOPT_CONNECTTIMEOUT, CONNECT_S);
	curl_easy_setopt(easy, CURLOPT_TCP_KEEPALIVE, 1L);
	curl_easy_setopt(easy, CURLOPT_TCP_KEEPIDLE, PROBE_S);
	curl_easy_setopt(easy, CURLOPT_USERAGENT, "omni2ctl/" PACKAGE_VERSION);
	curl_easy_setopt(easy, CURLOPT_CUSTOMREQUEST, f->method);
	if (f->body.n > 0) {
		curl_easy_setopt(easy, CURLOPT_POSTFIELDSIZE_LARGE,
		    (curl_off_t)f->body.n);
		curl_easy_setopt(easy, CURLOPT_POSTFIELDS, f->body.p);
	}
	curl_easy_setopt(easy, CURLOPT_HTTPHEADER, list);
	curl_easy_setopt(easy, CURLOPT_ERRORBUFFER, error);
	curl_easy_setopt(easy, CURLOPT_WRITEFUNCTION, on_body);
	curl_easy_setopt(easy, CURLOPT_WRITEDATA, out);
	if (ca != NULL && ca[0] != '\0')
		curl_easy_setopt(easy, CURLOPT_CAINFO, ca);
}

static int
fail(const struct fetch *f, CURLcode rc, const char *error, struct err *e)
{
	bool is_cert = rc == CURLE_PEER_FAILED_VERIFICATION ||
	    rc == CURLE_SSL_CACERT_BADFILE;

	return err_set(e, ERR_UNAVAILABLE, "%s: %s%s", f->url,
	    error[0] != '\0' ? error : curl_easy_strerror(rc), is_cert ?
	    "; name the file of its CA with --cacert" : "");
}

int
fetch_run(const struct fetch *f, struct buf *out, struct err *e)
{
	char error[CURL_ERROR_SIZE] = "";
	struct curl_slist *list = headers(f);
	CURL *easy = curl_easy_init();
	long status = 0;
	CURLcode rc;
	int rv = -1;

	if (list == NULL || easy == NULL) {
		err_set(e, ERR_INTERNAL, "libcurl: out of memory");
		goto out;
	}
	set_options(easy, f, list, out, error);
	rc = curl_easy_perform(easy);
	if (rc != CURLE_OK) {
		fail(f, rc, error, e);
		goto out;
	}
	curl_easy_getinfo(easy, CURLINFO_RESPONSE_CODE, &status);
	rv = (int)status;
out:
	curl_slist_free_all(list);
	curl_easy_cleanup(easy);
	return rv;
}

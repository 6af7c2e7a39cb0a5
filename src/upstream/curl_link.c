/*
 * curl_link -- the TLS connection of a link: libcurl makes it (addresses,
 * proxy, certificates) and then only carries bytes.
 *
 * Workers, poller, tools. As strict as curl_call.c: certificates are always
 * checked, nothing but TLS is spoken.
 */
#include "upstream/upstream_int.h"
#include "upstream/link_int.h"

#include <curl/curl.h>
#include <errno.h>
#include <stdlib.h>

#include "base/clock.h"

/* wss:// is https:// to libcurl, which need not know WebSocket. */
static char *
https_url(const struct url *u)
{
	return xasprintf(u->ipv6 ? "https://[%.*s]:%u/" : "https://%.*s:%u/",
	    SPAN_FMT(u->host), u->port);
}

static int
connected(CURL *easy, struct link *l, struct err *e)
{
	curl_socket_t fd = CURL_SOCKET_BAD;

	if (curl_easy_getinfo(easy, CURLINFO_ACTIVESOCKET, &fd) != CURLE_OK ||
	    fd == CURL_SOCKET_BAD)
		return err_set(e, ERR_UPSTREAM, "the connection is gone");
	l->fd = (int)fd;
	l->tls = easy;
	return 0;
}

int
curl_link_open(struct link *l, const struct upstream_entry *x,
    int64_t deadline_ms, struct err *e)
{
	int64_t left = deadline_ms - clock_mono_ms();
	char error[CURL_ERROR_SIZE] = "", *url;
	CURL *easy = curl_easy_init();
	CURLcode code;
	int rv = -1;

	if (easy == NULL)
		return err_set(e, ERR_INTERNAL, "libcurl: out of memory");
	url = https_url(&x->url);
	curl_set_common(easy, url, error);
	curl_easy_setopt(easy, CURLOPT_CONNECT_ONLY, 1L);
	curl_easy_setopt(easy, CURLOPT_TIMEOUT_MS,
	    (long)(left > 0 ? left : 1));
	code = (CURLcode)curl_run(easy, &l->multi);
	if (code == CURLE_OPERATION_TIMEDOUT)
		err_set(e, ERR_TIMEOUT, "no connection in time");
	else if (code != CURLE_OK)
		err_set(e, ERR_UPSTREAM, "%s", error[0] != '\0' ? error :
		    curl_easy_strerror(code));
	else
		rv = connected(easy, l, e);
	curl_easy_setopt(easy, CURLOPT_ERRORBUFFER, NULL);
	free(url);
	if (rv < 0) {
		curl_run_end(easy, l->multi);
		l->multi = NULL;
	}
	return rv;
}

void
curl_link_close(struct link *l)
{
	curl_run_end(l->tls, l->multi);
	l->tls = l->multi = NULL;
}

enum link_io
curl_link_recv(struct link *l, char *p, size_t size, size_t *got)
{
	CURLcode code = curl_easy_recv(l->tls, p, size, got);

	if (code == CURLE_OK)
		return *got > 0 ? LINK_OK : LINK_EOF;
	*got = 0;
	errno = ECONNRESET;
	return code == CURLE_AGAIN ? LINK_AGAIN : LINK_BROKEN;
}

enum link_io
curl_link_send(struct link *l, struct span s, size_t *sent)
{
	CURLcode code = curl_easy_send(l->tls, s.p, s.n, sent);

	if (code == CURLE_OK)
		return LINK_OK;
	*sent = 0;
	errno = ECONNRESET;
	return code == CURLE_AGAIN ? LINK_AGAIN : LINK_BROKEN;
}

/*
 * ids -- many clients that use the same JSON-RPC ids at once, each looking
 * whether every answer is its own.
 *
 *	ids PORT CALLS FILE	FILE: a client a line, "PATH KEY SESSION TOOL"
 *
 * A client is a thread with one connection; it counts its ids from 1 to 16 and
 * over again, as number and as string in turn, and sends its own number and
 * that of the call as arguments, which the server repeats. Prints one line:
 * "calls=N good=N wrong=N failed=N". Wrong: an id or arguments of another
 * call; failed: everything else. The first few are told on stderr.
 */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE 1
#endif

#include <arpa/inet.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#define IDS		16
#define CLIENTS_MAX	256
#define ANSWER_MAX	16384
#define TOLD_MAX	5

struct client {
	pthread_t	 thread;
	int		 number, fd;
	char		 path[128], key[256], session[256], tool[128];
	char		 answer[ANSWER_MAX + 1];
};

static struct client client[CLIENTS_MAX];
static int port;
static _Atomic long left, good, wrong, failed, told;

static void
tell(const struct client *c, const char *what, const char *answer)
{
	if (atomic_fetch_add(&told, 1) < TOLD_MAX)
		fprintf(stderr, "client %d: %s: %.400s\n", c->number, what,
		    answer);
}

static bool
open_connection(struct client *c)
{
	struct sockaddr_in sin = { .sin_family = AF_INET };
	int one = 1;

	sin.sin_port = htons((uint16_t)port);
	sin.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	c->fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (c->fd < 0)
		return false;
	setsockopt(c->fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
	return connect(c->fd, (const struct sockaddr *)&sin, sizeof(sin)) == 0;
}

static bool
send_all(int fd, const char *p, size_t n)
{
	while (n > 0) {
		ssize_t k = send(fd, p, n, MSG_NOSIGNAL);

		if (k <= 0)
			return false;
		p += k;
		n -= (size_t)k;
	}
	return true;
}

/* One answer with Content-Length into c->answer. Its body, or NULL. */
static char *
receive(struct client *c, int *status)
{
	char *body = NULL, *length;
	size_t n = 0, want = 0;

	while (body == NULL || n < want) {
		ssize_t k = n == ANSWER_MAX ? 0 :
		    recv(c->fd, c->answer + n, ANSWER_MAX - n, 0);

		if (k <= 0)
			return NULL;
		n += (size_t)k;
		c->answer[n] = '\0';
		if (body != NULL || (body = strstr(c->answer, "\r\n\r\n")) == NULL)
			continue;
		*body = '\0';
		length = strcasestr(c->answer, "\r\ncontent-length:");
		if (length == NULL ||
		    sscanf(c->answer, "HTTP/1.1 %d", status) != 1)
			return NULL;
		body += 4;
		want = (size_t)(body - c->answer) +
		    strtoul(length + 17, NULL, 10);
	}
	return n == want ? body : NULL;
}

/* The id the answer has to begin with, and the arguments it must repeat. */
static void
judge(const struct client *c, int status, const char *body, const char *id,
    const char *arguments)
{
	char begin[100];
	const char *at;

	snprintf(begin, sizeof(begin), "{\"jsonrpc\":\"2.0\",\"id\":%s,", id);
	if (status != 200 || strstr(body, "\"structuredContent\"") == NULL) {
		atomic_fetch_add(&failed, 1);
		tell(c, "failed", body);
		return;
	}
	at = strstr(body, arguments);
	if (strncmp(body, begin, strlen(begin)) == 0 && at != NULL) {
		atomic_fetch_add(&good, 1);
		return;
	}
	atomic_fetch_add(&wrong, 1);
	tell(c, "of another call", body);
}

static bool
call(struct client *c, long n)
{
	char request[2048], body[512], id[32], arguments[100];
	char *answer;
	int size, status = 0;

	snprintf(id, sizeof(id), n % 2 == 0 ? "%ld" : "\"%ld\"", n % IDS + 1);
	snprintf(arguments, sizeof(arguments), "{\"client\":%d,\"n\":%ld}",
	    c->number, n);
	size = snprintf(body, sizeof(body), "{\"jsonrpc\":\"2.0\",\"id\":%s,"
	    "\"method\":\"tools/call\",\"params\":{\"name\":\"%s\","
	    "\"arguments\":%s}}", id, c->tool, arguments);
	size = snprintf(request, sizeof(request), "POST %s HTTP/1.1\r\n"
	    "Host: localhost\r\nAuthorization: Bearer %s\r\n"
	    "Mcp-Session-Id: %s\r\nMCP-Protocol-Version: 2025-11-25\r\n"
	    "Accept: application/json, text/event-stream\r\n"
	    "Content-Type: application/json\r\nContent-Length: %d\r\n\r\n%s",
	    c->path, c->key, c->session, size, body);
	if (!send_all(c->fd, request, (size_t)size) ||
	    (answer = receive(c, &status)) == NULL) {
		atomic_fetch_add(&failed, 1);
		tell(c, "no answer", "");
		return false;
	}
	judge(c, status, answer, id, arguments);
	return true;
}

static void *
run(void *arg)
{
	struct client *c = arg;
	bool is_open = false;
	long n;

	for (n = 0; atomic_fetch_sub(&left, 1) > 0; n++) {
		if (!is_open && !(is_open = open_connection(c))) {
			atomic_fetch_add(&failed, 1);
			break;
		}
		if (!call(c, n)) {
			close(c->fd);
			is_open = false;
		}
	}
	if (is_open)
		close(c->fd);
	return NULL;
}

int
main(int argc, char **argv)
{
	long calls;
	int i, n = 0;
	FILE *f;

	if (argc != 4 || (f = fopen(argv[3], "r")) == NULL) {
		fprintf(stderr, "usage: ids PORT CALLS FILE\n");
		return 2;
	}
	port = (int)strtol(argv[1], NULL, 10);
	calls = strtol(argv[2], NULL, 10);
	atomic_store(&left, calls);
	while (n < CLIENTS_MAX && fscanf(f, "%127s %255s %255s %127s",
	    client[n].path, client[n].key, client[n].session,
	    client[n].tool) == 4) {
		client[n].number = n;
		n++;
	}
	fclose(f);
	for (i = 0; i < n; i++)
		if (pthread_create(&client[i].thread, NULL, run,
		    &client[i]) != 0)
			return 2;
	for (i = 0; i < n; i++)
		pthread_join(client[i].thread, NULL);
	printf("calls=%ld good=%ld wrong=%ld failed=%ld\n", calls,
	    atomic_load(&good), atomic_load(&wrong), atomic_load(&failed));
	return atomic_load(&good) == calls ? 0 : 1;
}

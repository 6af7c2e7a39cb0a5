/*
 * control -- the master's UNIX socket for omni2ctl: one line in, one answer
 * out. Only root and the master's own user are heard (SO_PEERCRED).
 *
 *   reload   answers when the loader is done: "OK\n" or "ERR\n", findings
 *   shm      "OK\n" with a read-only descriptor of the observable segment
 *   stop     "OK\n", then the master drains and ends
 *   ping     "OK <pid>\n"
 */
#include "proc/master.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sysexits.h>
#include <unistd.h>

#include "base/fdio.h"
#include "base/log.h"
#include "net/sock.h"

#define TAG_CONTROL_CONN 1000

void
control_open(struct master *m)
{
	char path[CONF_TEXT + 32];
	struct err e;
	int i;

	snprintf(path, sizeof(path), "%s/control.sock", m->proc->conf.run_dir);
	m->control_fd = sock_listen_unix(path, SOCK_STREAM, 0660, &e);
	if (m->control_fd < 0)
		notify_die(EX_CONFIG, "%s", e.text);
	for (i = 0; i < CONTROL_MAX; i++)
		m->control[i].fd = -1;
}

static void
drop(struct control *c)
{
	close(c->fd);
	memset(c, 0, sizeof(*c));
	c->fd = -1;
}

void
control_close_all(struct master *m)
{
	int i;

	for (i = 0; i < CONTROL_MAX; i++)
		if (m->control[i].fd >= 0)
			drop(&m->control[i]);
}

/* The answer is small and the socket's buffer empty: never blocks. */
static void
answer(struct control *c, const char *head, struct span text, int fd)
{
	char out[65536 + 64];
	size_t n = (size_t)snprintf(out, sizeof(out), "%s\n", head);

	if (text.n > sizeof(out) - n)
		text.n = sizeof(out) - n;
	if (text.n > 0)
		memcpy(out + n, text.p, text.n);
	fdpass_send(c->fd, out, n + text.n, fd, MSG_DONTWAIT | MSG_NOSIGNAL);
	drop(c);
}

void
control_accept(struct master *m)
{
	struct epoll_event ev = { .events = EPOLLIN };
	struct ucred cred;
	socklen_t len = sizeof(cred);
	int i, fd;

	fd = accept4(m->control_fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
	if (fd < 0)
		return;
	if (getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &cred, &len) < 0 ||
	    (cred.uid != 0 && cred.uid != geteuid())) {
		close(fd);
		return;
	}
	for (i = 0; i < CONTROL_MAX; i++)
		if (m->control[i].fd < 0)
			break;
	ev.data.u32 = TAG_CONTROL_CONN + (uint32_t)i;
	if (i == CONTROL_MAX || epoll_ctl(m->ep, EPOLL_CTL_ADD, fd, &ev) < 0) {
		close(fd);
		return;
	}
	m->control[i].fd = fd;
}

static void
command(struct master *m, struct control *c)
{
	char text[32];
	struct err e;
	int fd;

	if (strcmp(c->line, "reload") == 0) {
		c->waits_reload = true;
		master_reload(m, true);
	} else if (strcmp(c->line, "shm") == 0) {
		fd = shm_export_fd(m->shm, &e);
		answer(c, fd < 0 ? "ERR" : "OK", fd < 0 ? span_str(e.text) :
		    SPAN_LIT(""), fd);
		if (fd >= 0)
			close(fd);
	} else if (strcmp(c->line, "stop") == 0) {
		answer(c, "OK", SPAN_LIT(""), -1);
		kill(getpid(), SIGTERM);
	} else if (strcmp(c->line, "ping") == 0) {
		snprintf(text, sizeof(text), "OK %d", (int)getpid());
		answer(c, text, SPAN_LIT(""), -1);
	} else
		answer(c, "ERR", SPAN_LIT("unknown command; known: reload, "
		    "shm, stop, ping\n"), -1);
}

void
control_read(struct master *m, int i)
{
	struct control *c = &m->control[i];
	ssize_t n;
	char *end;

	if (c->fd < 0)
		return;
	n = read(c->fd, c->line + c->n, sizeof(c->line) - 1 - c->n);
	if (n < 0 && (errno == EAGAIN || errno == EINTR))
		return;
	if (n <= 0) {
		drop(c);
		return;
	}
	c->n += (size_t)n;
	c->line[c->n] = '\0';
	end = strchr(c->line, '\n');
	if (end != NULL) {
		*end = '\0';
		command(m, c);
	} else if (c->n == sizeof(c->line) - 1)
		drop(c);
}

void
control_reload_done(struct master *m, bool ok, struct span text)
{
	int i;

	if (m->load_again)
		return;			/* asked after that loader began */
	for (i = 0; i < CONTROL_MAX; i++)
		if (m->control[i].fd >= 0 && m->control[i].waits_reload)
			answer(&m->control[i], ok ? "OK" : "ERR", text, -1);
}

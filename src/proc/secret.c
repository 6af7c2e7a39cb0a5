/*
 * secret -- see secret.h. Two processes that make the file at the same time
 * end with the same secret: link(2) lets one of them win.
 */
#include "proc/secret.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/fdio.h"
#include "base/hash.h"

static int
read_secret(const char *path, struct conf *conf, struct err *e)
{
	ssize_t n = fdio_read_file(path, conf->token_secret,
	    sizeof(conf->token_secret));

	if (n < 0)
		return -1;
	while (n > 0 && conf->token_secret[n - 1] == '\n')
		conf->token_secret[--n] = '\0';
	if (n < 32)
		return err_set(e, ERR_INTERNAL, "%s: shorter than 32 characters; "
		    "remove it to have a new one made", path);
	return 0;
}

/* By errno: UNAVAILABLE (the disk is full), DENIED or INTERNAL. */
static int
fail_file(struct err *e, const char *path)
{
	bool is_full = errno == ENOSPC || errno == EDQUOT;

	return err_set(e, is_full ? ERR_UNAVAILABLE : errno == EACCES ?
	    ERR_DENIED : ERR_INTERNAL, "%s: %s%s", path, strerror(errno),
	    is_full ? "; make room there" : "");
}

static int
make_secret(const char *path, struct err *e)
{
	char tmp[CONF_TEXT + 64], text[80];
	uint8_t raw[32];
	int fd, rc = -1;

	random_bytes(raw, sizeof(raw));
	hash_hex(raw, sizeof(raw), text);
	text[64] = '\n';
	snprintf(tmp, sizeof(tmp), "%s.%d", path, (int)getpid());
	fd = open(tmp, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
	if (fd < 0)
		return fail_file(e, tmp);
	if (fdio_write_all(fd, text, 65) == 0 && fsync(fd) == 0 &&
	    (link(tmp, path) == 0 || errno == EEXIST))
		rc = 0;
	else
		fail_file(e, path);
	close(fd);
	unlink(tmp);
	explicit_bzero(text, sizeof(text));
	return rc;
}

int
secret_token(struct conf *conf, struct err *e)
{
	char path[CONF_TEXT + 32];

	if (conf->token_secret[0] != '\0')
		return 0;
	snprintf(path, sizeof(path), "%s/token_secret", conf->state_dir);
	err_clear(e);
	if (read_secret(path, conf, e) == 0)
		return 0;
	if (e->code != ERR_NONE)
		return -1;
	if (errno != ENOENT)
		return fail_file(e, path);
	if (make_secret(path, e) < 0)
		return -1;
	if (read_secret(path, conf, e) < 0)
		return e->code != ERR_NONE ? -1 : fail_file(e, path);
	return 0;
}

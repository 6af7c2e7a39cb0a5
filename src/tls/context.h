/*
 * context -- the certificate and the key of server.tls, as OpenSSL wants them.
 *
 * tlsd, and the loader, which checks them before they are used.
 */
#ifndef OMNI2_TLS_CONTEXT_H
#define OMNI2_TLS_CONTEXT_H

#include <openssl/ssl.h>
#include <sys/stat.h>

#include "base/err.h"
#include "conf/conf.h"

/* A file as it was when it was read. */
struct tls_file {
	struct timespec	changed;
	ino_t		ino;
	off_t		size;
};

struct tls_files {
	struct tls_file	certificate, key;
};

/* What tells whether the files of conf are other ones than before. */
void	tls_files_look(const struct conf *, struct tls_files *);
bool	tls_files_same(const struct tls_files *, const struct tls_files *);

/*
 * A context for servers: TLS 1.2 and 1.3, HTTP/1.1 by ALPN. The caller frees
 * it. NULL with err: DENIED for a file that may not be read, else INVALID; the
 * text names setting, file and way out. expires gets "2027-01-31", *days what
 * is left until then: below 0 when the certificate has ended.
 */
SSL_CTX *tls_context(const struct conf *, char expires[16], int *days,
	    struct err *);

#endif

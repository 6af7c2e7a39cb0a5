/*
 * context -- see context.h. Files are opened by ourselves first: what OpenSSL
 * says of one that cannot be opened names neither file nor reason.
 */
#include "tls/context.h"

#include <errno.h>
#include <fcntl.h>
#include <openssl/err.h>
#include <openssl/x509.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

static void
look(const char *path, struct tls_file *f)
{
	struct stat st;

	memset(f, 0, sizeof(*f));
	if (stat(path, &st) < 0)
		return;
	f->changed = st.st_ctim;	/* of its rights, too */
	f->ino = st.st_ino;
	f->size = st.st_size;
}

void
tls_files_look(const struct conf *conf, struct tls_files *files)
{
	look(conf->tls_certificate, &files->certificate);
	look(conf->tls_key, &files->key);
}

static bool
same(const struct tls_file *a, const struct tls_file *b)
{
	return a->ino == b->ino && a->size == b->size &&
	    a->changed.tv_sec == b->changed.tv_sec &&
	    a->changed.tv_nsec == b->changed.tv_nsec;
}

bool
tls_files_same(const struct tls_files *a, const struct tls_files *b)
{
	return same(&a->certificate, &b->certificate) && same(&a->key, &b->key);
}

static int
readable(const char *setting, const char *path, struct err *e)
{
	int fd;

	if (path[0] == '\0')
		return err_set(e, ERR_INVALID,
		    "%s: is missing, and server.tls.listen needs it", setting);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return err_set(e, errno == EACCES ? ERR_DENIED : ERR_INVALID,
		    "%s: %s: %s%s", setting, path, strerror(errno),
		    errno == EACCES ? "; let the user of omni2d read it, or "
		    "give it as a credential (systemd.exec(5), "
		    "LoadCredential)" : "");
	close(fd);
	return 0;
}

/* What OpenSSL found last, in its words. */
static int
bad(const char *setting, const char *path, const char *what, struct err *e)
{
	unsigned long code = ERR_peek_last_error();
	const char *reason = ERR_reason_error_string(code);

	ERR_clear_error();
	return err_set(e, ERR_INVALID, "%s: %s: %s%s%s%s", setting, path, what,
	    reason == NULL ? "" : " (", reason == NULL ? "" : reason,
	    reason == NULL ? "" : ")");
}

/* Nobody is there to be asked for a pass phrase. */
static int
no_phrase(char *out, int size, int writing, void *arg)
{
	return 0;
}

/* RFC 7301. HTTP/1.1 is all there is; who does not ask for it gets it, too. */
static int
select_protocol(SSL *ssl, const unsigned char **out, unsigned char *out_n,
    const unsigned char *in, unsigned in_n, void *arg)
{
	static const unsigned char ours[] = "\x08http/1.1";
	unsigned char *found;

	if (SSL_select_next_proto(&found, out_n, ours, sizeof(ours) - 1, in,
	    in_n) != OPENSSL_NPN_NEGOTIATED)
		return SSL_TLSEXT_ERR_NOACK;
	*out = found;
	return SSL_TLSEXT_ERR_OK;
}

static void
set_up(SSL_CTX *ctx)
{
	SSL_CTX_set_min_proto_version(ctx, TLS1_2_VERSION);
	/* HTTP says itself where an answer ends: a client that goes without a
	 * farewell is no attack. */
	SSL_CTX_set_options(ctx, SSL_OP_NO_RENEGOTIATION |
	    SSL_OP_NO_COMPRESSION | SSL_OP_IGNORE_UNEXPECTED_EOF);
	SSL_CTX_set_mode(ctx, SSL_MODE_ENABLE_PARTIAL_WRITE |
	    SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER | SSL_MODE_RELEASE_BUFFERS);
	SSL_CTX_set_session_cache_mode(ctx, SSL_SESS_CACHE_OFF);
	SSL_CTX_set_default_passwd_cb(ctx, no_phrase);
	SSL_CTX_set_alpn_select_cb(ctx, select_protocol, NULL);
}

static int
load(SSL_CTX *ctx, const struct conf *conf, struct err *e)
{
	static const char certificate[] = "server.tls.certificate";
	static const char key[] = "server.tls.key";

	if (readable(certificate, conf->tls_certificate, e) < 0 ||
	    readable(key, conf->tls_key, e) < 0)
		return -1;
	ERR_clear_error();
	if (SSL_CTX_use_certificate_chain_file(ctx,
	    conf->tls_certificate) != 1)
		return bad(certificate, conf->tls_certificate,
		    "holds no certificate in PEM", e);
	if (SSL_CTX_use_PrivateKey_file(ctx, conf->tls_key,
	    SSL_FILETYPE_PEM) != 1) {
		if (ERR_GET_REASON(ERR_peek_last_error()) ==
		    X509_R_KEY_VALUES_MISMATCH)
			return bad(key, conf->tls_key,
			    "is not the key of the certificate", e);
		return bad(key, conf->tls_key,
		    "holds no private key in PEM without pass phrase", e);
	}
	if (SSL_CTX_check_private_key(ctx) != 1)
		return bad(key, conf->tls_key,
		    "is not the key of the certificate", e);
	return 0;
}

static void
read_end(SSL_CTX *ctx, char expires[16], int *days)
{
	const ASN1_TIME *end = X509_get0_notAfter(SSL_CTX_get0_certificate(ctx));
	int seconds = 0;
	struct tm tm;

	*days = 0;
	if (ASN1_TIME_diff(days, &seconds, NULL, end) == 1 && *days == 0 &&
	    seconds < 0)
		*days = -1;
	expires[0] = '\0';
	if (ASN1_TIME_to_tm(end, &tm) == 1)
		strftime(expires, 16, "%Y-%m-%d", &tm);
}

SSL_CTX *
tls_context(const struct conf *conf, char expires[16], int *days,
    struct err *e)
{
	SSL_CTX *ctx = SSL_CTX_new(TLS_server_method());

	if (ctx == NULL) {
		err_set(e, ERR_INTERNAL, "OpenSSL has no TLS");
		return NULL;
	}
	set_up(ctx);
	if (load(ctx, conf, e) < 0) {
		SSL_CTX_free(ctx);
		return NULL;
	}
	read_end(ctx, expires, days);
	return ctx;
}

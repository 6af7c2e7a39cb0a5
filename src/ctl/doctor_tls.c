/*
 * doctor_tls -- the certificate of an https server, looked at as the daemon's
 * calls will: the authorities of the system, or those of SSL_CERT_FILE; and the
 * daemon's own.
 */
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>

#include <openssl/ssl.h>
#include <openssl/x509v3.h>

#include "base/fdio.h"
#include "ctl/doctor.h"
#include "tls/context.h"

#define DAYS_WARN	14

/* A handshake that does not fail because of the certificate. */
static SSL *
shake_hands(SSL_CTX *ctx, int fd, const char *host)
{
	struct timeval patience = { 3, 0 };
	SSL *ssl = SSL_new(ctx);
	char name[256];

	fdio_set_nonblock(fd, false);
	setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof(patience));
	setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &patience, sizeof(patience));
	if (ssl == NULL)
		return NULL;
	SSL_set_verify(ssl, SSL_VERIFY_NONE, NULL);
	/* an address is no name, and the other way round */
	if (X509_VERIFY_PARAM_set1_ip_asc(SSL_get0_param(ssl), host) != 1) {
		SSL_set1_host(ssl, host);
		/* the macro takes the const away from what it is given */
		span_copy(name, sizeof(name), span_str(host));
		SSL_set_tlsext_host_name(ssl, name);
	}
	if (SSL_set_fd(ssl, fd) == 1 && SSL_connect(ssl) == 1)
		return ssl;
	SSL_free(ssl);
	return NULL;
}

/* False: nothing is wrong with it, and nothing was said. */
static bool
say_certificate(struct doctor *d, const char *check, const SSL *ssl)
{
	const X509 *cert = SSL_get0_peer_certificate(ssl);
	long verdict = SSL_get_verify_result(ssl);
	int days = 0, seconds;

	if (cert == NULL || verdict != X509_V_OK) {
		doctor_say(d, FINDING_FAIL, check, ctl_text("its certificate is "
		    "refused: %s", X509_verify_cert_error_string(verdict)),
		    "renew it, or name its authority in SSL_CERT_FILE");
		return true;
	}
	if (ASN1_TIME_diff(&days, &seconds, NULL, X509_get0_notAfter(cert)) ==
	    1 && days < DAYS_WARN) {
		doctor_say(d, FINDING_WARN, check, ctl_text("its certificate "
		    "ends in %d days", days), "renew it");
		return true;
	}
	return false;
}

bool
doctor_certificate(struct doctor *d, const char *check, const char *host,
    int fd)
{
	SSL_CTX *ctx = SSL_CTX_new(TLS_client_method());
	SSL *ssl = NULL;
	bool said = true;

	signal(SIGPIPE, SIG_IGN);	/* it may close in the middle */
	if (ctx != NULL && SSL_CTX_set_default_verify_paths(ctx) == 1)
		ssl = shake_hands(ctx, fd, host);
	if (ssl == NULL)
		doctor_say(d, FINDING_FAIL, check, "it does not speak TLS",
		    "is it an http: address?");
	else
		said = say_certificate(d, check, ssl);
	SSL_free(ssl);
	SSL_CTX_free(ctx);
	signal(SIGPIPE, SIG_DFL);
	return said;
}

void
doctor_own_certificate(struct doctor *d)
{
	static const char check[] = "certificate";
	const struct conf *conf = &d->c->conf;
	char expires[16];
	struct err e;
	SSL_CTX *ctx;
	int days;

	if (conf->tls_listen.n == 0 && conf->tls_certificate[0] == '\0')
		return;
	ctl_act_as(d->user, true);
	ctx = tls_context(conf, expires, &days, &e);
	ctl_act_as(d->user, false);
	if (ctx == NULL)
		doctor_say(d, FINDING_FAIL, check, e.text, NULL);
	else if (days < DAYS_WARN)
		doctor_say(d, days < 0 ? FINDING_FAIL : FINDING_WARN, check,
		    ctl_text("%s %s on %s", conf->tls_certificate, days < 0 ?
		    "has ended" : "ends", expires), "renew it");
	else
		doctor_say(d, FINDING_OK, check, ctl_text("%s is valid until %s",
		    conf->tls_certificate, expires), NULL);
	SSL_CTX_free(ctx);
}

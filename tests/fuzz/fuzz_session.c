/*
 * Properties of auth/session: what is sealed opens again with the same fields;
 * the sealed text with any other bytes put into it does not open; and no input
 * opens by itself. Input: endpoint, a line feed, then bytes for the fields and
 * for the text.
 */
#include "tests/fuzz/fuzz.h"

#include <string.h>

#include "auth/session.h"
#include "base/span.h"

#define TEXT	88
#define NOW	1800000000

static void
fill(void *field, size_t size, const char **p, const char *end)
{
	size_t n = (size_t)(end - *p) < size ? (size_t)(end - *p) : size;

	memset(field, 0, size);
	if (n > 0)
		memcpy(field, *p, n);
	*p += n;
}

static void
check_round_trip(struct session *s, struct span endpoint,
    char text[SESSION_ID_SIZE])
{
	struct session back;
	struct err e;

	if (s->expires <= NOW)
		s->expires = NOW + 1;
	session_seal(s, endpoint, text);
	FUZZ_CHECK(strlen(text) == TEXT);
	FUZZ_CHECK(session_open(span_str(text), endpoint, s->user_id, NOW,
	    &back, &e) == 0);
	FUZZ_CHECK(back.id == s->id && back.expires == s->expires &&
	    back.user_id == s->user_id && back.revision == s->revision &&
	    back.caps == s->caps);
	FUZZ_CHECK(session_open(span_str(text), endpoint, s->user_id ^ 1, NOW,
	    &back, &e) < 0);
	FUZZ_CHECK(session_open(span_str(text), endpoint, s->user_id,
	    s->expires, &back, &e) < 0);
	if (endpoint.n > 0)
		FUZZ_CHECK(session_open(span_str(text), span_skip(endpoint, 1),
		    s->user_id, NOW, &back, &e) < 0);
}

/* Puts the rest of the input into the sealed text, somewhere. */
static void
check_damage(const struct session *s, struct span endpoint, const char *text,
    const char *p, const char *end)
{
	char damaged[TEXT];
	struct session back;
	struct err e;
	size_t at, n;

	if (end - p < 2)
		return;
	at = (unsigned char)*p++ % TEXT;
	n = (size_t)(end - p);
	if (n > TEXT - at)
		n = TEXT - at;
	memcpy(damaged, text, TEXT);
	memcpy(damaged + at, p, n);
	FUZZ_CHECK((session_open(span_make(damaged, TEXT), endpoint,
	    s->user_id, NOW, &back, &e) == 0) ==
	    (memcmp(damaged, text, TEXT) == 0));
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static bool ready;
	const char *p = (const char *)data, *end = p + size, *line;
	struct span endpoint = { "", 0 };
	char text[SESSION_ID_SIZE];
	struct session s, back;
	struct err e;

	if (!ready)
		session_init("a secret that the inputs do not know");
	ready = true;
	FUZZ_CHECK(session_open(span_make(p, size), endpoint, 0, NOW, &back,
	    &e) < 0 && e.code == ERR_SESSION);
	if (size > 0 && (line = memchr(p, '\n', size)) != NULL) {
		endpoint = span_make(p, (size_t)(line - p));
		p = line + 1;
	}
	memset(&s, 0, sizeof(s));
	fill(&s.id, sizeof(s.id), &p, end);
	fill(&s.user_id, sizeof(s.user_id), &p, end);
	fill(&s.expires, sizeof(s.expires), &p, end);
	fill(&s.revision, sizeof(s.revision), &p, end);
	fill(&s.caps, sizeof(s.caps), &p, end);
	check_round_trip(&s, endpoint, text);
	check_damage(&s, endpoint, text, p, end);
	return 0;
}

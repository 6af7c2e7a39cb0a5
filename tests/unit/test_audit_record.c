/*
 * Records: JSON byte for byte, ids, redaction, frames, and putting records
 * together again.
 */
#include "config.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "audit/assemble.h"
#include "audit/chain.h"
#include "audit/crc32c.h"
#include "audit/record.h"
#include "audit/record_read.h"
#include "base/hash.h"
#include "base/json_read.h"
#include "store/auditlog.h"

static void
crc_vectors(void **state)
{
	unsigned char zeros[32] = { 0 }, bytes[300];
	size_t i;

	(void)state;
	assert_int_equal(crc32c(0, "123456789", 9), 0xe3069283u);
	assert_int_equal(crc32c(0, zeros, 32), 0x8a9136aau);	/* RFC 3720 */
	for (i = 0; i < sizeof(bytes); i++)
		bytes[i] = (unsigned char)(i * 7);
	for (i = 0; i < sizeof(bytes); i++)
		assert_int_equal(crc32c(5, bytes, i),
		    crc32c_portable(5, bytes, i));
}

static void
ids(void **state)
{
	uint8_t a[16], b[16];
	int64_t us = 1795216500123456;
	int fd[2], i;

	(void)state;
	for (i = 0; i < 1000; i++) {
		audit_record_id(a, us);
		audit_record_id(b, us);
		assert_memory_equal(a, b, 8);		/* the time */
		assert_memory_not_equal(a + 8, b + 8, 8);
		assert_int_equal(a[6] >> 4, 7);
		assert_int_equal(a[8] >> 6, 2);
	}
	/* Ids sort as their times do. */
	audit_record_id(b, us + 1);
	assert_true(memcmp(a, b, 16) < 0);
	/* Parent and child do not draw the same. */
	assert_int_equal(pipe(fd), 0);
	if (fork() == 0) {
		audit_record_id(b, us);
		_exit(write(fd[1], b, 16) == 16 ? 0 : 1);
	}
	audit_record_id(a, us);
	assert_int_equal(read(fd[0], b, 16), 16);
	assert_memory_not_equal(a + 8, b + 8, 8);
	assert_true(wait(NULL) > 0);
	close(fd[0]);
	close(fd[1]);
}

static struct audit_record
full_record(void)
{
	struct audit_record r = {
		.id = { 1, 2, 3, 4, 5, 6, 0x77, 8, 0x89, 10, 11, 12, 13, 14,
		    15, 255 },
		.wall_us = 1795216500123456,
		.node = SPAN_LIT("n1"), .org = SPAN_LIT("default"),
		.principal = SPAN_LIT("ann@example.com"),
		.role = SPAN_LIT("dba"), .credential = SPAN_LIT("key:17"),
		.source = SPAN_LIT("mcp"), .client = SPAN_LIT("192.0.2.1"),
		.user_agent = SPAN_LIT("a \"b\"\n\x1b"),
		.trace_id = SPAN_LIT("0af7651916cd43dd8448eb211c80319c"),
		.session = SPAN_LIT("5e"), .method = SPAN_LIT("tools/call"),
		.server = SPAN_LIT("db"), .object = SPAN_LIT("get_top"),
		.arguments = SPAN_LIT("{\"n\": 5}"), .arguments_cut = true,
		.decision = AUDIT_DENY, .rule = SPAN_LIT("global.blocked_tools"),
		.result = AUDIT_DENIED, .http_status = 403,
		.rpc_code = -32003, .error = SPAN_LIT("no"),
		.duration_us = 1234, .upstream_us = 1000,
		.request_bytes = 77, .response_bytes = 88 };

	return r;
}

static void
json_golden(void **state)
{
	static const char full[] = "{\"id\":\"01020304-0506-7708-890a-"
	    "0b0c0d0e0fff\",\"ts\":\"2026-11-20T23:15:00.123456Z\","
	    "\"node\":\"n1\",\"org\":\"default\","
	    "\"principal\":\"ann@example.com\",\"role\":\"dba\","
	    "\"credential\":\"key:17\",\"source\":\"mcp\","
	    "\"client\":\"192.0.2.1\",\"user_agent\":\"a \\\"b\\\"\\n\\u001b\","
	    "\"trace_id\":\"0af7651916cd43dd8448eb211c80319c\","
	    "\"session\":\"5e\",\"method\":\"tools/call\",\"server\":\"db\","
	    "\"object\":\"get_top\",\"arguments\":{\"n\": 5},"
	    "\"arguments_cut\":true,\"decision\":\"deny\","
	    "\"rule\":\"global.blocked_tools\",\"result\":\"denied\","
	    "\"http_status\":403,\"rpc_code\":-32003,\"error\":\"no\","
	    "\"duration_us\":1234,\"upstream_us\":1000,\"request_bytes\":77,"
	    "\"response_bytes\":88}";
	static const char least[] = "{\"id\":\"00000000-0000-0000-0000-"
	    "000000000000\",\"ts\":\"2026-11-20T23:15:00.000001Z\","
	    "\"decision\":\"allow\",\"result\":\"success\",\"duration_us\":0}";
	struct audit_record r = full_record(), empty = {
		.wall_us = 1795216500000001 };
	struct json_value v;
	struct buf b;

	(void)state;
	buf_init(&b, 65536);
	assert_int_equal(audit_record_json(&r, &b), 0);
	assert_int_equal(b.n, sizeof(full) - 1);
	assert_memory_equal(b.p, full, b.n);
	assert_int_equal(json_check(buf_span(&b), &v, NULL), JSON_OK);
	buf_reset(&b, 65536);
	assert_int_equal(audit_record_json(&empty, &b), 0);
	assert_int_equal(b.n, sizeof(least) - 1);
	assert_memory_equal(b.p, least, b.n);
	/* Bytes that want escaping are found at every place of a value. */
	{
		static const char odd[] = { '"', '\\', '\n', '\x1f', '\x7f',
			'\xff' };
		char text[20];
		size_t i, k;

		for (k = 0; k < sizeof(odd); k++)
			for (i = 0; i < sizeof(text); i++) {
				memset(text, 'a', sizeof(text));
				text[i] = odd[k];
				empty.object = span_make(text, sizeof(text));
				buf_reset(&b, 65536);
				assert_int_equal(audit_record_json(&empty, &b),
				    0);
				assert_int_equal(json_check(buf_span(&b), &v,
				    NULL), JSON_OK);
				assert_int_equal(b.n, sizeof(least) - 1 +
				    sizeof(",\"object\":\"\"") - 1 + 20 +
				    (k < 3 ? 1 : k == 3 ? 5 : k == 5 ? 2 : 0));
			}
	}
	buf_free(&b);
	buf_init(&b, 100);
	assert_int_equal(audit_record_json(&r, &b), -1);
	buf_free(&b);
}

static void
redaction(void **state)
{
	static const char globs[][128] = { "*password*", "*token*", "pin",
	    "k?y[0-9]" };
	static const struct {
		const char *in, *out;
		size_t max;
		bool cut;
	} t[] = {
		{ "", "", 100, false },
		{ "{}", "{}", 100, false },
		{ "{\"a\":1}", "{\"a\":1}", 100, false },
		{ " { \"a\" : [ 1 , 2 ] } ", "{\"a\":[1,2]}", 100, false },
		{ "{\"password\":\"x\"}", "{\"password\":\"[redacted]\"}",
		    100, false },
		{ "{\"My_PassWord2\":{\"a\":[1,{\"b\":\"}\\\"\"}]},\"c\":2}",
		    "{\"My_PassWord2\":\"[redacted]\",\"c\":2}", 100, false },
		{ "{\"a\":[{\"TOKEN\":-1.5e3},{\"b\":{\"pin\":null}}]}",
		    "{\"a\":[{\"TOKEN\":\"[redacted]\"},{\"b\":{\"pin\":"
		    "\"[redacted]\"}}]}", 100, false },
		{ "{\"pass\\u0077ord\":1}", "{\"pass\\u0077ord\":"
		    "\"[redacted]\"}", 100, false },
		{ "{\"\\ud800\":1,\"key7\":2,\"keys\":3}", "{\"\\ud800\":"
		    "\"[redacted]\",\"key7\":\"[redacted]\",\"keys\":3}", 100,
		    false },
		{ "{\"a\":\"password\",\"pinned\":true}",
		    "{\"a\":\"password\",\"pinned\":true}", 100, false },
		{ "{\"pin\" : [ ] , \"b\" : {} }",
		    "{\"pin\":\"[redacted]\",\"b\":{}}", 100, false },
		{ "[\"pin\",\"pin\"]", "[\"pin\",\"pin\"]", 100, false },
		{ "\"pin\"", "\"pin\"", 100, false },
		{ "{\"a\":\"12345678\"}", "\"{\\\"a\\\":\\\"1\"", 7, true },
		{ "{\"pin\":\"12345678\",\"z\":1}", "\"{\\\"pin\\\":\"", 7,
		    true },
		{ "{\"\xc3\xa4\":1}", "\"{\\\"\"", 3, true },
		{ "{\"a\":1}", "\"\"", 0, true },
		{ "{\"toktoken\":1,\"toke\":2}",
		    "{\"toktoken\":\"[redacted]\",\"toke\":2}", 100, false },
	};
	struct audit_redaction rules;
	struct buf b;
	size_t i;
	bool cut;

	(void)state;
	buf_init(&b, 65536);
	audit_redaction_init(&rules, globs, 4);
	for (i = 0; i < sizeof(t) / sizeof(t[0]); i++) {
		buf_reset(&b, 65536);
		buf_add_str(&b, "before");
		assert_int_equal(audit_redact(&rules, span_str(t[i].in),
		    t[i].max, &b, &cut), 0);
		buf_add_char(&b, '\0');
		assert_string_equal(b.p + 6, t[i].out);
		assert_int_equal(cut, t[i].cut);
	}
	buf_free(&b);
}

static void
redaction_long(void **state)
{
	static const char globs[][128] = { "secret" };
	char name[600], in[1400];
	struct audit_redaction rules;
	struct buf b;
	bool cut;

	(void)state;
	buf_init(&b, 65536);
	/* A name that is too long to be read is not trusted. */
	memset(name, 'n', sizeof(name) - 1);
	name[sizeof(name) - 1] = '\0';
	snprintf(in, sizeof(in), "{\"%s\":\"hidden\"}", name);
	audit_redaction_init(&rules, globs, 1);
	assert_int_equal(audit_redact(&rules, span_str(in), 5000, &b, &cut), 0);
	assert_null(memmem(b.p, b.n, "hidden", 6));
	/* Without patterns everything stays. */
	buf_reset(&b, 65536);
	audit_redaction_init(&rules, NULL, 0);
	assert_int_equal(audit_redact(&rules, span_str(in), 5000, &b, &cut), 0);
	assert_non_null(memmem(b.p, b.n, "hidden", 6));
	buf_free(&b);
}

/* Pseudo-random JSON string of n bytes. */
static void
fill(struct buf *b, size_t n, unsigned seed)
{
	size_t i;

	buf_reset(b, 1 << 20);
	for (i = 0; i < n; i++)
		buf_add_char(b, (char)('a' + (i * 31 + seed) % 26));
}

static void
frames_round_trip(void **state)
{
	static const size_t sizes[] = { 1, 10, 4063, 4064, 4065, 8128, 8129,
	    100000 };
	struct span in, payload;
	struct audit_frame f;
	struct buf json, out;
	size_t at[64], i;
	int n, k;

	(void)state;
	buf_init(&json, 1 << 20);
	buf_init(&out, 1 << 20);
	for (i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
		fill(&json, sizes[i], (unsigned)i);
		buf_reset(&out, 1 << 20);
		n = audit_frames(buf_span(&json), 9, UINT64_C(0x123456789ab),
		    &out, at, 64);
		assert_int_equal(n, (sizes[i] + 4063) / 4064);
		in = buf_span(&out);
		for (k = 0; k < n; k++) {
			long used = audit_frame_read(in, &f, &payload);

			assert_true(used > 0 && used <= AUDIT_FRAME_MAX);
			assert_ptr_equal(in.p, out.p + at[k]);
			assert_int_equal(f.slot, 9);
			assert_int_equal(f.seq, UINT64_C(0x123456789ab));
			assert_int_equal(f.part, k);
			assert_int_equal(f.flags, (k == 0 ? 2 : 0) |
			    (k == n - 1 ? 1 : 0));
			assert_memory_equal(payload.p, json.p + 4064 * k,
			    payload.n);
			in = span_skip(in, (size_t)used);
		}
		assert_int_equal(in.n, 0);
	}
	assert_int_equal(audit_frames(buf_span(&json), 9, 1, &out, at, 3), -1);
	assert_int_equal(audit_frames(span_make("", 0), 9, 1, &out, at, 3), -1);
	buf_free(&json);
	buf_free(&out);
}

static void
frames_damaged(void **state)
{
	struct span payload;
	struct audit_frame f;
	struct buf json, out;
	size_t at[4], i;

	(void)state;
	buf_init(&json, 1 << 20);
	buf_init(&out, 1 << 20);
	fill(&json, 50, 1);
	assert_int_equal(audit_frames(buf_span(&json), 1, 2, &out, at, 4), 1);
	/* Every prefix is "not yet"; every changed byte is damage. */
	for (i = 0; i < out.n; i++)
		assert_int_equal(audit_frame_read(span_make(out.p, i), &f,
		    &payload), 0);
	for (i = 0; i < out.n; i++) {
		out.p[i] ^= 0x10;
		/* A larger size is perhaps only incomplete. */
		if (i != 5 && i != 4)
			assert_int_equal(audit_frame_read(buf_span(&out), &f,
			    &payload), -1);
		else
			assert_true(audit_frame_read(buf_span(&out), &f,
			    &payload) <= 0);
		out.p[i] ^= 0x10;
	}
	assert_int_equal(audit_frame_resync(buf_span(&out)), -1);
	assert_int_equal(audit_frame_resync(span_make("x", 1)), -1);
	buf_reset(&out, 1 << 20);
	buf_add_str(&out, "OAF1OOAFOAF2");
	assert_int_equal(audit_frame_resync(buf_span(&out)), 8);
	buf_free(&json);
	buf_free(&out);
}

struct made {				/* frames of one record */
	struct buf	 out;
	size_t		 at[16];
	int		 n;
};

static void
make(struct made *m, uint32_t slot, uint64_t seq, size_t size)
{
	struct buf json;

	buf_init(&json, 1 << 20);
	fill(&json, size, (unsigned)(slot * 100 + seq));
	buf_init(&m->out, 1 << 20);
	m->n = audit_frames(buf_span(&json), slot, seq, &m->out, m->at, 15);
	assert_true(m->n > 0);
	m->at[m->n] = m->out.n;
	buf_free(&json);
}

/* Hands frame i of m to the assembler; the size of the record or 0. */
static size_t
give(struct assembler *a, const struct made *m, int i)
{
	struct span in = span_make(m->out.p + m->at[i],
	    m->at[i + 1] - m->at[i]), payload, record = { NULL, 0 };
	struct audit_frame f;

	assert_int_equal(audit_frame_read(in, &f, &payload), in.n);
	return assembler_add(a, &f, in, payload, &record) == 1 ? record.n : 0;
}

static void
assembling(void **state)
{
	struct made a, b, c, d;
	struct assembler as, other;
	struct buf pending;

	(void)state;
	assembler_init(&as);
	assembler_init(&other);
	buf_init(&pending, 1 << 20);
	make(&a, 3, 10, 9000);		/* three frames each */
	make(&b, 70, 1, 10000);
	make(&c, 3, 11, 5);
	make(&d, 70, 2, 9000);
	/* Interleaved. */
	assert_int_equal(give(&as, &a, 0), 0);
	assert_int_equal(give(&as, &b, 0), 0);
	assert_int_equal(give(&as, &a, 1), 0);
	assert_int_equal(give(&as, &b, 1), 0);
	/* What is open can be carried to another assembler. */
	assembler_pending(&as, &pending);
	assert_int_equal(assembler_restore(&other, buf_span(&pending)), 0);
	assert_int_equal(give(&as, &b, 2), 10000);
	assert_int_equal(give(&as, &a, 2), 9000);
	assert_int_equal(give(&other, &a, 2), 9000);
	assert_int_equal(give(&other, &b, 2), 10000);
	assert_int_equal(as.dropped + other.dropped, 0);
	buf_reset(&pending, 0);
	assembler_pending(&as, &pending);
	assert_int_equal(pending.n, 0);
	/* A writer died: its slot begins another record. */
	assert_int_equal(give(&as, &a, 0), 0);
	assert_int_equal(give(&as, &c, 0), 5);
	assert_int_equal(as.dropped, 1);
	assert_int_equal(give(&as, &b, 0), 0);
	assert_int_equal(give(&as, &d, 0), 0);
	assert_int_equal(as.dropped, 2);
	/* A part is missing; then parts of a record that is not open. */
	assert_int_equal(give(&as, &d, 2), 0);
	assert_int_equal(as.dropped, 3);
	assert_int_equal(give(&as, &d, 1), 0);
	assert_int_equal(give(&as, &a, 2), 0);
	assert_int_equal(as.dropped, 4);
	/* Damaged pending frames are refused. */
	assert_int_equal(assembler_restore(&as, SPAN_LIT("garbage....")), -1);
	assert_int_equal(assembler_restore(&as, buf_span(&c.out)), -1);
	assembler_free(&as);
	assembler_free(&other);
	buf_free(&pending);
	buf_free(&a.out);
	buf_free(&b.out);
	buf_free(&c.out);
	buf_free(&d.out);
}

static void
chain(void **state)
{
	uint8_t prev[32] = { 0 }, h[32], mac[32], mac2[32];
	struct chain_key k;
	char hex[65];

	(void)state;
	/* SHA-256 of 32 zeros, 00 .. 01 (eight bytes), SHA-256 of "{}". */
	chain_hash(prev, 1, SPAN_LIT("{}"), h);
	hash_hex(h, 32, hex);
	assert_string_equal(hex, "11877e2e7b75bc88d35d117371131d66"
	    "1b930d8bc576d3a189fa753f95e10266");
	chain_key_init(&k, "");
	assert_false(chain_sign(&k, "n", "head", 1, h, mac));
	chain_key_init(&k, "secret");
	assert_true(chain_sign(&k, "n", "head", 1, h, mac));
	assert_true(chain_sign(&k, "n", "head", 2, h, mac2));
	assert_memory_not_equal(mac, mac2, 32);
	assert_true(chain_sign(&k, "n", "pruned", 1, h, mac2));
	assert_memory_not_equal(mac, mac2, 32);
	assert_true(chain_sign(&k, "m", "head", 1, h, mac2));
	assert_memory_not_equal(mac, mac2, 32);
}

static void
rows(void **state)
{
	static const char *const bad[] = { "", "[]", "{", "{}", "{\"id\":\"x\"}",
	    "{\"id\":\"x\",\"ts\":5}", "{\"id\":\"x\",\"id\":\"y\",\"ts\":\"\"}",
	    "{\"id\":\"\\ud800\",\"ts\":\"t\"}" };
	struct auditlog_row row;
	struct buf scratch, copy;
	size_t i;

	(void)state;
	buf_init(&scratch, 65536);
	buf_init(&copy, 65536);
	for (i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
		assert_int_equal(chain_row(span_str(bad[i]), &row, &scratch),
		    -1);
	memset(&row, 0, sizeof(row));
	assert_int_equal(chain_row(span_str("{\"ts\":\"T\",\"id\":\"I\","
	    "\"error\":\"a\\u0000b\\t\\\\\\n\",\"http_status\":-5}"), &row,
	    &scratch), 0);
	assert_true(span_is(row.v[AUDITLOG_error], "a\xef\xbf\xbd" "b\t\\\n"));
	assert_true(span_is(row.v[AUDITLOG_http_status], "-5"));
	row.node = "n";
	row.seq = 7;
	auditlog_row_copy(&row, &copy);
	assert_int_equal(copy.p[copy.n - 1], '\n');
	assert_non_null(memmem(copy.p, copy.n, "a\xef\xbf\xbd"
	    "b\\t\\\\\\n\t0\t0\t0\t0\tn\t7\t", 21));
	/* One line, whatever is in it. */
	assert_ptr_equal(memchr(copy.p, '\n', copy.n), copy.p + copy.n - 1);
	buf_free(&scratch);
	buf_free(&copy);
}

/* Both ways to read a record; false: the short one does not take it. */
static bool
read_both(struct span record, struct buf *scratch)
{
	struct auditlog_row fast = { .node = "n" }, slow = { .node = "n" };
	struct buf a, b;
	int i;

	if (!record_read(record, &fast))
		return false;
	buf_reset(scratch, 65536);
	assert_int_equal(chain_row_slowly(record, &slow, scratch), 0);
	for (i = 0; i < AUDITLOG_COLUMNS; i++)
		assert_true(span_eq(fast.v[i], slow.v[i]));
	assert_true(span_eq(fast.record, slow.record));
	/* What is called plain is the same with everything escaped. */
	assert_true(fast.plain && !slow.plain && !slow.record_plain);
	buf_init(&a, 65536);
	buf_init(&b, 65536);
	auditlog_row_copy(&fast, &a);
	auditlog_row_copy(&slow, &b);
	assert_true(span_eq(buf_span(&a), buf_span(&b)));
	buf_free(&a);
	buf_free(&b);
	return true;
}

static struct audit_record
plain_record(int which)
{
	struct audit_record r = full_record(), least = { .wall_us = 1 };

	r.user_agent = SPAN_LIT("some-client/1.2.3 (linux)");
	switch (which) {
	case 0:
		return least;
	case 1:
		return r;
	case 2:
		r.arguments_cut = false;
		r.arguments = SPAN_LIT("{\"a\":\"\\\"\\u00e9\\\\\",\"b\":[{},"
		    "-1.5e3,null],\"c\":\"}]\"}");
		break;
	case 3:
		r.principal = SPAN_LIT("\xd0\x90\xd0\xbd\xd0\xbd\xd0\xb0");
		r.error = SPAN_LIT("\xf0\x9f\x98\x80 12345678901234567");
		break;
	default:
		r.duration_us = INT64_MAX / 10;
		r.response_bytes = -1;
		r.arguments = SPAN_LIT("\"cut off\"");
		break;
	}
	return r;
}

/* One or two changes of any kind. */
static size_t
mutate(char *p, size_t n)
{
	static const char odd[] = "\"\\{}[],:0-9tn \t\n\x80\xc3\x7f.eE";
	int times = 1 + rand() % 2;

	while (times-- > 0 && n > 8) {
		size_t at = (size_t)rand() % n;
		size_t len = (size_t)rand() % (n - at) % 40;

		switch (rand() % 4) {
		case 0:
			p[at] = odd[(size_t)rand() % (sizeof(odd) - 1)];
			break;
		case 1:
			p[at] = p[(size_t)rand() % n];
			break;
		case 2:
			memmove(p + at, p + at + len, n - at - len);
			n -= len;
			break;
		default:
			memmove(p + at + len, p + at, n - at);
			n += len;
			break;
		}
	}
	return n;
}

static void
reading(void **state)
{
	static const char *const others[] = {	/* good, but not ours */
		"{\"ts\":\"t\",\"id\":\"i\"}", "{\"id\":\"i\", \"ts\":\"t\"}",
		"{\"id\":\"i\",\"ts\":\"t\",\"error\":\"\\n\"}",
		"{\"id\":\"i\",\"ts\":\"t\",\"other\":1}",
		"{\"id\":\"i\",\"ts\":\"t\",\"http_status\":1.5}",
		"{\"id\":\"i\",\"ts\":\"t\"} ",
	};
	struct auditlog_row row;
	struct buf b, scratch;
	char text[4096];
	int which, k, taken = 0;
	size_t i;

	(void)state;
	srand(1);
	buf_init(&b, 2048);
	buf_init(&scratch, 65536);
	for (which = 0; which < 5; which++) {
		struct audit_record r = plain_record(which);

		buf_reset(&b, 2048);
		assert_int_equal(audit_record_json(&r, &b), 0);
		assert_true(read_both(buf_span(&b), &scratch));
		for (k = 0; k < 20000; k++) {
			memcpy(text, b.p, b.n);
			taken += read_both(span_make(text,
			    mutate(text, b.n)), &scratch);
		}
		/* Cut anywhere it is none. */
		for (i = 0; i < b.n; i++)
			assert_false(record_read(span_make(b.p, i), &row));
	}
	assert_true(taken > 1000);
	for (i = 0; i < sizeof(others) / sizeof(others[0]); i++) {
		assert_false(record_read(span_str(others[i]), &row));
		buf_reset(&scratch, 65536);
		assert_int_equal(chain_row(span_str(others[i]), &row,
		    &scratch), 0);
		assert_false(row.plain || row.record_plain);
	}
	buf_free(&b);
	buf_free(&scratch);
}


int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(crc_vectors),
		cmocka_unit_test(ids),
		cmocka_unit_test(json_golden),
		cmocka_unit_test(redaction),
		cmocka_unit_test(redaction_long),
		cmocka_unit_test(frames_round_trip),
		cmocka_unit_test(frames_damaged),
		cmocka_unit_test(assembling),
		cmocka_unit_test(chain),
		cmocka_unit_test(rows),
		cmocka_unit_test(reading),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

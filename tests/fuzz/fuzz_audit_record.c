/*
 * Properties of the audit stream: any split of the bytes gives the same
 * frames and the same records; carrying the unfinished ones to another
 * assembler changes nothing; what was framed is read back; what was redacted
 * is JSON and holds no secret. The first byte of an input is the split.
 */
#include "config.h"

#include "tests/fuzz/fuzz.h"

#include "audit/assemble.h"
#include "audit/chain.h"
#include "audit/record.h"
#include "base/json_read.h"
#include "store/auditlog.h"

#define CANARY	"k4n4ry"

/* Reads frames as journal_read.c does, from pieces of step bytes. */
static void
transcript(struct span in, size_t step, bool carry, struct buf *out)
{
	struct span frame, payload, record;
	struct assembler a, b;
	struct audit_frame f;
	struct buf pending;
	size_t at = 0, have = 0;
	long n;

	assembler_init(&a);
	buf_init(&pending, 16 << 20);
	for (;;) {
		n = audit_frame_read(span_make(in.p + at, have - at), &f,
		    &payload);
		if (n == 0 || have == at) {
			if (have == in.n)
				break;
			have = in.n - have < step ? in.n : have + step;
			continue;
		}
		if (n < 0) {
			n = audit_frame_resync(span_make(in.p + at, have - at));
			FUZZ_CHECK(n != 0);
			at += n > 0 ? (size_t)n : have - at > 3 ?
			    have - at - 3 : 1;
			continue;
		}
		FUZZ_CHECK(n <= AUDIT_FRAME_MAX);
		frame = span_make(in.p + at, (size_t)n);
		at += (size_t)n;
		if (assembler_add(&a, &f, frame, payload, &record) == 1) {
			buf_printf(out, "%u %zu ", f.slot, record.n);
			buf_add_span(out, record);
		}
		if (!carry)
			continue;
		buf_reset(&pending, 1 << 20);
		assembler_pending(&a, &pending);
		assembler_init(&b);
		FUZZ_CHECK(assembler_restore(&b, buf_span(&pending)) == 0);
		b.dropped = a.dropped;
		assembler_free(&a);
		a = b;
	}
	buf_printf(out, "dropped %llu", (unsigned long long)a.dropped);
	assembler_free(&a);
	buf_free(&pending);
}

static void
check_stream(struct span in, size_t step)
{
	struct buf whole, split, carried;

	buf_init(&whole, 16 << 20);
	buf_init(&split, 16 << 20);
	buf_init(&carried, 16 << 20);
	transcript(in, in.n + 1, false, &whole);
	transcript(in, step, false, &split);
	transcript(in, step, true, &carried);
	FUZZ_CHECK(span_eq(buf_span(&whole), buf_span(&split)));
	FUZZ_CHECK(span_eq(buf_span(&whole), buf_span(&carried)));
	buf_free(&whole);
	buf_free(&split);
	buf_free(&carried);
}

/* Frames with the input's bytes as payload, so that CRCs are right. */
static void
check_framed(struct span in, unsigned slot)
{
	struct buf frames, out, want;
	size_t at[64];

	buf_init(&frames, 1 << 20);
	buf_init(&out, 1 << 20);
	buf_init(&want, 1 << 20);
	if (audit_frames(in, slot, 1, &frames, at, 64) > 0) {
		transcript(buf_span(&frames), slot + 1, true, &out);
		buf_printf(&want, "%u %zu ", slot, in.n);
		buf_add_span(&want, in);
		buf_add_str(&want, "dropped 0");
		FUZZ_CHECK(span_eq(buf_span(&out), buf_span(&want)));
	}
	buf_free(&frames);
	buf_free(&out);
	buf_free(&want);
}

static void
check_redacted(struct span in, size_t max)
{
	static const char globs[][128] = { "*pass*", "a" };
	struct audit_redaction rules;
	struct json_value v;
	struct buf b;
	bool cut;

	if (json_check(in, &v, NULL) != JSON_OK)
		return;
	buf_init(&b, 16 << 20);
	audit_redaction_init(&rules, globs, 2);
	if (audit_redact(&rules, in, max, &b, &cut) == 0) {
		FUZZ_CHECK(json_check(buf_span(&b), &v, NULL) == JSON_OK);
		FUZZ_CHECK(!cut || v.type == JSON_STRING);
		FUZZ_CHECK(cut || b.n <= max);
	}
	buf_free(&b);
}

/* The input as the value of a secret member, if that makes it JSON. */
static void
check_secret(struct span in)
{
	static const char globs[][128] = { "*pass*" };
	struct audit_redaction rules;
	struct json_value v;
	struct buf b, out;
	bool cut;

	buf_init(&b, 1 << 20);
	buf_init(&out, 1 << 20);
	audit_redaction_init(&rules, globs, 1);
	buf_add_str(&b, "{\"PassWord\":[\"" CANARY "\",");
	buf_add_span(&b, in);
	buf_add_str(&b, "],\"z\":1}");
	if (json_check(buf_span(&b), &v, NULL) == JSON_OK &&
	    memmem(in.p, in.n, "]", 1) == NULL &&
	    audit_redact(&rules, buf_span(&b), 1 << 20, &out, &cut) == 0)
		FUZZ_CHECK(memmem(out.p, out.n, CANARY,
		    sizeof(CANARY) - 1) == NULL);
	buf_free(&b);
	buf_free(&out);
}

static void
check_row(struct span in)
{
	struct auditlog_row row = { .node = "n" };
	struct buf scratch, copy;

	buf_init(&scratch, 16 << 20);
	buf_init(&copy, 16 << 20);
	if (chain_row(in, &row, &scratch) == 0) {
		auditlog_row_copy(&row, &copy);
		/* One line and no NUL, whatever the record says. */
		FUZZ_CHECK(memchr(copy.p, '\n', copy.n) ==
		    copy.p + copy.n - 1);
		FUZZ_CHECK(memchr(copy.p, '\0', copy.n) == NULL);
	}
	buf_free(&scratch);
	buf_free(&copy);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
	struct span in;

	if (n < 2 || n > 100000)
		return 0;
	in = span_make((const char *)data + 1, n - 1);
	check_stream(in, data[0] + 1u);
	check_framed(in, data[0]);
	check_redacted(in, data[0] * 4u);
	check_secret(in);
	check_row(in);
	return 0;
}

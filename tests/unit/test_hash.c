/* Unit tests of base/hash: published vectors, fork, strict decoding. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/hash.h"

static void
assert_sha256(const void *p, size_t n, const char *want)
{
	uint8_t digest[32];
	char hex[65];

	hash_sha256(p, n, digest);
	hash_hex(digest, 32, hex);
	assert_string_equal(hex, want);
}

static void
sha256_vectors(void **state)
{
	assert_sha256("", 0, "e3b0c44298fc1c149afbf4c8996fb924"
	    "27ae41e4649b934ca495991b7852b855");
	assert_sha256("abc", 3, "ba7816bf8f01cfea414140de5dae2223"
	    "b00361a396177a9cb410ff61f20015ad");
	assert_sha256("", 0, "e3b0c44298fc1c149afbf4c8996fb924"
	    "27ae41e4649b934ca495991b7852b855");
}

static void
assert_hmac(const void *key, size_t key_n, const char *text, const char *want)
{
	uint8_t digest[32];
	char hex[65];

	hash_hmac_sha256(key, key_n, text, strlen(text), digest);
	hash_hex(digest, 32, hex);
	assert_string_equal(hex, want);
}

/* RFC 4231, and the key of nothing must not be the key of before. */
static void
hmac_vectors(void **state)
{
	static const char empty[] = "b613679a0814d9ec772f95d778c35fc5"
	    "ff1697c493715653c6c712144292c5ad";
	uint8_t big[131];

	assert_hmac("", 0, "", empty);
	assert_hmac("Jefe", 4, "what do ya want for nothing?",
	    "5bdcc146bf60754e6a042426089575c7"
	    "5a003f089d2739839dec58b964ec3843");
	assert_hmac("", 0, "", empty);
	assert_hmac(NULL, 0, "", empty);
	memset(big, 0xaa, sizeof(big));
	assert_hmac(big, sizeof(big),
	    "Test Using Larger Than Block-Size Key - Hash Key First",
	    "60e431591ee0b67f0d8a26aacbf5b77f"
	    "8e0bc6213728c5140546040f0ee37f54");
}

static void
works_in_a_child(void **state)
{
	int status;
	pid_t pid;

	sha256_vectors(NULL);
	pid = fork();
	assert_true(pid >= 0);
	if (pid == 0) {
		uint8_t digest[32], mac[32];

		hash_sha256("abc", 3, digest);
		hash_hmac_sha256("Jefe", 4, "what do ya want for nothing?",
		    28, mac);
		_exit(digest[0] == 0xba && digest[31] == 0xad &&
		    mac[0] == 0x5b && mac[31] == 0x43 ? 0 : 1);
	}
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_int_equal(status, 0);
	sha256_vectors(NULL);
}

static void
table_hash_spreads(void **state)
{
	static const char text[] = "tools/call tools/list";
	uint64_t buckets[16] = { 0 };
	size_t n;
	int i;

	assert_true(hash_bytes(1, "abc", 3) == hash_bytes(1, "abc", 3));
	assert_true(hash_bytes(1, "abc", 3) != hash_bytes(2, "abc", 3));
	assert_true(hash_bytes(1, "a\0", 2) != hash_bytes(1, "a", 1));
	assert_true(hash_bytes(1, "", 0) != hash_bytes(2, NULL, 0));
	for (n = 1; n < sizeof(text); n++)
		assert_true(hash_bytes(1, text, n) !=
		    hash_bytes(1, text, n - 1));
	for (i = 0; i < 16000; i++)
		buckets[hash_bytes(7, &i, sizeof(i)) & 15]++;
	for (i = 0; i < 16; i++)
		assert_in_range(buckets[i], 800, 1200);
}

static void
hex_both_ways(void **state)
{
	uint8_t out[4];

	assert_int_equal(hash_unhex(SPAN_LIT("00fFa5"), out, 3), 0);
	assert_memory_equal(out, "\x00\xff\xa5", 3);
	assert_int_equal(hash_unhex(SPAN_LIT(""), out, 0), 0);
	assert_int_equal(hash_unhex(SPAN_LIT("00f"), out, 1), -1);
	assert_int_equal(hash_unhex(SPAN_LIT("00ff"), out, 1), -1);
	assert_int_equal(hash_unhex(SPAN_LIT("00"), out, 2), -1);
	assert_int_equal(hash_unhex(SPAN_LIT("0g"), out, 1), -1);
	assert_int_equal(hash_unhex(SPAN_LIT("@0"), out, 1), -1);
}

static void
base64url_vectors(void **state)
{
	static const struct {
		const char *plain, *text;
	} cases[] = {
		{ "", "" }, { "f", "Zg" }, { "fo", "Zm8" },
		{ "foo", "Zm9v" }, { "foob", "Zm9vYg" },
		{ "fooba", "Zm9vYmE" }, { "foobar", "Zm9vYmFy" },
		{ "\xfb\xff\xfe", "-__-" },
	};
	uint8_t back[16];
	char out[16];
	size_t i, n;

	for (i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		n = strlen(cases[i].plain);
		assert_int_equal(base64url_encode(
		    (const uint8_t *)cases[i].plain, n, out),
		    strlen(cases[i].text));
		assert_string_equal(out, cases[i].text);
		assert_int_equal(base64url_decode(span_str(out), back, n), n);
		assert_memory_equal(back, cases[i].plain, n);
	}
}

static void
base64url_is_strict(void **state)
{
	static const char *const wrong[] = { "Z", "Zg==", "Zm9vZ", "Zh",
	    "Zm9", "Zm9v\n", "Zm 9", "Zm+v", "Zm/v", "=", "Zm9v=" };
	uint8_t out[16];
	size_t i;

	for (i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++)
		assert_int_equal(base64url_decode(span_str(wrong[i]), out,
		    sizeof(out)), -1);
	assert_int_equal(base64url_decode(SPAN_LIT("Zm9v"), out, 2), -1);
}

static void
randomness_and_secrets(void **state)
{
	uint8_t a[32] = { 0 }, b[32] = { 0 };

	random_bytes(a, sizeof(a));
	random_bytes(b, sizeof(b));
	assert_false(secret_equal(a, b, sizeof(a)));
	assert_true(secret_equal(a, a, sizeof(a)));
	assert_true(secret_equal("abc", "abd", 2));
	assert_false(secret_equal("abc", "abd", 3));
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(sha256_vectors),
		cmocka_unit_test(hmac_vectors),
		cmocka_unit_test(works_in_a_child),
		cmocka_unit_test(table_hash_spreads),
		cmocka_unit_test(hex_both_ways),
		cmocka_unit_test(base64url_vectors),
		cmocka_unit_test(base64url_is_strict),
		cmocka_unit_test(randomness_and_secrets),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

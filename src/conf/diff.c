/*
 * diff -- which changed settings a reload cannot take over.
 *
 * The master compares the running generation with the next one and says
 * which keys wait for a restart. Names only, no values.
 */
#include "conf/conf.h"

#include <string.h>

#include "conf/keys.h"

static bool
list_equal(const struct conf_list *a, const struct conf_list *b)
{
	uint32_t i;

	if (a->n != b->n)
		return false;
	for (i = 0; i < a->n; i++)
		if (strcmp(a->item[i], b->item[i]) != 0)
			return false;
	return true;
}

static bool
key_equal(const struct conf_key *k, const struct conf *x,
    const struct conf *y)
{
	const void *a = conf_key_member_const(x, k);
	const void *b = conf_key_member_const(y, k);

	switch (k->type) {
	case KEY_TYPE_BOOL:
		return *(const bool *)a == *(const bool *)b;
	case KEY_TYPE_INT:
	case KEY_TYPE_MS:
	case KEY_TYPE_SIZE:
		return *(const int64_t *)a == *(const int64_t *)b;
	case KEY_TYPE_ENUM:
		return *(const int *)a == *(const int *)b;
	case KEY_TYPE_TEXT:
	case KEY_TYPE_SECRET:
	case KEY_TYPE_FILE:
		return strcmp(a, b) == 0;
	case KEY_TYPE_LIST:
		return list_equal(a, b);
	}
	return false;
}

int
conf_diff_restart(const struct conf *old, const struct conf *new_conf,
    struct buf *out)
{
	size_t i;
	int n = 0;

	for (i = 0; i < conf_n_keys; i++) {
		if (!conf_keys[i].restart ||
		    key_equal(&conf_keys[i], old, new_conf))
			continue;
		buf_printf(out, "%s\n", conf_keys[i].path);
		n++;
	}
	return n;
}

/*
 * bind_inert -- documented keys without effect in this version (inert.def).
 */
#ifndef OMNI2_CONF_BIND_INERT_H
#define OMNI2_CONF_BIND_INERT_H

#include "conf/bind.h"

struct suggest;

/* A section; false when path is none of them. Warns for each key. */
bool	bind_inert(struct bind *, const struct yaml_node *, const char *path);
/* A single key inside a section of keys.def; false when it is none. */
bool	bind_inert_setting(struct bind *, const struct yaml_node *key,
	    const char *path);
/* Offers the names as candidates. */
void	bind_inert_offer_sections(struct suggest *);
void	bind_inert_offer_settings(struct suggest *, const char *prefix);

#endif
